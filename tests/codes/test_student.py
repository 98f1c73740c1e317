"""The student: the same pieces and IDs every time, small on disk, better than chance, any text answered."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.tolerances import close
from tests.training.interrupt import killed_before
from wotd_mlx.codes.distil import StudentTask, agreement, distil, phrases, soft_ids, student_metrics
from wotd_mlx.codes.split import Split
from wotd_mlx.codes.student import MAX_BYTES, Student, fitting, pad
from wotd_mlx.config.student import StudentConfig
from wotd_mlx.schemas import Attribute, WotdError
from wotd_mlx.training.checkpoint import Checkpoint

LETTERS = "abcdefghijkl"
LEVELS = (3, 4)
CONFIG = StudentConfig(width=12, trunk=24, hidden=32, epochs=12, batch=50, learning_rate=1e-2)


def spelling(pieces: int = 0) -> Tokenizer:
    """A tokenizer of letters; ``pieces`` more fill its vocabulary."""
    names = ["[UNK]", *LETTERS, *(f"##{c}" for c in LETTERS), *(f"piece{n}" for n in range(pieces))]
    tokenizer = Tokenizer(models.WordPiece({name: n for n, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def toy(n: int = 1200):
    """Words, each the mean of its letters' vectors, and a teacher that cuts two of the directions into codes."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(1 + 2 * len(LETTERS), 16)).astype(np.float32)
    texts = ["".join(rng.choice(list(LETTERS), length)) for length in rng.integers(2, 5, n)]
    tokenizer = spelling()
    x = np.stack([table[tokenizer.encode(text).ids].mean(axis=0) for text in texts])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cuts = [mx.array(np.quantile(x[:, q], np.arange(1, k) / k), mx.float32) for q, k in enumerate(LEVELS)]

    def encode(x: mx.array) -> mx.array:
        return mx.stack([(x[:, q : q + 1] > cut).sum(axis=1) for q, cut in enumerate(cuts)], axis=1)

    rows = np.arange(n)
    return texts, table, x, encode, Split(rows[: n // 2], rows[n // 2 : n // 4 * 3], rows[n // 4 * 3 :])


def learn(
    seed: int = 0, config: StudentConfig = CONFIG, checkpoint: Checkpoint | None = None
) -> tuple[Student, list[float]]:
    texts, table, x, encode, split = toy()
    mx.random.seed(seed)
    student = Student(spelling(), LEVELS, config)
    return student, list(distil(StudentTask(student, table, texts, x, encode, split, config, seed), checkpoint))


def agreed(student: Student, texts: list[str], x: np.ndarray, encode, rows: np.ndarray) -> float:
    return float(np.mean(agreement(student, encode, [texts[row] for row in rows], x[rows])))


@pytest.fixture(scope="module")
def learnt() -> tuple[Student, list[float]]:
    return learn()


def test_pieces_of_a_text_never_change(learnt):
    assert learnt[0].tokens(["abc", "la dk", "", "日本", "a\ud800"]) == [[1, 14, 15], [12, 13, 4, 23], [], [0], [1, 0]]


def test_agreement_on_held_out_words_is_far_above_chance(learnt):
    student, history = learnt
    texts, _, x, encode, split = toy()
    assert agreed(student, texts, x, encode, split.test) > 0.7
    assert len(history) == CONFIG.epochs


def test_the_best_epoch_is_kept():
    texts, table, x, encode, split = toy()
    texts = list(np.random.default_rng(1).permutation(texts))  # nothing to learn: agreement goes up and down
    student = Student(spelling(), LEVELS, CONFIG)
    history = list(distil(StudentTask(student, table, texts, x, encode, split, CONFIG, seed=0)))
    assert history[-1] < max(history)
    close(agreed(student, texts, x, encode, split.valid), max(history), "fp16_codes")


def test_soft_ids_are_shares_that_blur_towards_neighbours():
    _, _, x, encode, _ = toy()
    hard = soft_ids(encode, x, LEVELS, replace(CONFIG, noise=0.0), seed=0)
    soft = soft_ids(encode, x, LEVELS, CONFIG, seed=0)
    ids = np.asarray(encode(mx.array(x)))
    close([part.argmax(axis=1) for part in np.split(hard, [3], axis=1)], ids.T, "ids")
    for part in np.split(soft, [3], axis=1):
        close(part.sum(axis=1), np.ones(len(x)), "sum_order")
    middle = soft[ids[:, 1] == 0, 3:].mean(axis=0)
    assert 1 > middle[0] > middle[1] > middle[2] > middle[3]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(learnt):
    short = replace(CONFIG, epochs=2)
    one, again, other = (learn(seed, short)[0].arrays() for seed in (1, 1, 2))
    assert one.keys() == again.keys()
    for name in one:
        close(again[name], one[name], "exact")
    assert (one["pieces"] != other["pieces"]).any()


@pytest.mark.parametrize("at", [4, 30])
def test_killed_and_gone_on_with_it_is_the_same_student(at, tmp_path):
    config = replace(CONFIG, epochs=3)
    whole, history = learn(1, config)
    file = Checkpoint(tmp_path / "checkpoint.safetensors", {"codes": "a"}, "delete it")
    with killed_before(at):
        learn(1, config, file)
    again, seen = learn(1, config, file)
    assert seen == history
    for name, array in whole.arrays().items():
        close(again.arrays()[name], array, "exact")


def test_a_saved_student_is_the_same_student(learnt):
    student, _ = learnt
    loaded = Student.from_arrays(student.arrays())
    texts = toy()[0]
    close(loaded.encode(texts), student.encode(texts), "ids")
    for name, value in loaded.arrays().items():
        close(value, student.arrays()[name], "exact")
        assert value.dtype in (np.float16, np.uint8)


@pytest.mark.parametrize("pieces", [30_000, 120_000])
def test_no_vocabulary_passes_the_size_limit(pieces):
    tokenizer, levels = spelling(pieces), (32, 32, 32, 32)
    cfg = fitting(tokenizer, levels, StudentConfig())
    assert 1 <= cfg.width <= StudentConfig().width
    arrays = Student(tokenizer, levels, cfg).arrays()
    assert MAX_BYTES * 0.8 < len(save({n: np.ascontiguousarray(v) for n, v in arrays.items()})) <= MAX_BYTES


def test_a_vocabulary_without_room_for_a_number_a_piece_is_refused():
    with pytest.raises(WotdError, match=r"one number a word piece takes .* bytes; 5,000,000 are allowed"):
        fitting(spelling(), (20_000,), StudentConfig())


@pytest.mark.parametrize("damage", ["pieces", "about", "head.bias"])
def test_arrays_of_no_student_are_refused(damage, learnt):
    arrays = dict(learnt[0].arrays())
    del arrays[damage]
    with pytest.raises(WotdError, match="not a student's weights"):
        Student.from_arrays(arrays)
    arrays[damage] = np.zeros(3, np.float16)
    with pytest.raises(WotdError, match="not a student's weights"):
        Student.from_arrays(arrays)


@given(st.lists(st.text(st.characters(), max_size=40), max_size=8))
@settings(max_examples=60)
def test_any_text_gets_an_id_in_range(texts):
    student = _untrained()
    ids = student.encode(texts)
    assert ids.shape == (len(texts), len(LEVELS))
    assert ((ids >= 0) & (ids < np.array(LEVELS))).all()


def _untrained() -> Student:
    mx.random.seed(0)
    student = Student(spelling(), LEVELS, CONFIG)
    student.eval()
    student.pieces = mx.random.normal(student.pieces.shape)
    return student


def test_a_text_beside_others_and_a_very_long_one_get_their_own_ids(learnt):
    student, _ = learnt
    texts = ["abc", "", "l" * 50, "abc def " * 2000, "日本", "def"]
    together = student.encode(texts, batch=2)
    close(together, np.concatenate([student.encode([text]) for text in texts]), "ids")


def test_padding_cuts_and_counts():
    ids, counts = pad([[1, 2, 3], [], [4]], longest=2)
    assert np.asarray(ids).tolist() == [[1, 2], [0, 0], [4, 0]]
    assert np.asarray(counts).tolist() == [2, 0, 1]
    assert pad([[]])[0].shape == (1, 1)


def test_phrases_are_drawn_from_the_words_the_same_for_a_seed():
    made = phrases(["one", "two", "three"], 20.0, seed=3)
    assert made == phrases(["one", "two", "three"], 20.0, seed=3) != phrases(["one", "two", "three"], 20.0, seed=4)
    assert len(made) == 60
    assert {len(text.split()) for text in made} == {2, 3, 4}
    assert {word for text in made for word in text.split()} == {"one", "two", "three"}


def test_metrics_are_shares_a_coordinate_and_none_without_labels():
    answers = np.array([[0, 1], [1, 0], [2, 1], [0, 0]])
    student = SimpleNamespace(encode=lambda texts: answers[: len(texts)])
    tables = [mx.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), mx.zeros((4, 2))]
    teacher = SimpleNamespace(encode=lambda x: x.astype(mx.int32), tables=tables)
    x = np.array([[0, 1], [1, 1], [2, 0], [2, 3]], np.float32)
    labels = np.array([[0, -1], [1, -1], [1, -1], [-1, -1]])
    attributes = (Attribute("size", ("small", "large")), Attribute("hue", ("red", "blue")))
    assert student_metrics(student, teacher, ["a", "b", "c", "d"], x, labels, attributes) == {
        "words_held_out": 4,
        "agreement": [0.75, 0.25],
        "label_accuracy": {"size": 0.75, "hue": None},
    }
