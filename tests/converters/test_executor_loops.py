"""The executor's scatters and recurrent layers, against loops written out."""

from __future__ import annotations

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil import Builder

from converters.coreml.executor import Executor, PackageError
from tests.converters.saved import build, check
from tests.tolerances import close

IOS17, IOS18 = ct.target.iOS17, ct.target.iOS18
RNG = np.random.default_rng(7)
X = RNG.normal(size=(2, 3, 4)).astype(np.float32)
POSITIVE = np.abs(X) + np.float32(0.1)

MODES = {
    "update": lambda old, new: new,
    "add": lambda old, new: old + new,
    "sub": lambda old, new: old - new,
    "mul": lambda old, new: old * new,
    "div": lambda old, new: old / new,
    "max": max,
    "min": min,
}


@pytest.mark.parametrize("mode", MODES)
def test_scatters(mode, tmp_path):
    """Each kind of scatter, with positions hit twice where the order doesn't matter, by a loop over elements."""
    rows = np.array([2, 0, 2] if mode != "update" else [2, 0, 1], np.int32)
    inputs = {"x": X[0], "u": POSITIVE[1]}
    wants = [X[0].astype(np.float64), X[0].astype(np.float64), X[0].astype(np.float64)]
    along = np.broadcast_to(rows[:, None], (3, 4)).copy()
    positions = np.stack([rows, np.array([1, 3, 1])], axis=1).astype(np.int32)
    for i in range(3):
        for j in range(4):
            for want in wants[:2]:
                want[rows[i], j] = MODES[mode](want[rows[i], j], POSITIVE[1, i, j])
        wants[2][tuple(positions[i])] = MODES[mode](wants[2][tuple(positions[i])], POSITIVE[1, i, 0])

    def program(x, u):
        first = Builder.slice_by_index(x=u, begin=[0, 0], end=[3, 1], squeeze_mask=[False, True])
        return (
            Builder.scatter(data=x, indices=rows, updates=u, axis=0, mode=mode),
            Builder.scatter_along_axis(data=x, indices=along, updates=u, axis=0, mode=mode),
            Builder.scatter_nd(data=x, indices=positions, updates=first, mode=mode),
        )

    check(build(tmp_path / "m.mlpackage", program, inputs), inputs, wants, "executor")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("reset_after", [False, True])
def test_gru(direction, reset_after, tmp_path):
    """Steps written out; in reverse the sequence comes out in the order of computation."""
    x, h = RNG.normal(size=(5, 2, 3)).astype(np.float32), RNG.normal(size=(2, 4)).astype(np.float32)
    wi, wh = RNG.normal(size=(12, 3)).astype(np.float32), RNG.normal(size=(12, 4)).astype(np.float32)
    bi, bh = RNG.normal(size=(2, 12)).astype(np.float32)
    more = {"reset_after": True, "input_bias": bi} if reset_after else {}

    def program(x, h):
        return Builder.gru(
            x=x, initial_h=h, weight_ih=wi, weight_hh=wh, bias=bh, direction=direction, output_sequence=True, **more
        )

    states, state = [], h.astype(np.float64)
    for step in x if direction == "forward" else x[::-1]:
        (ir, io, iz) = np.split(step @ wi.T + (bi if reset_after else 0), 3, axis=1)
        hr, hz = (state @ np.split(wh, 3)[k].T + np.split(bh, 3)[k] for k in (0, 2))
        r, z = sigmoid(ir + hr), sigmoid(iz + hz)
        w, b = np.split(wh, 3)[1], np.split(bh, 3)[1]
        o = np.tanh(io + r * (state @ w.T + b)) if reset_after else np.tanh(io + (r * state) @ w.T + b)
        state = (1 - z) * o + z * state
        states.append(state)
    inputs = {"x": x, "h": h}
    target = IOS18 if reset_after else IOS17
    path = build(tmp_path / "m.mlpackage", program, inputs, target)
    # coremltools marks its own comparison of reset_after with torch as failing on Core ML.
    check(path, inputs, [np.stack(states), state], "executor", core_ml=not reset_after)


def test_lstm_with_peephole_and_clip(tmp_path):
    x, h, c = (RNG.normal(size=s).astype(np.float32) for s in ((4, 2, 3), (2, 5), (2, 5)))
    wi, wh, b, p = (RNG.normal(size=s).astype(np.float32) for s in ((20, 3), (20, 5), (20,), (15,)))

    def program(x, h, c):
        return Builder.lstm(
            x=x, initial_h=h, initial_c=c, weight_ih=wi, weight_hh=wh, bias=b, peephole=p, clip=np.float32(0.4)
        )

    state, cell = h.astype(np.float64), c.astype(np.float64)
    pi, pf, po = np.split(p, 3)
    for step in x:
        i, f, o, z = np.split(step @ wi.T + state @ wh.T + b, 4, axis=1)
        old = cell
        cell = sigmoid(f + pf * old) * old + sigmoid(i + pi * old) * np.clip(np.tanh(z), -0.4, 0.4)
        state = sigmoid(o + po * cell) * np.tanh(cell)
    inputs = {"x": x, "h": h, "c": c}
    path = build(tmp_path / "m.mlpackage", program, inputs)
    check(path, inputs, [state[None], state, cell], "executor")


def test_negative_index_is_refused_since_ios17(tmp_path):
    inputs = {"x": X, "i": np.array([-1, 0], np.int32)}
    path = build(tmp_path / "m.mlpackage", lambda x, i: Builder.gather(x=x, indices=i, axis=1), inputs)
    executor = Executor(path)
    told = "gather 'gather_0': indices from -1 to 0 for a length of 3; opset CoreML7 takes none below 0"
    with pytest.raises(PackageError, match=told):
        executor(inputs)
    good = {"x": X, "i": np.array([2, 0], np.int32)}
    close(next(iter(executor(good).values())), X[:, [2, 0]], "exact")
