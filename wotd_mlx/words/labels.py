"""How evidence becomes a label: pure functions of counts, shared by the built-in table and every provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The one table of periods: style goes by year of writing, and works in no span are only compared against.
STYLE_YEARS = {"classical": (0, 1699), "romantic": (1700, 1850), "modern": (1899, 9999)}
Z_MIN = 3.5  # a label of style or era, and a verse lean, needs at least this z
DELTA_MIN = float(np.log(2))  # … and odds at least doubled: a large work makes tiny leans significant
VERSE_Z_MIN = 2.6  # verse is a fifth of the texts, so fewer words can be sure; the ratio and the spread guard it
VERSE_RATIO_MIN = 2.0
VERSE_DELTA_MIN = float(np.log(1.25))  # in each period that has enough verse
SIMPLE_ZIPF_MIN = 3.5  # cefrpy grades some rare words A1-A2 after a common relative
PLAIN_ZIPF_MIN = 2.5
COMPLEX_ZIPF_MAX = 3.5
PRIOR_SHARE = 0.1  # strength of the prior in units of the texts compared


class LogOdds(NamedTuple):
    """Log-odds ratio of each word, and its z-score; both have shape (V,)."""

    delta: Floats
    z: Floats

    @property
    def variance(self) -> Floats:
        """Variance of ``delta``; infinite where it is 0 and says nothing."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.z == 0, np.inf, (self.delta / self.z) ** 2)


def informative_prior(pooled: Any, share: float = PRIOR_SHARE) -> Floats:
    """Return pseudo-counts ``share × pooled`` (V,), at least 0.01: the prior is the language as a whole."""
    return np.asarray(np.maximum(share * np.asarray(pooled, dtype=np.float64), 0.01))


def log_odds(counts_a: Any, counts_b: Any, prior: Any) -> LogOdds:
    r"""Compare how two bodies of text use each word, shrunk towards an informative Dirichlet prior.

    .. math::
        \delta_w = \log\frac{a_w + \alpha_w}{n_a + \alpha_0 - a_w - \alpha_w}
                 - \log\frac{b_w + \alpha_w}{n_b + \alpha_0 - b_w - \alpha_w}, \qquad
        z_w = \delta_w \Big/ \sqrt{\tfrac{1}{a_w + \alpha_w} + \tfrac{1}{b_w + \alpha_w}}

    Args:
        counts_a: uses of each word in text a, (V,); ``n_a`` is their sum.
        counts_b: the same for text b.
        prior: the pseudo-counts α, (V,), all above 0; ``α_0`` is their sum.
    Reference:
        Monroe, Colaresi and Quinn 2008, "Fightin' Words", Political Analysis 16(4), equations 15-22.
    """
    a, b, alpha = (np.asarray(x, dtype=np.float64) for x in (counts_a, counts_b, prior))
    if not a.shape == b.shape == alpha.shape or a.ndim != 1:
        raise ValueError(f"log_odds: shapes {a.shape}, {b.shape}, {alpha.shape}; expected one (V,) for all three")
    if (alpha <= 0).any() or (a < 0).any() or (b < 0).any():
        raise ValueError("log_odds: counts must not be negative, and every prior pseudo-count must be above 0")
    a_in, b_in = a + alpha, b + alpha
    with np.errstate(divide="ignore", invalid="ignore"):
        delta = np.log(a_in / (a_in.sum() - a_in)) - np.log(b_in / (b_in.sum() - b_in))
        delta = np.nan_to_num(delta)  # a single word is all of both texts: it leans nowhere
    return LogOdds(delta, delta / np.sqrt(1 / a_in + 1 / b_in))


def combine(strata: Sequence[LogOdds]) -> LogOdds:
    r"""Pool comparisons made within strata (periods, say) by inverse variance, the fixed-effect estimate.

    .. math:: \delta = \sum_s \delta_s / v_s \Big/ \sum_s 1 / v_s, \qquad z = \delta \sqrt{\sum_s 1 / v_s}

    Reference:
        Borenstein et al. 2010, "A basic introduction to fixed-effect and random-effects models".
    """
    if not strata:
        raise ValueError("combine: no strata; give at least one comparison")
    weights = np.stack([1 / s.variance for s in strata])
    total = weights.sum(axis=0)
    summed = (weights * np.stack([s.delta for s in strata])).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return LogOdds(np.nan_to_num(summed / total), np.nan_to_num(summed / np.sqrt(total)))


def passes(delta: float, z: float) -> bool:
    """Tell whether a lean is both sure (z) and large (odds at least doubled)."""
    return z > Z_MIN and delta > DELTA_MIN


def is_beautiful(verse_ratio: float, verse_z: float) -> bool:
    """Tell whether verse prefers a word: twice as often as the prose of its own period, and surely so."""
    return verse_z > VERSE_Z_MIN and verse_ratio > VERSE_RATIO_MIN


def complexity(cefr: str | None, zipf: float | None, verse_ratio: float = 1.0, verse_z: float = 0.0) -> str | None:
    """Return simple, beautiful, complex or plain, or None where the evidence decides nothing.

    Simple: CEFR A1-A2 and zipf 3.5 or more. Otherwise beautiful: verse prefers it. Otherwise complex: CEFR
    C1-C2 and zipf below 3.5. Plain: CEFR B1-B2 and zipf 2.5 or more, or C1-C2 and yet zipf 3.5 or more.
    """
    if zipf is None or cefr is None:
        return "beautiful" if is_beautiful(verse_ratio, verse_z) else None
    if cefr in ("A1", "A2") and zipf >= SIMPLE_ZIPF_MIN:
        return "simple"
    if is_beautiful(verse_ratio, verse_z):
        return "beautiful"
    if cefr in ("C1", "C2"):
        return "complex" if zipf < COMPLEX_ZIPF_MAX else "plain"
    return "plain" if cefr in ("B1", "B2") and zipf >= PLAIN_ZIPF_MIN else None
