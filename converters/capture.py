"""An MLX function and an example → :class:`Graph`, through ``mx.export_function``'s callback."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np

from converters.errors import ConversionError
from converters.graph import DTYPES, Array, Graph, Node, Tensor
from converters.scopes import Scopes, recorded

Function = Callable[..., Any]
Example = Mapping[str, mx.array]

RANDOM = ("RandomBits",)
# Captures that overlap would put back each other's patches.
_ONE_AT_A_TIME = threading.RLock()


def capture(fn: Function, example: Example) -> Graph:
    """Trace ``fn(**example)`` on a CPU stream, where MLX takes norms, RoPE and attention apart into plain primitives.

    Meanwhile MLX compiles nothing, and a second thread's capture waits; afterwards all is as it was.

    Args:
        fn: MLX arrays in by keyword; an array, a tuple or list of arrays, or a dict of arrays out.
        example: name → array; its shapes and dtypes become the package's.

    Returns:
        The graph, with inputs and outputs under their own names: a dict's keys, ``output`` for one array,
        ``output_0`` … for a tuple. Each node knows the module that it was called in.

    Raises:
        ConversionError: dtypes without a counterpart, a function that returns something
            else than arrays, looks at values (``.item()``), or draws random numbers.
    """
    _check_example(example)
    events: list[dict[str, Any]] = []
    names: list[str] = []
    with _ONE_AT_A_TIME, mx.stream(mx.cpu), recorded() as scopes, _exportable():

        def traced(**inputs: mx.array) -> tuple[mx.array, ...]:
            scopes.returned.clear()
            outputs = named_outputs(fn(**{name: inputs[name] for name in example}))
            names[:] = outputs
            # MLX leaves out what no output needs; the modules' own outputs tell which nodes belong to them.
            return (*outputs.values(), *(array for _, arrays in scopes.returned for array in arrays))

        try:
            export: Callable[..., None] = mx.export_function
            export(events.append, traced, **example)
        except (ValueError, RuntimeError) as error:
            if "get state for primitive" in str(error):
                primitive = str(error).rsplit(" ", 1)[-1]
                raise ConversionError(
                    f"MLX can't export its primitive {primitive}; write that part without it"
                ) from error
            if "without a primitive" in str(error) or "eval" in str(error):
                raise ConversionError(
                    f"the function looks at values while it is traced ({error}); shapes and branches must not depend "
                    "on what an array holds: drop `.item()`, `.tolist()` and `if array:`"
                ) from error
            raise
    graph = _named(_graph(events, names, scopes))
    order = list(example)
    return replace(graph, inputs=tuple(sorted(graph.inputs, key=lambda t: order.index(t.name))))


def named_outputs(out: Any) -> dict[str, mx.array]:
    """A function's return value as name → array."""
    if isinstance(out, mx.array):
        return {"output": out}
    if isinstance(out, dict):
        found = {str(key): value for key, value in out.items()}
        if len(found) < len(out):
            raise ConversionError(f"two outputs have the same name as text: {list(out)}; name them apart")
    elif isinstance(out, list | tuple):
        found = {f"output_{n}": value for n, value in enumerate(out)}
    else:
        raise ConversionError(
            f"the function returns {type(out).__name__}; expected an array, a tuple or a dict of them"
        )
    for name, value in found.items():
        if not isinstance(value, mx.array):
            raise ConversionError(f"output {name} is {type(value).__name__}; expected an MLX array")
    if not found:
        raise ConversionError("the function returns nothing; expected an array, a tuple or a dict of them")
    return found


def dtype_name(dtype: mx.Dtype) -> str:
    """``float32`` for ``mlx.core.float32``."""
    return str(dtype).removeprefix("mlx.core.")


def _check_example(example: Example) -> None:
    faults = []
    for name, array in example.items():
        if not isinstance(array, mx.array):
            faults.append(f"input {name} is {type(array).__name__}; expected an MLX array: mx.array(…)")
        elif dtype_name(array.dtype) in ("float64", "complex64"):
            faults.append(f"input {name} is {dtype_name(array.dtype)}; a package has none: use float32")
        elif array.size == 0:
            faults.append(f"input {name} has shape {array.shape}: a package takes no empty arrays")
    if not example:
        faults.append("the example is empty; give each argument of the function an array")
    if faults:
        raise ConversionError("; ".join(faults))


@contextmanager
def _exportable() -> Iterator[None]:
    """Calls that change no value and that MLX can't export, as what they are: nothing, in this thread.

    ``mx.compile`` over constants alone would leave one fused primitive, which can't be exported either.
    """
    contiguous, here = mx.contiguous, threading.get_ident()
    mx.contiguous = lambda a, *args, **kwargs: a if threading.get_ident() == here else contiguous(a, *args, **kwargs)
    compiled = _compiles()
    if compiled:
        mx.disable_compile()
    try:
        yield
    finally:
        if compiled:
            mx.enable_compile()
        mx.contiguous = contiguous


