"""Tensors of more than five axes, which a package doesn't have: axes that travel together become one.

A tensor keeps its numbers in row-major order under any shape, so it may be held in the shape that suits what makes it,
and be reshaped for what reads it. An operation then needs an axis of its own only where it treats one axis otherwise
than its neighbours; where that takes more than five, it is done in steps of at most four.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from converters.errors import ConversionError
from converters.graph import MAX_RANK, Array, Graph, Node, Tensor
from converters.passes.tidy import RESHAPES, drop_identities
from converters.primitives import PRIMITIVES
from converters.primitives.shape import positions, spans

Shape = tuple[int, ...]
Groups = list[list[int]]
Step = tuple[str, Shape, Shape, tuple[Any, ...]]
"""An operation, the shape it reads and the one it makes, its arguments."""
Rule = Callable[["_Narrow", Node], None]

_EACH_FAMILIES = ("elementwise", "math", "compare", "integer")
_EACH = {"AsType", "GELU", "SiLU", "ReLU", "Real", "Imag", "Conjugate"}
"""What treats each number alike, beside these families."""
_AXIS = {"Sort": 0, "ArgSort": 0, "GatherAxis": 0, "Partition": 1, "ArgPartition": 1, "Scan": 1, "ArgReduce": 1}
"""Which argument names the one axis that an operation works along."""
_LAST = {"Softmax", "LogSumExp", "Hadamard", "Linear"}
"""What works along the last axis."""
_NORMS = {"LayerNorm", "RMSNorm", "Length"}


def narrow_ranks(graph: Graph) -> Graph:
    """The graph without tensors of more than five axes.

    Raises:
        ConversionError: inputs or outputs that have more, and operations that need them.
    """
    if all(len(t.shape) <= MAX_RANK for t in graph.tensors.values()):
        return graph
    edges = [(f"input {t.name}", t.shape) for t in graph.inputs]
    edges += [(f"output {public}", graph.tensors[name].shape) for public, name in graph.outputs.items()]
    if wide := [f"{what} has shape {shape}" for what, shape in edges if len(shape) > MAX_RANK]:
        raise ConversionError(
            f"{'; '.join(wide)}: a package takes {MAX_RANK} axes at most; reshape it at the function's edge"
        )
    narrow = _Narrow(graph)
    for node in graph.nodes:
        names = [*node.inputs, *(t.name for t in node.outputs)]
        if all(len(graph.tensors[name].shape) <= MAX_RANK for name in names):
            narrow.add(node)
        else:
            _rule(node)(narrow, node)
    constants = {name: array for name, array in narrow.constants.items() if array.ndim <= MAX_RANK}
    return drop_identities(replace(graph, nodes=tuple(narrow.nodes), constants=constants))


def _rule(node: Node) -> Rule:
    if node.op in _EACH or PRIMITIVES[node.op].family in _EACH_FAMILIES:
        return _each
    if node.op in RESHAPES or node.op == "Full":
        return _renamed
    for ops, rule in _RULES:
        if node.op in ops:
            return rule
    return _refused


class _Narrow:
    """The nodes of few axes that are made so far."""

    def __init__(self, graph: Graph):
        self.tensors = dict(graph.tensors)
        self.constants = dict(graph.constants)
        self.nodes: list[Node] = []
        self.few = {name: t for name, t in self.tensors.items() if len(t.shape) <= MAX_RANK}
        self.held: dict[str, str] = {}
        """What holds the numbers of a tensor of too many axes, where that is another tensor."""

    def shape(self, name: str) -> Shape:
        return self.tensors[name].shape

    def view(self, name: str, shape: Shape) -> str:
        """The tensor in another shape."""
        if (array := self.constants.get(name)) is not None:
            # Not "x_1", which may be another constant's own.
            new = f"{name}_axes_{len(self.constants)}"
            return name if array.shape == shape else self.constant(new, array.reshape(shape))
        held = self.few[self.held.get(name, name)]
        if held.shape == shape:
            return held.name
        return self.add(Node("Reshape", (held.name,), (self.new(held, shape),), (shape,)))

    def constant(self, name: str, array: Array) -> str:
        self.constants[name] = array
        return name

    def new(self, like: Tensor, shape: Shape) -> Tensor:
        return replace(like, name=f"{like.name}_axes_{len(self.nodes)}", shape=shape)

    def add(self, node: Node) -> str:
        self.nodes.append(node)
        for tensor in node.outputs:
            self.few[tensor.name] = tensor
            self.tensors.setdefault(tensor.name, tensor)
        return node.out.name

    def chain(self, like: Tensor, name: str, steps: Sequence[Step], scope: str = "") -> str:
        """One operation after another, each over what the last one made; numbers are of the dtype of ``like``."""
        for op, before, after, args in steps:
            source = self.view(name, before)
            name = self.add(Node(op, (source,), (self.new(like, after),), args, scope))
        return name

    def make(self, node: Node, inputs: Sequence[str], *shapes: Shape, args: tuple[Any, ...] | None = None) -> None:
        """The node over inputs of few axes; its outputs are held in these shapes."""
        few = [
            replace(t, shape=shape) if len(t.shape) > MAX_RANK or t.shape == shape else self.new(t, shape)
            for t, shape in zip(node.outputs, shapes, strict=True)
        ]
        self.add(replace(node, inputs=tuple(inputs), outputs=tuple(few), args=node.args if args is None else args))
        for tensor, held in zip(node.outputs, few, strict=True):
            self.keep(tensor, held.name)

    def keep(self, tensor: Tensor, held: str) -> None:
        """Note what holds a tensor's numbers; one of few axes gets its own name and shape at once."""
        if len(tensor.shape) > MAX_RANK:
            self.held[tensor.name] = held
        elif tensor.name != held:
            self.add(Node("Reshape", (held,), (tensor,), (tensor.shape,)))

    def spread(self, name: str, have: Shape, want: Shape) -> str:
        """The tensor of shape ``have`` repeated to ``want``, of as many axes: one group of axes after another."""
        sides, steps = list(have), []
        for group in _together([have], want):
            many = prod(want[axis] for axis in group)
            if many != prod(sides[axis] for axis in group):
                before, after = prod(sides[: group[0]]), prod(sides[group[-1] + 1 :])
                shape = (before, many, after)
                steps.append(("Broadcast", (before, 1, after), shape, (shape,)))
                sides[group[0] : group[-1] + 1] = [want[axis] for axis in group]
        return self.chain(self.tensors[name], name, steps)


