"""The formulas behind the labels, against figures worked out another way."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wotd_mlx.words import labels

COUNTS = hnp.arrays(np.float64, 6, elements=st.integers(0, 5000).map(float))


def by_hand(a, b, alpha, w):
    """Monroe et al. 2008, equations 16, 20 and 22, written out for one word."""
    n_a, n_b, n_0 = sum(a), sum(b), sum(alpha)
    odds_a = (a[w] + alpha[w]) / (n_a + n_0 - a[w] - alpha[w])
    odds_b = (b[w] + alpha[w]) / (n_b + n_0 - b[w] - alpha[w])
    delta = math.log(odds_a) - math.log(odds_b)
    return delta, delta / math.sqrt(1 / (a[w] + alpha[w]) + 1 / (b[w] + alpha[w]))


def test_log_odds_of_a_known_case():
    found = labels.log_odds([30, 970], [10, 990], [1, 99])
    want = math.log((31 / 1069) / (11 / 1089))
    assert found.delta[0] == pytest.approx(want)
    assert found.z[0] == pytest.approx(want / math.sqrt(1 / 31 + 1 / 11))


@given(COUNTS, COUNTS)
def test_log_odds_is_the_formula_and_antisymmetric(a, b):
    prior = labels.informative_prior(a + b)
    found, turned = labels.log_odds(a, b, prior), labels.log_odds(b, a, prior)
    for w in range(6):
        assert (found.delta[w], found.z[w]) == pytest.approx(by_hand(a, b, prior, w), abs=1e-9)
    np.testing.assert_allclose(found.delta, -turned.delta, atol=1e-12)
    np.testing.assert_allclose(found.z, -turned.z, atol=1e-12)


@given(st.integers(1, 50), st.integers(2, 20))
def test_z_grows_with_the_counts_and_delta_stays(n, times):
    a, b = np.array([4.0 * n, 1000.0]), np.array([1.0 * n, 1000.0])
    once = labels.log_odds(a, b, labels.informative_prior(a + b))
    more = labels.log_odds(times * a, times * b, labels.informative_prior(times * (a + b)))
    assert more.z[0] > once.z[0] > 0
    assert more.delta[0] == pytest.approx(once.delta[0])


@pytest.mark.parametrize(
    ("a", "b", "prior", "text"),
    [
        ([1, 2], [1], [1, 1], "shapes"),
        ([1, -2], [1, 1], [1, 1], "negative"),
        ([1, 2], [1, 1], [1, 0], "above 0"),
    ],
)
def test_log_odds_refuses(a, b, prior, text):
    with pytest.raises(ValueError, match=text):
        labels.log_odds(a, b, prior)


def test_one_word_leans_nowhere():
    assert labels.log_odds([5], [9], [1]).delta[0] == 0


def test_combine_is_the_inverse_variance_mean():
    one, two = (
        labels.LogOdds(np.array([1.0]), np.array([2.0])),
        labels.LogOdds(np.array([3.0]), np.array([3.0])),
    )
    pooled = labels.combine([one, two])  # variances 1/4 and 1
    assert pooled.delta[0] == pytest.approx((4 * 1 + 1 * 3) / 5)
    assert pooled.z[0] == pytest.approx((4 * 1 + 1 * 3) / math.sqrt(5))
    with pytest.raises(ValueError, match="strata"):
        labels.combine([])


def test_combine_of_one_stratum_is_itself():
    one = labels.log_odds([30, 970, 0], [10, 990, 0], [1, 99, 0.01])
    pooled = labels.combine([one])
    np.testing.assert_allclose(pooled.delta, one.delta)
    np.testing.assert_allclose(pooled.z, one.z)


@pytest.mark.parametrize(
    ("cefr", "zipf", "ratio", "verse_z", "want"),
    [
        ("A1", 4.2, 1.0, 0.0, "simple"),
        ("A2", 4.0, 9.0, 9.0, "simple"),
        ("A2", 1.9, 1.0, 0.0, None),
        ("B2", 3.9, 1.0, 0.0, "plain"),
        ("B2", 3.9, 2.5, 3.0, "beautiful"),
        ("C2", 2.2, 2.5, 3.0, "beautiful"),
        ("C2", 2.2, 2.5, 2.0, "complex"),
        ("C1", 3.4, 1.9, 9.0, "complex"),
        ("C1", 3.5, 1.0, 0.0, "plain"),
        ("B1", 2.0, 1.0, 0.0, None),
        (None, 4.0, 1.0, 0.0, None),
        (None, None, 3.0, 4.0, "beautiful"),
    ],
)
def test_complexity(cefr, zipf, ratio, verse_z, want):
    assert labels.complexity(cefr, zipf, ratio, verse_z) == want


def test_a_lean_must_be_sure_and_large():
    assert labels.passes(0.8, 3.6)
    assert not labels.passes(0.8, 3.4)
    assert not labels.passes(0.6, 20)
