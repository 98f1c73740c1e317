"""Gathers and scatters: indices of every rank, constant and computed, below 0 too, over each set of axes."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from tests.converters.ops.agree import agree, normal

X, I, J = normal(3, 4, 5), mx.array([2, -1, 0, -3]), mx.array([[1], [-2]])  # noqa: E741  indices
U = normal(4, 5, seed=1)


def test_takes(tmp_path):
    counts = agree(
        tmp_path,
        {
            **{f"axis{a}": lambda x, i, j, a=a: mx.take(x, i, axis=a) for a in (0, 1, 2)},
            **{f"matrix{a}": lambda x, i, j, a=a: mx.take(x, j, axis=a) for a in (0, 1, 2)},
            "constant": lambda x, i, j: mx.take(x, mx.array([[1, -1], [0, -4]]), axis=1),
            "rows": lambda x, i, j: x[i],
            "bits": lambda x, i, j: (x > 0)[i],
            "number": lambda x, i, j: x[:, i[1]],
            "sorted": lambda x, i, j: x[mx.argmax(x, 0)[:, 0]],
        },
        X,
        I,
        J,
    )
    assert counts["gather"] >= 10


def test_gathers(tmp_path):
    agree(
        tmp_path,
        {
            "two": lambda x, i, j: x[i, i],
            "apart": lambda x, i, j: x[i, :, i],
            "last": lambda x, i, j: x[:, i, i],
            "all": lambda x, i, j: x[i, i, i],
            "grid": lambda x, i, j: x[j, i],
            "grid_apart": lambda x, i, j: x[j, :, i],
            "part_constant": lambda x, i, j: x[i, :, mx.array([1, 4, 0, -1])],
            "constants": lambda x, i, j: x[mx.array([0, -1]), mx.array([[1], [-2]])],
            "whole": lambda x, i, j: x[mx.arange(3), mx.argmax(x[..., 0], axis=1)],
        },
        X,
        I,
        J,
    )


def test_gathers_of_windows(tmp_path):
    """Slices of several numbers from computed starts, on one axis and on two, in front of and behind whole ones."""
    from converters.coreml.executor import Executor
    from converters.coreml.lower import save
    from converters.graph import Graph, Node, Tensor
    from converters.interpret import interpret
    from tests.tolerances import close

    x, starts = np.array(X), (np.array([1, 0], np.int32), np.array([2, -4], np.int32))
    cases = {
        "first": ((0,), (2, 4, 5)),
        "middle": ((1,), (3, 2, 5)),
        "cut": ((1,), (3, 1, 2)),
        "last": ((2,), (3, 4, 3)),
        "two": ((0, 1), (2, 2, 5)),
        "ends": ((0, 2), (2, 4, 1)),
        "window": ((1, 2), (2, 1, 3)),
        "everything": ((0, 1, 2), (2, 1, 2)),
    }
    nodes, outputs, want = [], {}, {}
    sides = dict(zip((0, 1, 2), (0, 1, 0), strict=True))
    for name, (axes, sizes) in cases.items():
        read = tuple(f"i{sides[a]}" for a in axes)
        nodes.append(Node("Gather", ("x", *read), (Tensor(name, (2, *sizes), "float32"),), (axes, sizes)))
        outputs[f"{name}_out"] = name
        rows = []
        for n in range(2):
            begin = [0, 0, 0]
            for axis in axes:
                begin[axis] = int(starts[sides[axis]][n]) % x.shape[axis]
            rows.append(x[tuple(slice(b, b + s) for b, s in zip(begin, sizes, strict=True))])
        want[f"{name}_out"] = np.stack(rows)
    inputs = (Tensor("x", x.shape, "float32"), Tensor("i0", (2,), "int32"), Tensor("i1", (2,), "int32"))
    graph = Graph(inputs, outputs, {}, tuple(nodes)).check("writing it down")
    given = {"x": x, "i0": starts[0], "i1": starts[1]}
    values = interpret(graph, {name: mx.array(array) for name, array in given.items()})
    save(graph, tmp_path / "windows.mlpackage")
    made = Executor(tmp_path / "windows.mlpackage")(given)
    for name, array in want.items():
        close(values[outputs[name]], array, "exact")
        close(made[name], array, "exact")


def test_scatters(tmp_path):
    """Each way to combine, positions hit twice where the order doesn't matter, over one axis and over two."""
    twice = mx.array([1, 1, -1, 0])

    agree(
        tmp_path,
        {
            **{
                f"rows_{how}": lambda x, i, u, how=how: getattr(x[0].at[i], how)(u)
                for how in ("add", "subtract", "maximum", "minimum", "multiply")
            },
            "columns": lambda x, i, u: x[0].at[:, i].add(u[:, :4]),
            "front": lambda x, i, u: x.at[i, 1].add(u),
            "behind": lambda x, i, u: x.at[:, i, i].add(u[:3, :4]),
            "apart": lambda x, i, u: x.at[i, :, i].add(u[:, :4]),
            "whole": lambda x, i, u: (x[0] * 10).astype(mx.int32).at[i].add((u * 10).astype(mx.int32)),
            "constant": lambda x, i, u: x[0].at[mx.array([3, -1, 0, 0])].add(u),
            "number": lambda x, i, u: x.at[i].add(1.5),
        },
        X,
        twice,
        U,
    )


def test_along_an_axis(tmp_path):
    def put(x, i, u):
        return mx.put_along_axis(x[0], i[:2, None] + mx.zeros((1, 5), mx.int32), u[:2], axis=0)

    agree(
        tmp_path,
        {
            "last": lambda x, i, u: mx.take_along_axis(x, mx.broadcast_to(i, (3, 4, 4)), axis=-1),
            "middle": lambda x, i, u: mx.take_along_axis(x, i.reshape(1, 4, 1), axis=1),
            "first": lambda x, i, u: mx.take_along_axis(x, mx.broadcast_to(i[:, None, None], (4, 4, 5)), axis=0),
            "put": put,
            "bits": lambda x, i, u: mx.take_along_axis(x > 0, i.reshape(1, 4, 1), axis=1),
        },
        X,
        I,
        U,
    )
