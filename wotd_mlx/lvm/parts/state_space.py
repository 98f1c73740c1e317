"""S4's state spaces: one linear system a channel, read as a convolution, in chunks or by steps.

.. math:: \\dot x = A x + B u, \\quad y = 2\\,\\mathrm{Re}(C x) + d u, \\quad A = \\Lambda - P P^*

States come in conjugate pairs; one of each is kept, and N real numbers stand for N/2 complex ones: the real parts, then
the imaginary ones. So 2 Re(P* x) is a product with a real vector, and all arithmetic is real.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Protocol

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from wotd_mlx.lvm.parts.convolution import SHORT, convolve

Pair = tuple[mx.array, mx.array]
"""Real and imaginary parts."""
NODES = 512
"""So many roots of unity are taken at once, which bounds the memory of long kernels."""


@lru_cache
def hippo(states: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]:
    """Λ, P, B (N/2,) of HiPPO-LegS in the basis that makes A + P P* diagonal, one of each conjugate pair.

    A_nk = -√(2n+1) √(2k+1) below the diagonal, -(n+1) on it, B_n = √(2n+1), P_n = √(n+1/2).
    """
    n = np.arange(states)
    root = np.sqrt(2 * n + 1)
    a = -np.tril(np.outer(root, root), -1) - np.diag(n + 1)
    p = np.sqrt(n + 0.5)
    # A + P Pᵀ is a skew matrix less ½: eigenvalues -½ ± iω.
    frequencies, basis = np.linalg.eigh(-1j * (a + np.outer(p, p) + 0.5 * np.eye(states)))
    kept = frequencies > 0
    basis = basis[:, kept].conj().T
    return -0.5 + 1j * frequencies[kept], basis @ p, basis @ root


def times(a: Pair, b: Pair) -> Pair:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _halves(x: mx.array) -> Pair:
    return x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]


def _joined(pair: Pair) -> mx.array:
    return mx.concatenate(list(pair), axis=-1)


class Discrete(NamedTuple):
    """The system in steps of Δ: x ← x + ψ x - column (row · x) + write u, y = read · x.

    ψ is a pair of (H, N/2), the rest real (H, N). What a step changes is kept rather than Ā itself: Ā is nearly 1
    where Δ is small, and its powers would lose the difference.
    """

    change: Pair
    write: mx.array
    read: mx.array
    low_rank: tuple[mx.array, mx.array] | None


class Powers(Protocol):
    """Powers of Ā that are powers of two, found by squaring."""

    def drift(self, x: mx.array, i: int, back: bool = False) -> mx.array:
        """(Ā^(2^i) - 1) x for columns x (H, any, N); from the right for rows if ``back``."""


class Dense:
    """Ā as matrices: with E = Ā^m - 1, Ā^(2m) - 1 is 2 E + E²."""

    def __init__(self, system: Discrete) -> None:
        assert system.low_rank is not None
        column, row = system.low_rank
        eye = mx.eye(row.shape[-1] // 2)
        real, imaginary = (part[..., None] * eye for part in system.change)
        diagonal = mx.concatenate(
            [mx.concatenate([real, -imaginary], axis=2), mx.concatenate([imaginary, real], axis=2)], axis=1
        )
        self.squares = [diagonal - column[:, :, None] * row[:, None]]

    def drift(self, x: mx.array, i: int, back: bool = False) -> mx.array:
        while len(self.squares) <= i:
            self.squares.append(2 * self.squares[-1] + self.squares[-1] @ self.squares[-1])
        return x @ (self.squares[i] if back else self.squares[i].swapaxes(1, 2))


class Diagonal:
    """Ā of S4D, which has no low-rank part."""

    def __init__(self, system: Discrete) -> None:
        real, imaginary = system.change
        self.squares = [(real[:, None], imaginary[:, None])]

    def drift(self, x: mx.array, i: int, back: bool = False) -> mx.array:
        while len(self.squares) <= i:
            change = self.squares[-1]
            squared = times(change, change)
            self.squares.append((2 * change[0] + squared[0], 2 * change[1] + squared[1]))
        real, imaginary = self.squares[i]
        return _joined(times(_halves(x), (real, -imaginary if back else imaginary)))


def orbit(powers: Powers, x: mx.array, count: int, first: int = 0, back: bool = False) -> mx.array:
    """x, Ā^s x, Ā^2s x, … with s = 2^first: (H, K, N) -> (H, count · K, N), all of one power side by side."""
    K, n = x.shape[1], 1
    while n < count:
        some = x[:, : (count - n) * K]
        x = mx.concatenate([x, some + powers.drift(some, first, back)], axis=1)
        first, n = first + 1, 2 * n
    return x


class StateSpace(nn.Module):
    """H systems of N states, one a channel, that start as HiPPO-LegS.

    One vector takes a step of the recurrence, O(N) a channel; more take the convolution. Its kernel comes from the
    generating function at the roots of unity (:meth:`_generated`) or for S4D from the powers of Ā's diagonal. A state
    that is carried adds C Ā^(t+1) x to position t, and the state after a chunk is summed in a tree.

    Args:
        width: H. states: N, even. kernel: ``s4``, or ``s4d`` without the low-rank part. steps: bounds of Δ at first.
    Shape:
        u (B, L, H), state (B, H, N) -> y (B, L, H), state (B, H, N).
    Reference:
        Gu et al. 2021, arXiv 2111.00396, algorithm 1 and appendix C; S4D: Gu et al. 2022, arXiv 2206.11893.
    """

    def __init__(self, width: int, states: int, kernel: str, steps: tuple[float, float]) -> None:
        super().__init__()
        eigenvalues, p, b = (np.tile(v, (width, 1)) for v in hippo(states))
        self.log_decay = mx.array(np.log(-eigenvalues.real), mx.float32)
        self.frequency = mx.array(eigenvalues.imag, mx.float32)
        if kernel == "s4":
            self.p = mx.array(np.stack([p.real, p.imag]), mx.float32)
        self.b = mx.array(np.stack([b.real, b.imag]), mx.float32)
        self.c = mx.random.normal(self.b.shape, scale=0.5**0.5)
        self.log_step = mx.random.uniform(float(np.log(steps[0])), float(np.log(steps[1])), (width,))
        self.skip = mx.random.normal((width,))

    def __call__(self, u: mx.array, state: mx.array | None) -> tuple[mx.array, mx.array]:
        B, L, H = u.shape
        system = self.discrete()
        if L == 1:
            before = mx.zeros((B, H, system.read.shape[-1])) if state is None else state
            y, state = self._step(system, u[:, 0], before)
            return y[:, None], state
        powers: Powers = Dense(system) if "p" in self else Diagonal(system)
        kernel = self.kernel(L, system, powers)
        kernel = mx.concatenate([kernel[:, :1] + self.skip[:, None], kernel[:, 1:]], axis=1)
        y = convolve(u, kernel)
        known = self._summed(system, powers, u)
        if state is not None:
            before = state.transpose(1, 0, 2)
            y = y + self._remembered(system, powers, before, L)
            for i in range(L.bit_length()):
                if L >> i & 1:
                    before = before + powers.drift(before, i)
            known = known + before
        return y, known.transpose(1, 0, 2)

    def discrete(self) -> Discrete:
        """Bilinear: Ā = (1 - Δ/2 A)⁻¹ (1 + Δ/2 A), again diagonal plus rank one by Woodbury's identity."""
        step, (real, imaginary) = mx.exp(self.log_step)[:, None], self._scaled()
        size = (1 - real) ** 2 + imaginary**2
        d = ((1 - real) / size, imaginary / size)  # 1 / (1 - Δ/2 Λ)
        change = times((2 * real, 2 * imaginary), d)
        c = _joined((2 * self.c[0], -2 * self.c[1]))
        write = _joined(times(d, (self.b[0], self.b[1]))) * step
        if "p" not in self:
            return Discrete(change, write, c, None)
        column = _joined(times(d, (self.p[0], self.p[1])))
        # Row vector of 2 Re(P* x), and of 2 Re(P* d x), both in real numbers.
        p = _joined((2 * self.p[0], 2 * self.p[1]))
        row = _joined(times((d[0], -d[1]), (2 * self.p[0], 2 * self.p[1])))
        weight = step / (1 + step / 2 * (p * column).sum(axis=-1, keepdims=True))
        # (1 - Δ/2 A)⁻¹ B = d B - weight / 2 · column · 2 Re(P* d B)
        write = write - weight / 2 * column * (p * write).sum(axis=-1, keepdims=True)
        return Discrete(change, write, c, (weight * column, row))

    def kernel(self, L: int, system: Discrete, powers: Powers) -> mx.array:
        """C Āᵗ B̄ for t < L: (H, L)."""
        if "p" in self:
            return self._generated(L, system, powers)
        count, block, i = _blocks(L)
        rows = orbit(powers, system.read[:, None], count, i, back=True)
        columns = orbit(powers, system.write[:, None], block).swapaxes(1, 2)
        return (rows @ columns).reshape(-1, count * block)[:, :L]

    def _scaled(self) -> Pair:
        """Δ/2 Λ (H, N/2)."""
        half = mx.exp(self.log_step)[:, None] / 2
        return -mx.exp(self.log_decay) * half, self.frequency * half

    def _generated(self, L: int, system: Discrete, powers: Powers) -> mx.array:
        r"""The kernel (H, L) from its generating function at z = exp(-2πi l / L), without powers of Ā for every t.

        .. math::
            \hat K(z) = \frac{2}{1 + z} \left[\tilde C^* R B - \tilde C^* R P (1 + P^* R P)^{-1} P^* R B\right], \quad
            R = \left(\frac{2}{\Delta}\frac{1 - z}{1 + z} - \Lambda\right)^{-1}, \quad \tilde C = C (1 - \bar A^L)

        With z = exp(-2iφ) and ρ(v) = Σ v / (i sin φ - Δ/2 Λ cos φ) over all states this is
        Δ/2 e^{iφ} [ρ(C̃B) - ρ(C̃P) ρ(P̄B) w / (1 + w ρ(P̄P))], w = Δ/2 cos φ, which is finite at z = -1 too.
        """
        rest = mx.zeros_like(system.read[:, None])  # C (Āᴸ - 1), without their difference
        for i in range(L.bit_length()):
            if L >> i & 1:
                rest = rest + powers.drift(system.read[:, None] + rest, i, back=True)
        real, imaginary = _halves(-rest[:, 0])
        b, p = (self.b[0], self.b[1]), (self.p[0], self.p[1])
        c, p_ = (real / 2, -imaginary / 2), (p[0], -p[1])
        weights = [times(c, b), times(c, p), times(p_, b), times(p_, p)]
        low, high = self._scaled()
        turned = [2 * (v[0] * low + v[1] * high) for v in weights]  # 2 Re(v · conj(Δ/2 Λ))
        numerators = mx.stack([*[2 * v[0] for v in weights], *turned], axis=-1)  # (H, N/2, 8)
        phi = np.pi * np.arange(L // 2 + 1)[:, None] / L
        sines, cosines = mx.array(np.sin(phi), mx.float32), mx.array(np.cos(phi), mx.float32)
        half = mx.exp(self.log_step)[:, None] / 2
        parts = []
        for start in range(0, L // 2 + 1, NODES):
            s, c_ = sines[start : start + NODES], cosines[start : start + NODES]
            rho = _cauchy(numerators, low[:, None], high[:, None], s, c_)
            weight = half * c_[:, 0]
            low_rank = times(rho[1], rho[2])
            below = (1 + weight * rho[3][0], weight * rho[3][1])
            weight = weight / (below[0] ** 2 + below[1] ** 2)
            shift = times(low_rank, (below[0] * weight, -below[1] * weight))
            value = (rho[0][0] - shift[0], rho[0][1] - shift[1])
            parts.append(times(value, (half * c_[:, 0], half * s[:, 0])))
        real, imaginary = (mx.concatenate(list(part), axis=1) for part in zip(*parts, strict=True))
        if L > SHORT:
            return mx.fft.irfft(real + 1j * imaginary, n=L)
        return mx.concatenate([real, imaginary], axis=1) @ _inverse_transform(L)

    def _step(self, system: Discrete, u: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
        """u (B, H), x (B, H, N) -> y (B, H), x: one step of the recurrence."""
        change = _joined(times(system.change, _halves(x)))
        if system.low_rank is not None:
            column, row = system.low_rank
            change = change - column * (row * x).sum(axis=-1, keepdims=True)
        x = x + change + system.write * u[..., None]
        return (system.read * x).sum(axis=-1) + self.skip * u, x

    def _remembered(self, system: Discrete, powers: Powers, x: mx.array, L: int) -> mx.array:
        """C Ā^(t+1) x for each position t of a chunk: x (H, B, N) -> (B, L, H)."""
        H, B, _ = x.shape
        count, block, i = _blocks(L)
        starts = orbit(powers, x + powers.drift(x, 0), count, i)
        rows = orbit(powers, system.read[:, None], block, back=True)
        y = (starts @ rows.swapaxes(1, 2)).reshape(H, count, B, block)
        return y.transpose(2, 1, 3, 0).reshape(B, count * block, H)[:, :L]

    def _summed(self, system: Discrete, powers: Powers, u: mx.array) -> mx.array:
        """The state after a chunk that starts from nothing: u (B, L, H) -> (H, B, N)."""
        B, L, H = u.shape
        count, block, i = _blocks(L)
        count = 1 << (count - 1).bit_length()
        # Zeros before the first vector change nothing.
        u = mx.pad(u, [(0, 0), (count * block - L, 0), (0, 0)])
        u = u.reshape(B, count, block, H).transpose(3, 1, 0, 2).reshape(H, count * B, block)
        columns = orbit(powers, system.write[:, None], block)
        x = u @ columns[:, ::-1]
        while count > 1:
            count //= 2
            x = x.reshape(H, count, 2, B, -1)
            early, late = x[:, :, 0].reshape(H, count * B, -1), x[:, :, 1].reshape(H, count * B, -1)
            x, i = early + powers.drift(early, i) + late, i + 1
        return x


def _blocks(L: int) -> tuple[int, int, int]:
    """(count, size, log2 size) of the blocks that L positions are cut into."""
    i = min((L - 1).bit_length(), 6)
    return -(-L >> i), 1 << i, i


def _cauchy(numerators: mx.array, low: mx.array, high: mx.array, s: mx.array, c: mx.array) -> list[Pair]:
    """ρ for each of four numerators: (H, nodes) each, the sum over both states of every pair.

    A pair with weights v and v̄ gives (2 Re(v) i s - 2 Re(v ā) c) / (|a|² c² - s² - 2i Re(a) s c), a = low + i high.
    """
    below = ((low**2 + high**2) * c**2 - s**2, -2 * low * (s * c))  # (H, nodes, N/2)
    size = below[0] ** 2 + below[1] ** 2
    real, imaginary = (below[0] / size) @ numerators, (-below[1] / size) @ numerators
    s, c = s[:, 0], c[:, 0]
    re, im = (lambda k: real[..., k]), (lambda k: imaginary[..., k])
    return [(-s * im(k) - c * re(k + 4), s * re(k) - c * im(k + 4)) for k in range(4)]


def _inverse_transform(L: int) -> mx.array:
    """What takes the real parts and the imaginary ones of L // 2 + 1 frequencies to L real numbers."""
    k = np.arange(L // 2 + 1)[:, None]
    angles = 2 * np.pi * (k * np.arange(L) % L) / L
    weight = np.where((k == 0) | (2 * k == L), 1, 2) / L
    return mx.array(np.concatenate([weight * np.cos(angles), -weight * np.sin(angles)]), mx.float32)