def _compiles() -> bool:
    """Whether ``mx.compile`` is in force; MLX doesn't tell, but what is compiled runs once for two calls."""
    runs = []

    def probe(x: mx.array) -> mx.array:
        runs.append(x)
        return x

    compiled, one = mx.compile(probe), mx.array(1.0)
    compiled(one)
    compiled(one)
    return len(runs) == 1


def _graph(events: list[dict[str, Any]], names: list[str], scopes: Scopes) -> Graph:
    keywords: dict[str, str] = {}
    inputs: list[Tensor] = []
    outputs: list[str] = []
    constants: dict[str, Array] = {}
    nodes: list[Node] = []
    for event in events:
        match event["type"]:
            case "inputs":
                inputs = [_tensor(row) for row in event["inputs"]]
            case "keyword_inputs":
                keywords = {inner: outer for outer, inner in event["keywords"]}
            case "outputs":
                outputs = [name for name, _, _ in event["outputs"]]
            case "constants":
                constants = {name: as_numpy(array) for name, array in event["constants"]}
            case "primitive":
                made = tuple(_tensor(row) for row in event["outputs"])
                nodes.append(
                    Node(event["name"], tuple(n for n, _, _ in event["inputs"]), made, tuple(event["arguments"]))
                )
    _refuse_dtypes(inputs, constants, nodes)
    scoped = _scoped(nodes, outputs[len(names) :], scopes)
    graph = Graph(tuple(inputs), dict(zip(names, outputs, strict=False)), constants, tuple(scoped))
    return _refuse_random(graph.named(keywords).check("capture"))


def _tensor(row: tuple[str, tuple[int, ...], mx.Dtype]) -> Tensor:
    name, shape, dtype = row
    return Tensor(name, tuple(shape), dtype_name(dtype))


def as_numpy(array: mx.array) -> Array:
    """The same numbers in NumPy, which has no bfloat16: that is widened to float32."""
    return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)


def _refuse_dtypes(inputs: list[Tensor], constants: Mapping[str, Array], nodes: list[Node]) -> None:
    found = Counter(t.dtype for t in inputs) + Counter(a.dtype.name for a in constants.values())
    found += Counter(t.dtype for node in nodes for t in node.outputs)
    if strange := {name: n for name, n in found.items() if name not in DTYPES}:
        listed = ", ".join(f"{name} ({n} tensors)" for name, n in sorted(strange.items()))
        raise ConversionError(f"dtypes without a counterpart in a package: {listed}; compute in float32")


def _refuse_random(graph: Graph) -> Graph:
    if drawn := [node for node in graph.nodes if node.op in RANDOM]:
        users = sorted({where for node in drawn if (where := _user(graph, node))}) or ["the function"]
        raise ConversionError(
            f"random numbers are drawn in {', '.join(users[:8])}: parameters that were never evaluated are captured as "
            "their random start (call mx.eval(model.parameters()) first), and dropout needs model.eval()"
        )
    return graph


def _user(graph: Graph, node: Node) -> str:
    """The module that first uses what a node makes, following its consumers."""
    seen = {node.out.name}
    for later in graph.nodes:
        if seen & set(later.inputs):
            if later.scope:
                return later.scope
            seen |= {t.name for t in later.outputs}
    return ""


def _scoped(nodes: list[Node], returned: list[str], scopes: Scopes) -> list[Node]:
    """Each node with the innermost module that needs it: modules come in the order of return, inner before outer."""
    producer = {t.name: n for n, node in enumerate(nodes) for t in node.outputs}
    owner: dict[int, str] = {}
    rest = iter(returned)
    for path, arrays in scopes.returned:
        # `arrays` first: zip would else take one name too many from `rest`.
        open_ = [producer[name] for _, name in zip(arrays, rest, strict=False) if name in producer]
        while open_:
            if (n := open_.pop()) not in owner:
                owner[n] = path
                open_ += [producer[name] for name in nodes[n].inputs if name in producer]
    return [Node(n.op, n.inputs, n.outputs, n.args, owner.get(k, "")) for k, n in enumerate(nodes)]


def _named(graph: Graph) -> Graph:
    """Readable names: ``layers_3_query_addmm`` for what a node makes, ``…_const`` for a constant that it reads."""
    used = Counter(t.name for t in graph.inputs)
    new: dict[str, str] = {}

    def name(scope: str, kind: str) -> str:
        # "fn_", since coremltools names the operations that it adds itself "add_0", "cast_1" …
        base = re.sub(r"\W+", "_", f"{scope or 'fn'}_{kind}".lower(), flags=re.ASCII)
        while True:
            used[base] += 1
            candidate = base if used[base] == 1 else f"{base}_{used[base] - 1}"
            if candidate == base or candidate not in used:
                used[candidate] += candidate != base
                return candidate

    for node in graph.nodes:
        for source in node.inputs:
            if source in graph.constants and source not in new:
                new[source] = name(node.scope, "const")
        for tensor in node.outputs:
            new[tensor.name] = name(node.scope, node.op)
    return graph.named(new).check("naming")
