"""Recurrent layers: x (s, b, I) step by step over s."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

from converters.coreml.executor.ops.common import Array, expect_shape, product
from converters.coreml.executor.registry import op

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda x: np.asarray(np.tanh(x)),
    "sigmoid": lambda x: np.asarray(expit(x)),
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "hard_sigmoid": lambda x: np.clip(np.float32(0.2) * x + np.float32(0.5), 0, 1),
}
ACTIVATIONS["sigmoid_hard"] = ACTIVATIONS["hard_sigmoid"]


def _activation(name: str) -> Callable[[Array], Array]:
    if name.lower() not in ACTIVATIONS:
        raise NotImplementedError(f"no recurrent activation {name!r}; there are {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name.lower()]


def _scan(
    projected: Array, h: Array, step: Callable[[Array, Array], Array], reverse: bool, output_sequence: bool
) -> tuple[Array, Array]:
    """h_t = step(projected_t, h_{t−1}) -> (all h in the order of computation, or only the last; the last h)."""
    expect_shape("initial_h", h, (projected.shape[1], h.shape[-1]))
    states = np.zeros((len(projected), *h.shape), dtype=np.float32)
    for t, part in enumerate(projected[::-1] if reverse else projected):
        h = step(part, h)
        states[t] = h
    return (states if output_sequence else h[None]), h


def _project(x: Array, weight: Array, bias: Array | None) -> Array:
    expect_shape("weight_ih", weight, (len(weight), x.shape[2]))
    expect_shape("bias", bias, (len(weight),))
    y = np.matmul(x, weight.T)
    return np.asarray(y if bias is None else y + bias)


def _steps(x: Array, initial_h: Array, weight_ih: Array, **_: Any) -> int:
    return product((*x.shape[:2], len(weight_ih) + initial_h.shape[-1]))


@op("rnn", needs=_steps)
def rnn(
    x: Array,
    initial_h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    activation: str = "tanh",
) -> tuple[Array, Array]:
    """h_t = act(W_ih x_t + W_hh h_{t−1} + b)."""
    act = _activation(activation)
    expect_shape("weight_hh", weight_hh, (initial_h.shape[-1],) * 2)
    return _scan(
        _project(x, weight_ih, bias),
        initial_h,
        lambda p, h: act(p + h @ weight_hh.T),
        direction == "reverse",
        output_sequence,
    )


@op("gru", needs=_steps)
def gru(
    x: Array,
    initial_h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool = False,
    input_bias: Array | None = None,
) -> tuple[Array, Array]:
    """Gates r, o, z in this order; h_t = (1 − z) o + z h_{t−1}.

    Up to iOS 17, and with ``reset_after`` false, o = act(W_io x + W_ho (r h) + b_o); with ``reset_after`` true,
    o = act(W_io x + b_io + r (W_ho h + b_ho)), where ``bias`` belongs to h and ``input_bias`` to x.
    """
    gate, act = _activation(recurrent_activation), _activation(activation)
    hidden = initial_h.shape[-1]
    expect_shape("weight_hh", weight_hh, (3 * hidden, hidden))
    expect_shape("bias", bias, (3 * hidden,))
    w_r, w_o, w_z = (w.T for w in np.split(weight_hh, 3))
    b_r, b_o, b_z = (0.0, 0.0, 0.0) if bias is None else np.split(bias, 3)

    def step(p: Array, h: Array) -> Array:
        r = gate(p[..., :hidden] + h @ w_r + b_r)
        z = gate(p[..., 2 * hidden :] + h @ w_z + b_z)
        inner = p[..., hidden : 2 * hidden]
        o = act(inner + r * (h @ w_o + b_o)) if reset_after else act(inner + (r * h) @ w_o + b_o)
        return np.asarray((1 - z) * o + z * h)

    return _scan(_project(x, weight_ih, input_bias), initial_h, step, direction == "reverse", output_sequence)


@op("lstm", needs=_steps)
def lstm(
    x: Array,
    initial_h: Array,
    initial_c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None = None,
    peephole: Array | None = None,
    weight_ih_back: Array | None = None,
    weight_hh_back: Array | None = None,
    bias_back: Array | None = None,
    peephole_back: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
    clip: float | None = None,
) -> tuple[Array, Array, Array]:
    """Gates i, f, o, z in this order; c_t = f c_{t−1} + i z, h_t = o act(c_t); both directions side by side in H."""
    gate, cell, act = _activation(recurrent_activation), _activation(cell_activation), _activation(activation)

    def one(
        h0: Array, c0: Array, w_ih: Array, w_hh: Array, b: Array | None, peep: Array | None, reverse: bool
    ) -> tuple[Array, Array, Array]:
        hidden = h0.shape[-1]
        expect_shape("weight_hh", w_hh, (4 * hidden, hidden))
        expect_shape("initial_c", c0, h0.shape)
        expect_shape("peephole", peep, (3 * hidden,))
        p_i, p_f, p_o = (0.0, 0.0, 0.0) if peep is None else np.split(peep, 3)
        state = c0

        def step(p: Array, h: Array) -> Array:
            nonlocal state
            i, f, o, z = np.split(p + h @ w_hh.T, 4, axis=-1)
            z = cell(z)
            z = z if clip is None else np.clip(z, -clip, clip)
            previous = state
            state = gate(f + p_f * previous) * previous + gate(i + p_i * previous) * z
            return gate(o + p_o * state) * act(state)

        y, h = _scan(_project(x, w_ih, b), h0, step, reverse, output_sequence)
        return y, h, state

    if direction != "bidirectional":
        return one(initial_h, initial_c, weight_ih, weight_hh, bias, peephole, direction == "reverse")
    if weight_ih_back is None or weight_hh_back is None:
        raise ValueError("a bidirectional one needs weight_ih_back and weight_hh_back")
    half = weight_hh.shape[1]
    ahead = one(initial_h[:, :half], initial_c[:, :half], weight_ih, weight_hh, bias, peephole, False)
    back = one(initial_h[:, half:], initial_c[:, half:], weight_ih_back, weight_hh_back, bias_back, peephole_back, True)
    # One direction alone comes out in the order of computation, two at their common positions in time.
    back = (back[0][::-1], back[1], back[2])
    y, h, c = (np.concatenate(pair, axis=-1) for pair in zip(ahead, back, strict=True))
    return y, h, c
