"""A word's meaning against the formula in float64, and the map against ridge regression of scikit-learn."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from sklearn.linear_model import Ridge

from tests.tolerances import close
from wotd_mlx.config.meaning import MeaningConfig
from wotd_mlx.embed.meaning import Meaning, away, gloss_means, gloss_weights, opposites_of, senses_of, word_vectors


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def made() -> tuple[Meaning, np.ndarray, np.ndarray]:
    """A meaning fitted on 60 words 6 wide whose glosses are a rotation of their own vectors, and some noise."""
    rng = np.random.default_rng(0)
    bare = unit(rng.normal(size=(60, 6)) + 0.5)
    glosses = bare @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 0.1 * rng.normal(size=(60, 6)) - 0.3
    meaning = Meaning(6, 0.4)
    meaning.fit(bare.astype(np.float32), glosses.astype(np.float32), 2.0)
    return meaning, bare, glosses


def test_the_map_is_ridge_regression_from_words_to_glosses_without_their_means():
    meaning, bare, glosses = made()
    own, told = unit(bare - bare.mean(axis=0)), unit(glosses - glosses.mean(axis=0))
    close(meaning.own, bare.mean(axis=0), "sum_order")
    close(meaning.gloss, glosses.mean(axis=0), "sum_order")
    close(meaning.map, Ridge(alpha=2.0, fit_intercept=False).fit(own, told).coef_.T, "sum_order")


def test_a_known_word_is_its_own_vector_and_its_glosses():
    meaning, bare, glosses = made()
    weight = np.linspace(0, 1, 60)
    own, told = unit(bare - bare.mean(axis=0)), unit(glosses - glosses.mean(axis=0))
    want = unit((1 - weight)[:, None] * own + weight[:, None] * told)
    got = meaning.known(bare.astype(np.float32), glosses.astype(np.float32), weight.astype(np.float32))
    close(got, want, "sum_order")
    close(meaning.own_part(bare.astype(np.float32)), own, "sum_order")
    close(meaning.centred(glosses.astype(np.float32)), told, "sum_order")


def test_a_text_without_glosses_gets_what_the_map_guesses_of_them():
    meaning, bare, _ = made()
    x = unit(np.random.default_rng(1).normal(size=(9, 6)))
    own = unit(x - bare.mean(axis=0))
    want = unit(0.6 * own + 0.4 * unit(own @ np.array(meaning.map, np.float64)))
    close(meaning(mx.array(x, mx.float32)), want, "sum_order")


def test_nothing_of_it_learns_by_gradient_and_a_mean_itself_is_no_division_by_nothing():
    meaning, bare, _ = made()
    assert meaning.trainable_parameters() == {}
    assert np.isfinite(np.array(meaning(mx.array(bare.mean(axis=0)[None], mx.float32)))).all()


def test_means_of_senses_are_those_of_each_word_s():
    senses = np.arange(12, dtype=np.float32).reshape(6, 2)
    means, counts = gloss_means(senses, np.array([0, 0, 2, 4, 4, 4]), 5)
    assert counts.tolist() == [2, 0, 1, 0, 3]
    close(means, [[1, 2], [0, 0], [4, 5], [0, 0], [8, 9]], "exact")


def test_glosses_weigh_more_the_more_word_pieces_a_word_has():
    cfg = MeaningConfig(share=0.6, rare_share=0.9, rare_pieces=4)
    close(gloss_weights([1, 2, 3, 4, 9], cfg), [0.6, 0.7, 0.8, 0.9, 0.9], "sum_order")
    close(gloss_weights([1, 2], MeaningConfig(share=0.6, rare_share=0.9, rare_pieces=1)), [0.6, 0.9], "sum_order")


def test_senses_and_opposites_are_told_by_rows():
    senses = {"rise": ["rise: go up", "rise: a slope"], "fall": ["fall: go down"]}
    texts, owner = senses_of(["rise", "jump", "fall"], lambda word: senses.get(word, []))
    assert texts == ["rise: go up", "rise: a slope", "fall: go down"]
    assert owner.tolist() == [0, 0, 2]
    opposites = {"rise": ["Fall", "sink"], "fall": ["rise", " rise"]}
    assert opposites_of(["rise", "jump", "fall"], lambda word: opposites.get(word, [])) == [[2], [], [0, 0]]


def test_words_vectors_are_by_their_glosses_or_the_map_and_away_from_opposites():
    meaning, bare, glosses = made()
    counts, weights = np.arange(len(bare)) % 3, np.full(len(bare), 0.7, np.float32)
    opposites = [[1], *([] for _ in bare[1:])]
    got = word_vectors(meaning, bare, (glosses, counts), weights, opposites, 0.25)
    want = np.array(meaning(mx.array(bare)))
    for row in np.flatnonzero(counts):
        want[row] = meaning.known(bare[row : row + 1], glosses[row : row + 1], weights[row : row + 1])[0]
    assert not np.allclose(want[1], np.array(meaning(mx.array(bare)))[1])
    want[0] = unit(want[0] - 0.25 * want[1])
    close(got, want, "sum_order")


def test_words_move_away_from_their_opposites_and_no_others_move():
    x = unit(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    got = away(x, [[], [2, 3], [1], [], []], 0.25)
    assert np.array_equal(got[[0, 3, 4]], x[[0, 3, 4]])
    for row, others in ((1, (2, 3)), (2, (1,))):
        against = sum(x[other].astype(np.float64) for other in others)
        moved = x[row] - 0.25 * against / np.linalg.norm(against)
        close(got[row], moved / np.linalg.norm(moved), "sum_order")
        assert got[row] @ against < x[row] @ against
    assert np.array_equal(away(x, [[]] * 5, 0.25), x)
