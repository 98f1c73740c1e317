"""What a person thinks of words, as far as few votes tell: a mixture of Gaussian processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Vectors
from wotd_mlx.taste.features import Features, Rows

Weights = Mapping[str, float]
"""Of kernels, by name: what each contributes to the variance."""


def mixtures(kernels: Sequence[str], variance: float) -> Iterator[Weights]:
    """Each sense of likeness alone, each two, and all of them: what a taste may rest on."""
    yield from ({kernel: variance} for kernel in kernels)
    yield from ({one: variance / 2, other: variance / 2} for one, other in combinations(kernels, 2))
    yield {kernel: variance / len(kernels) for kernel in kernels}


@dataclass(frozen=True)
class _Fit:
    """One Gaussian process: its kernels' weights, the Cholesky factor of its votes' covariance (n, n), the solved votes
    (n,), and how likely the votes are under it, a logarithm."""

    weights: Weights
    factor: NDArray[np.float64]
    solved: NDArray[np.float64]
    evidence: float


class Posterior:
    r"""What a person thinks of M words, given votes y on n of them.

    .. math::
        f \sim \sum_m p_m \, \mathcal{GP}\Bigl(\pi, \sum_k w_{mk} K_k\Bigr), \qquad y = f + \varepsilon, \qquad
        p_m \propto p(y \mid m)

    A person who goes by topic and one who goes by register are told apart by which mixture of kernels makes their votes
    likelier, so nothing is tuned a person; with few votes all mixtures have a say.

    Args:
        features: of the M words.
        rows: (n,) the words voted on.
        votes: (n,) 1 liked, 0 not.
        noise: (n,) the variance of each vote.
    Reference:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapters 2 and 5. Thompson sampling:
        Chapelle and Li, NeurIPS 2011.
    """

    def __init__(self, features: Features, rows: Rows, votes: Vectors, noise: Vectors):
        config = features.config
        self.features, self.rows = features, rows
        self._prior = config.likes
        among = {name: k.astype(np.float64) for name, k in features.alike(rows, rows).items()}
        self._fits = [
            _fit(weights, among, votes - self._prior, noise) for weights in mixtures(features.kernels, config.variance)
        ]
        evidence = np.array([fit.evidence for fit in self._fits])
        odds = np.exp(evidence - evidence.max())
        self.shares: NDArray[np.float64] = odds / odds.sum()

    @property
    def rests_on(self) -> dict[str, float]:
        """How much of the taste each sense of likeness explains; they add up to 1."""
        found = dict.fromkeys(self.features.kernels, 0.0)
        for share, fit in zip(self.shares, self._fits, strict=True):
            for kernel, weight in fit.weights.items():
                found[kernel] += float(share * weight / sum(fit.weights.values()))
        return found

    def mean(self) -> Vectors:
        """(M,) the probability, or nearly, that each word is liked."""
        found = np.full(len(self.features), self._prior, np.float32)
        for name, kernel in self.features.alike(self.rows).items():
            solved = sum(
                share * fit.weights.get(name, 0.0) * fit.solved
                for share, fit in zip(self.shares, self._fits, strict=True)
            )
            found += kernel @ np.asarray(solved, np.float32)
        return found

    def draw(self, others: Rows, rng: np.random.Generator) -> NDArray[np.float64]:
        """What the person may think of words ``others`` (N,): one sample (N,) of the posterior."""
        fit = self._fits[rng.choice(len(self._fits), p=self.shares)]

        def covariance(kernels: Mapping[str, Vectors]) -> NDArray[np.float64]:
            return _sum(fit.weights, {name: kernel.astype(np.float64) for name, kernel in kernels.items()})

        across = covariance(self.features.alike(self.rows, others))
        part = np.linalg.solve(fit.factor, across.T)
        left = covariance(self.features.alike(others, others)) - part.T @ part
        values, directions = np.linalg.eigh((left + left.T) / 2)
        noise = directions @ (np.sqrt(np.maximum(values, 0)) * rng.standard_normal(len(values)))
        drawn: NDArray[np.float64] = self._prior + across @ fit.solved + noise
        return drawn


def _sum(weights: Weights, kernels: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    first, *rest = (weight * kernels[name] for name, weight in weights.items())
    return sum(rest, first)


def _fit(weights: Weights, kernels: Mapping[str, NDArray[np.float64]], votes: Vectors, noise: Vectors) -> _Fit:
    covariance = _sum(weights, kernels) + np.diag(noise.astype(np.float64))
    factor = np.asarray(np.linalg.cholesky(covariance), np.float64)
    solved = np.asarray(np.linalg.solve(covariance, votes.astype(np.float64)), np.float64)
    return _Fit(weights, factor, solved, float(-votes @ solved / 2 - np.log(np.diag(factor)).sum()))
