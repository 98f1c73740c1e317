"""The student: the same pieces and IDs every time, small on disk, better than chance, any text answered."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.tolerances import close
from wotd_mlx.codes.student import MAX_BYTES, Student, StudentConfig, distil, fitting, pad, student_metrics
from wotd_mlx.codes.train import Split
from wotd_mlx.schemas import Attribute, WotdError

LETTERS = "abcdefghijkl"
LEVELS = (3, 4)
CONFIG = StudentConfig(width=12, hidden=32, epochs=12, batch=50, learning_rate=1e-2, warmup=5)


def spelling(pieces: int = 0) -> Tokenizer:
    """A tokenizer of letters; ``pieces`` more fill its vocabulary."""
    names = ["[UNK]", *LETTERS, *(f"##{c}" for c in LETTERS), *(f"piece{n}" for n in range(pieces))]
    tokenizer = Tokenizer(models.WordPiece({name: n for n, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def toy(n: int = 1200) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, Split]:
    """Words whose vector is the mean of their letters' and whose codes are slices of two of its directions."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(1 + 2 * len(LETTERS), 16)).astype(np.float32)
    texts = ["".join(rng.choice(list(LETTERS), length)) for length in rng.integers(2, 5, n)]
    tokenizer = spelling()
    x = np.stack([table[tokenizer.encode(text).ids].mean(axis=0) for text in texts])
    columns = [np.searchsorted(np.quantile(x[:, q], np.arange(1, k) / k), x[:, q]) for q, k in enumerate(LEVELS)]
    rows = np.arange(n)
    return (
        texts,
        table,
        x,
        np.stack(columns, axis=1),
        Split(rows[: n // 2], rows[n // 2 : n // 4 * 3], rows[n * 3 // 4 :]),
    )


def learn(seed: int = 0, config: StudentConfig = CONFIG) -> tuple[Student, list[float]]:
    texts, table, x, ids, split = toy()
    mx.random.seed(seed)
    student = Student(spelling(), LEVELS, config)
    return student, list(distil(student, table, texts, x, ids, split, config, seed))


@pytest.fixture(scope="module")
def learnt() -> tuple[Student, list[float]]:
    return learn()


def test_pieces_of_a_text_never_change(learnt):
    assert learnt[0].tokens(["abc", "la dk", "", "日本", "a\ud800"]) == [[1, 14, 15], [12, 13, 4, 23], [], [0], [1, 0]]


def test_agreement_on_held_out_words_is_far_above_chance(learnt):
    student, history = learnt
    texts, _, _, ids, split = toy()
    found = student.encode([texts[row] for row in split.test])
    assert (found == ids[split.test]).mean() > 0.75 > 2 / 3.5
    assert len(history) == CONFIG.epochs


def test_the_best_epoch_is_kept():
    texts, table, x, ids, split = toy()
    noise = np.random.default_rng(1).permutation(ids)  # nothing to learn: agreement goes up and down
    student = Student(spelling(), LEVELS, CONFIG)
    history = list(distil(student, table, texts, x, noise, split, CONFIG, seed=0))
    kept = (student.encode([texts[row] for row in split.valid]) == noise[split.valid]).mean()
    assert history[-1] < max(history)
    close(kept, max(history), "fp16_codes")


def test_the_same_seed_gives_the_same_weights_and_another_does_not(learnt):
    short = StudentConfig(width=12, hidden=32, epochs=2, batch=50)
    one, again, other = (learn(seed, short)[0].arrays() for seed in (1, 1, 2))
    assert one.keys() == again.keys()
    for name in one:
        close(again[name], one[name], "exact")
    assert (one["pieces"] != other["pieces"]).any()


def test_a_saved_student_is_the_same_student(learnt):
    student, _ = learnt
    loaded = Student.from_arrays(student.arrays())
    texts = toy()[0]
    close(loaded.encode(texts), student.encode(texts), "ids")
    for name, value in loaded.arrays().items():
        close(value, student.arrays()[name], "exact")
        assert value.dtype in (np.float16, np.uint8, np.int32)


@pytest.mark.parametrize("pieces", [30_000, 120_000])
def test_no_vocabulary_passes_the_size_limit(pieces):
    tokenizer, levels = spelling(pieces), (32, 32, 32, 32)
    cfg = fitting(StudentConfig(), tokenizer, levels)
    assert 1 <= cfg.width <= StudentConfig().width
    arrays = Student(tokenizer, levels, cfg).arrays()
    assert MAX_BYTES * 0.8 < len(save({n: np.ascontiguousarray(v) for n, v in arrays.items()})) <= MAX_BYTES


def test_a_vocabulary_without_room_for_a_number_a_piece_is_refused():
    with pytest.raises(WotdError, match="word pieces passes 5,000,000 bytes"):
        fitting(StudentConfig(), spelling(), (1_000_000,))


@pytest.mark.parametrize("damage", ["pieces", "tokenizer", "head.bias"])
def test_arrays_of_no_student_are_refused(damage, learnt):
    arrays = dict(learnt[0].arrays())
    del arrays[damage]
    with pytest.raises(WotdError, match="not a student's weights"):
        Student.from_arrays(arrays)
    arrays[damage] = np.zeros(3, np.float16)
    with pytest.raises(WotdError, match="not a student's weights"):
        Student.from_arrays(arrays)


@given(st.lists(st.text(st.characters(), max_size=40), max_size=8))
@settings(max_examples=60, deadline=None)
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


def test_metrics_are_shares_a_coordinate_and_none_without_labels():
    ids = np.array([[0, 1], [1, 1], [2, 0], [2, 3]])
    found = np.array([[0, 1], [1, 0], [2, 1], [0, 0]])
    labels = np.array([[0, -1], [1, -1], [1, -1], [-1, -1]])
    tables = [mx.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), mx.zeros((4, 2))]
    attributes = (Attribute("size", ("small", "large")), Attribute("hue", ("red", "blue")))
    assert student_metrics(found, ids, labels, tables, attributes) == {
        "words_held_out": 4,
        "agreement": [0.75, 0.25],
        "label_accuracy": {"size": 0.75, "hue": None},
    }