def _groups(labels: Sequence[Hashable]) -> Groups:
    """Neighbouring axes of one label together; an axis of length 1, whose label is None, goes with any."""
    groups: Groups = []
    last: Hashable = None
    for axis, label in enumerate(labels):
        if groups and (label is None or last is None or label == last):
            groups[-1].append(axis)
        else:
            groups.append([axis])
        last = last if label is None else label
    return groups


def _together(operands: Sequence[Shape], shape: Shape) -> Groups:
    """Axes of ``shape`` together along which each operand is whole, or has one number for all."""
    return _groups([None if n == 1 else tuple(sides[axis] == n for sides in operands) for axis, n in enumerate(shape)])


def _aligned(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def _sides(shape: Shape, groups: Groups) -> Shape:
    return tuple(prod(shape[axis] for axis in group) for group in groups)


def _around(shape: Shape, axis: int) -> Shape:
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def _refused(narrow: _Narrow, node: Node) -> None:
    widest = max([*node.outputs, *(narrow.tensors[name] for name in node.inputs)], key=lambda t: len(t.shape))
    raise ConversionError(
        f"{node.op} in {node.scope or 'the function'} has {len(widest.shape)} axes, shape {widest.shape}; "
        f"a package takes {MAX_RANK} at most: merge some of them before it"
    )


def _renamed(narrow: _Narrow, node: Node) -> None:
    (name,) = node.inputs
    narrow.keep(node.out, narrow.held.get(name, name))


def _each(narrow: _Narrow, node: Node) -> None:
    shape = node.out.shape
    inputs, aligned = list(node.inputs), [_aligned(narrow.shape(name), len(shape)) for name in node.inputs]
    groups = _together(aligned, shape)
    if len(groups) > MAX_RANK:
        groups = [list(range(len(shape)))]
        inputs = [narrow.spread(name, have, shape) for name, have in zip(inputs, aligned, strict=True)]
        aligned = [shape] * len(inputs)
    views = [
        narrow.view(name, _sides(sides, groups)) if narrow.shape(name) else name
        for name, sides in zip(inputs, aligned, strict=True)
    ]
    narrow.make(node, views, *[_sides(shape, groups)] * len(node.outputs))


def _broadcast(narrow: _Narrow, node: Node) -> None:
    (name,), shape = node.inputs, node.out.shape
    have = _aligned(narrow.shape(name), len(shape))
    groups = _together([have], shape)
    if len(groups) > MAX_RANK:
        narrow.keep(node.out, narrow.spread(name, have, shape))
    else:
        sides = _sides(shape, groups)
        narrow.make(node, [narrow.view(name, _sides(have, groups))], sides, args=(sides,))


def _transpose(narrow: _Narrow, node: Node) -> None:
    (name,), shape = node.inputs, narrow.shape(node.inputs[0])
    # Runs of axes that stay neighbours; an axis of length 1 may lie anywhere.
    runs: Groups = []
    for axis in (axis for axis in node.args[0] if shape[axis] != 1):
        if runs and axis > runs[-1][-1] and all(shape[a] == 1 for a in range(runs[-1][-1] + 1, axis)):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    blocks = sorted(runs)
    if len(runs) > MAX_RANK:
        narrow.keep(node.out, narrow.chain(node.out, name, list(_moves(shape, blocks, runs)), node.scope))
    else:
        view, sides = narrow.view(name, _sides(shape, blocks) or (1,)), _sides(shape, runs) or (1,)
        narrow.make(node, [view], sides, args=(tuple(map(blocks.index, runs)) or (0,),))


def _moves(shape: Shape, blocks: Groups, runs: Groups) -> Iterator[Step]:
    """Each block of axes brought to its place, one after another: (before, between, block, after)."""
    for place, run in enumerate(runs):
        at = blocks.index(run)
        before, between, after = blocks[:place], blocks[place:at], blocks[at + 1 :]
        a, b, c, d = (prod(_sides(shape, some)) for some in (before, between, [run], after))
        if between:
            yield "Transpose", (a, b, c, d), (a, c, b, d), ((0, 2, 1, 3),)
        blocks = [*before, run, *between, *after]


def _reduce(narrow: _Narrow, node: Node) -> None:
    (name,), shape = node.inputs, narrow.shape(node.inputs[0])
    kind, axes = node.args
    gone = {axis % len(shape) for axis in axes}
    groups = _groups([None if n == 1 else axis in gone for axis, n in enumerate(shape)])
    sides = list(_sides(shape, groups))
    places = tuple(p for p, group in enumerate(groups) if any(a in gone and shape[a] != 1 for a in group))
    if len(groups) <= MAX_RANK and places:
        left = tuple(1 if place in places else n for place, n in enumerate(sides))
        narrow.make(node, [narrow.view(name, tuple(sides))], left, args=(kind, places))
        return
    steps: list[Step] = []
    # Sums of sums are sums, and so for every kind: a group after another.
    for place in places:
        before, count, after = _around(tuple(sides), place)
        steps.append(("Reduce", (before, count, after), (before, 1, after), (kind, (1,))))
        sides[place] = 1
    whole = (prod(shape), 1)
    narrow.keep(node.out, narrow.chain(node.out, name, steps or [("Reduce", whole, whole, (kind, (1,)))], node.scope))


def _along_axis(narrow: _Narrow, node: Node) -> None:
    shape, place = node.out.shape, _AXIS[node.op]
    axis = node.args[place] % len(shape)
    views = [narrow.view(name, _around(narrow.shape(name), axis)) for name in node.inputs]
    args = (*node.args[:place], 1, *node.args[place + 1 :])
    narrow.make(node, views, _around(shape, axis), args=args)


def _along_last(narrow: _Narrow, node: Node) -> None:
    name, *weights = node.inputs
    shape, out = narrow.shape(name), node.out.shape
    narrow.make(node, [narrow.view(name, (prod(shape[:-1]), shape[-1])), *weights], (prod(out[:-1]), out[-1]))


def _norm(narrow: _Narrow, node: Node) -> None:
    name, *weights = node.inputs
    shape, (axes, *rest) = narrow.shape(name), node.args
    count = len(axes)
    if sorted(axis % len(shape) for axis in axes) != list(range(len(shape) - count, len(shape))):
        _refused(narrow, node)
    side = prod(shape[-count:])
    flat = [narrow.view(w, (side,)) if narrow.shape(w) else w for w in weights]
    held = (prod(shape[:-count]), side if node.out.shape == shape else 1)
    narrow.make(node, [narrow.view(name, (held[0], side)), *flat], held, args=((1,), *rest))


def _matmul(narrow: _Narrow, node: Node) -> None:
    batch = node.out.shape[:-2]
    inputs, sizes = list(node.inputs), [narrow.shape(name)[-2:] for name in node.inputs]
    aligned = [_aligned(narrow.shape(name)[:-2], len(batch)) for name in node.inputs]
    groups = _together(aligned, batch)
    if len(groups) > MAX_RANK - 2:
        groups = [list(range(len(batch)))]
        inputs = [
            narrow.spread(name, (*have, *size), (*batch, *size))
            for name, have, size in zip(inputs, aligned, sizes, strict=True)
        ]
        aligned = [batch] * len(inputs)
    views = [
        narrow.view(name, (*_sides(sides, groups), *size))
        for name, sides, size in zip(inputs, aligned, sizes, strict=True)
    ]
    narrow.make(node, views, (*_sides(batch, groups), *node.out.shape[-2:]))


def _concatenate(narrow: _Narrow, node: Node) -> None:
    axis = node.args[0] % len(node.out.shape)
    parts = [(name, narrow.shape(name)) for name in node.inputs]
    views = [narrow.view(name, (prod(s[:axis]), prod(s[axis:]))) for name, s in parts]
    out = node.out.shape
    narrow.make(node, views, (prod(out[:axis]), prod(out[axis:])), args=(1,))


def _split(narrow: _Narrow, node: Node) -> None:
    (name,), shape = node.inputs, narrow.shape(node.inputs[0])
    at, axis = node.args
    axis %= len(shape)
    each = prod(shape[axis + 1 :])
    view = narrow.view(name, (prod(shape[:axis]), prod(shape[axis:])))
    sides = [(prod(t.shape[:axis]), prod(t.shape[axis:])) for t in node.outputs]
    narrow.make(node, [view], *sides, args=(tuple(place * each for place in at), 1))


def _slice(narrow: _Narrow, node: Node) -> None:
    (name,), shape = node.inputs, narrow.shape(node.inputs[0])
    sides, steps = list(shape), []
    # One axis after another: few are cut where there are so many.
    for axis, span in enumerate(spans(node.args[:3], shape)):
        if span != range(shape[axis]):
            before, count, after = _around(tuple(sides), axis)
            begin, end, stride = (part[axis] for part in node.args[:3])
            args = ((0, begin, 0), (before, end, after), (1, stride, 1))
            steps.append(("Slice", (before, count, after), (before, len(span), after), args))
            sides[axis] = len(span)
    narrow.keep(node.out, narrow.chain(node.out, name, steps, node.scope))


def _pad(narrow: _Narrow, node: Node) -> None:
    (name, value), shape = node.inputs, narrow.shape(node.inputs[0])
    widths = {axis % len(shape): (low, high) for axis, low, high in zip(*node.args, strict=True) if low or high}
    groups = _groups([axis if axis in widths else -1 if n > 1 else None for axis, n in enumerate(shape)])
    # A padded axis of length 1 has its label too, so it stands alone with its ones.
    places = {place: axis for place, group in enumerate(groups) for axis in group if axis in widths}
    if len(groups) > MAX_RANK:
        _refused(narrow, node)
    low, high = zip(*(widths[axis] for axis in places.values()), strict=True)
    held = _sides(node.out.shape, groups)
    narrow.make(node, [narrow.view(name, _sides(shape, groups)), value], held, args=(tuple(places), low, high))


def _take(narrow: _Narrow, node: Node) -> None:
    name, indices = node.inputs
    shape = narrow.shape(name)
    axis = node.args[0] % len(shape)
    before, count, after = _around(shape, axis)
    rows = prod(narrow.shape(indices))
    views = [narrow.view(name, (before, count, after)), narrow.view(indices, (rows,))]
    narrow.make(node, views, (before, rows, after), args=(1, *node.args[1:]))


def _gather(narrow: _Narrow, node: Node) -> None:
    """Whole slices along one axis: (N, before, after) of what Take makes."""
    (axes, sizes), shape = node.args, narrow.shape(node.inputs[0])
    axis = axes[0]
    if len(axes) > 1 or tuple(sizes) != (*shape[:axis], 1, *shape[axis + 1 :]):
        _refused(narrow, node)
    before, _, after = _around(shape, axis)
    rows = prod(narrow.shape(node.inputs[1]))
    taken = replace(node, op="Take", outputs=(narrow.new(node.out, (*shape[:axis], rows, *shape[axis + 1 :])),))
    narrow.tensors[taken.out.name] = taken.out
    _take(narrow, replace(taken, args=(axis,)))
    step = ("Transpose", (before, rows, after), (rows, before, after), ((1, 0, 2),))
    narrow.keep(node.out, narrow.chain(node.out, taken.out.name, [step], node.scope))


def _scatter(narrow: _Narrow, node: Node) -> None:
    """Places in a row: updates are (N, *a slice), which have more axes than what they are written into."""
    target, *indices, updates = node.inputs
    shape, places = narrow.shape(target), narrow.shape(indices[0]) if indices else ()
    if not indices or len(shape) >= MAX_RANK or any(narrow.shape(name) != places for name in indices):
        _refused(narrow, node)
    rows = prod(places)
    slices = narrow.shape(updates)[len(places) :]
    flat = [narrow.view(name, (rows,)) for name in indices]
    narrow.make(node, [target, *flat, narrow.view(updates, (rows, *slices))], shape)


def _as_strided(narrow: _Narrow, node: Node) -> None:
    (name,) = node.inputs
    places = positions(node).reshape(-1)
    at = narrow.constant(f"{node.out.name}_positions", places)
    flat = narrow.view(name, (prod(narrow.shape(name)),))
    narrow.make(replace(node, op="Take"), [flat, at], places.shape, args=(0,))


_RULES: tuple[tuple[set[str], Rule], ...] = (
    ({"Broadcast"}, _broadcast),
    ({"Transpose"}, _transpose),
    ({"Reduce"}, _reduce),
    (set(_AXIS), _along_axis),
    (_LAST, _along_last),
    (_NORMS, _norm),
    ({"Matmul"}, _matmul),
    ({"Concatenate"}, _concatenate),
    ({"Split"}, _split),
    ({"Slice", "Pick"}, _slice),
    ({"Pad"}, _pad),
    ({"Take"}, _take),
    ({"Gather"}, _gather),
    ({"Scatter"}, _scatter),
    ({"AsStrided"}, _as_strided),
)
