"""Recurrent layers by loops over their steps in float64, in every direction and with every activation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.converters.executor.calls import call, needs, normal
from tests.tolerances import close

S, B, I, H = 4, 2, 3, 5  # noqa: E741  MIL's own letters
X, H0, C0 = normal(S, B, I), normal(B, H, seed=1), normal(B, H, seed=2)
ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "sigmoid_hard": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "TANH": np.tanh,
}
DIRECTIONS = [("forward", False), ("forward", True), ("reverse", False), ("reverse", True)]


def weights(gates, seed=3):
    """(W_ih, W_hh, b) of a layer with so many gates."""
    return normal(gates * H, I, seed=seed), normal(gates * H, H, seed=seed + 1), normal(gates * H, seed=seed + 2)


def walked(step, state, direction):
    """The states in the order of computation, from the front or from the end."""
    states = []
    for x in X if direction == "forward" else X[::-1]:
        state = step(x.astype(np.float64), state)
        states.append(state)
    return states


def held(got, states, whole):
    """The hidden states, or only the last, and the last one again."""
    hidden = [s[0] if isinstance(s, tuple) else s for s in states]
    close(got[0], np.stack(hidden) if whole else hidden[-1][None], "executor")
    for part, want in zip(got[1:], states[-1] if isinstance(states[-1], tuple) else states[-1:], strict=True):
        close(part, want, "executor")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rnn(activation):
    wi, wh, b = weights(1)
    act = ACTIVATIONS[activation]
    for (direction, whole), bias in itertools.product(DIRECTIONS, (b, None)):
        shift = 0 if bias is None else bias
        states = walked(lambda x, h, shift=shift: act(x @ wi.T + h @ wh.T + shift), H0, direction)
        given = {"direction": direction, "output_sequence": whole, "activation": activation}
        held(call("rnn", x=X, initial_h=H0, weight_ih=wi, weight_hh=wh, bias=bias, **given), states, whole)
    plain = call("rnn", x=X, initial_h=H0, weight_ih=wi, weight_hh=wh)
    held(plain, walked(lambda x, h: np.tanh(x @ wi.T + h @ wh.T), H0, "forward"), False)


@pytest.mark.parametrize(("direction", "whole"), DIRECTIONS)
@pytest.mark.parametrize("reset_after", [False, True])
def test_gru(direction, whole, reset_after):
    wi, wh, b = weights(3)
    extra = normal(3 * H, seed=9)
    for gate, act, bias, added in (
        ("sigmoid", "tanh", b, extra),
        ("hard_sigmoid", "relu", b, None),
        ("sigmoid", "tanh", None, None),
    ):
        b_r, b_o, b_z = np.split(np.zeros(3 * H) if bias is None else bias, 3)
        w_r, w_o, w_z = (w.T for w in np.split(wh, 3))

        def step(x, h, g=ACTIVATIONS[gate], a=ACTIVATIONS[act], add=added, bs=(b_r, b_o, b_z), ws=(w_r, w_o, w_z)):
            r, o, z = np.split(x @ wi.T + (0 if add is None else add), 3, axis=1)
            r, z = g(r + h @ ws[0] + bs[0]), g(z + h @ ws[2] + bs[2])
            o = a(o + r * (h @ ws[1] + bs[1])) if reset_after else a(o + (r * h) @ ws[1] + bs[1])
            return (1 - z) * o + z * h

        given = {"direction": direction, "output_sequence": whole, "reset_after": reset_after}
        more = {"recurrent_activation": gate, "activation": act, "bias": bias, "input_bias": added}
        got = call("gru", x=X, initial_h=H0, weight_ih=wi, weight_hh=wh, **given, **more)
        held(got, walked(step, H0, direction), whole)


def lstm_step(wi, wh, b, peephole=None, clip=None, acts=("sigmoid", "tanh", "tanh")):
    """The equations of ``lstm``: gates i, f, o, z."""
    gate, cell, act = (ACTIVATIONS[name] for name in acts)
    p_i, p_f, p_o = (0, 0, 0) if peephole is None else np.split(peephole, 3)

    def step(x, state):
        h, c = state
        i, f, o, z = np.split(x @ wi.T + h @ wh.T + (0 if b is None else b), 4, axis=1)
        z = cell(z) if clip is None else np.clip(cell(z), -clip, clip)
        new = gate(f + p_f * c) * c + gate(i + p_i * c) * z
        return gate(o + p_o * new) * act(new), new

    return step


FORMS = {
    "plain": {},
    "peephole": {"peephole": normal(3 * H, seed=8)},
    "clip": {"clip": 0.4},
    "activations": {"acts": ("hard_sigmoid", "relu", "sigmoid")},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("direction", "whole"), DIRECTIONS)
def test_lstm(form, direction, whole):
    wi, wh, b = weights(4)
    given = dict(FORMS[form])
    bias = None if form == "plain" else b
    states = walked(lstm_step(wi, wh, bias, **given), (H0, C0), direction)
    acts = given.pop("acts", None)
    if acts:
        given |= dict(zip(("recurrent_activation", "cell_activation", "activation"), acts, strict=True))
    got = call(
        "lstm",
        x=X,
        initial_h=H0,
        initial_c=C0,
        weight_ih=wi,
        weight_hh=wh,
        bias=bias,
        direction=direction,
        output_sequence=whole,
        **given,
    )
    held(got, states, whole)


@pytest.mark.parametrize("whole", [False, True])
def test_lstm_in_both_directions(whole):
    """Side by side at common positions in time; without the sequence the last state of each."""
    ahead, back = weights(4), weights(4, seed=20)
    peepholes = normal(3 * H, seed=8), normal(3 * H, seed=9)
    h0, c0 = normal(B, 2 * H, seed=1), normal(B, 2 * H, seed=2)
    first = walked(lstm_step(*ahead, peepholes[0]), (h0[:, :H], c0[:, :H]), "forward")
    second = walked(lstm_step(*back, peepholes[1]), (h0[:, H:], c0[:, H:]), "reverse")
    names = ("weight_ih", "weight_hh", "bias")
    y, h, c = call(
        "lstm",
        x=X,
        initial_h=h0,
        initial_c=c0,
        **dict(zip(names, ahead, strict=True)),
        **{f"{name}_back": array for name, array in zip(names, back, strict=True)},
        peephole=peepholes[0],
        peephole_back=peepholes[1],
        direction="bidirectional",
        output_sequence=whole,
    )
    sides = [[s[0] for s in first], [s[0] for s in second][::-1]]
    ends = [first[-1], second[-1]]
    want = np.concatenate([np.stack(s) for s in sides], -1) if whole else np.concatenate([e[0] for e in ends], -1)[None]
    close(y, want, "executor")
    close(h, np.concatenate([e[0] for e in ends], -1), "executor")
    close(c, np.concatenate([e[1] for e in ends], -1), "executor")


def test_both_directions_need_weights_for_both():
    wi, wh, b = weights(4)
    given = {"x": X, "initial_h": normal(B, 2 * H), "initial_c": normal(B, 2 * H), "direction": "bidirectional"}
    for more in ({"weight_ih_back": wi}, {"weight_hh_back": wh}):
        with pytest.raises(ValueError, match="needs weight_ih_back and weight_hh_back"):
            call("lstm", weight_ih=wi, weight_hh=wh, bias=b, **given, **more)


SHAPES = {
    "rnn": (1, {"bias": (1,), "weight_ih": (H, I + 1), "weight_hh": (H, H + 1), "initial_h": (B + 1, H)}),
    "gru": (3, {"bias": (1,), "weight_ih": (3 * H, 1), "weight_hh": (3 * H, 1), "initial_h": (1, H)}),
    "lstm": (
        4,
        {
            "bias": (1,),
            "weight_ih": (4 * H, 1),
            "weight_hh": (H, H),
            "initial_h": (1, H),
            "initial_c": (1, H),
            "peephole": (1,),
        },
    ),
}


@pytest.mark.parametrize(("name", "part"), [(name, part) for name, (_, parts) in SHAPES.items() for part in parts])
def test_what_would_broadcast_is_refused(name, part):
    gates, wrong = SHAPES[name]
    given = {"x": X, "initial_h": H0, **dict(zip(("weight_ih", "weight_hh", "bias"), weights(gates), strict=True))}
    if name == "lstm":
        given |= {"initial_c": C0, "peephole": normal(3 * H)}
    call(name, **given)
    with pytest.raises(ValueError, match=r"got the shape .*, expected"):
        call(name, **{**given, part: normal(*wrong[part])})


def test_unknown_activation_is_refused():
    wi, wh, _ = weights(1)
    with pytest.raises(NotImplementedError, match="no recurrent activation 'softmax'; there are"):
        call("rnn", x=X, initial_h=H0, weight_ih=wi, weight_hh=wh, activation="softmax")


def test_what_they_hold_on_the_way():
    """What every step projects, and its state."""
    wi, wh, _ = weights(3)
    assert needs("gru", x=X, initial_h=H0, weight_ih=wi, weight_hh=wh) == S * B * (3 * H + H)
