"""What a back end gives the front: how a graph becomes a package of its kind, and how that is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from converters.anatomy import Body
from converters.errors import ConversionError, UnsupportedOpsError
from converters.graph import Array, Graph

Call = Callable[[Mapping[str, Any]], dict[str, Array]]
MODULES = {".mlpackage": "converters.coreml.backend", ".aimodel": "converters.coreai.backend"}
"""A package's suffix → the module that makes and runs such packages, a :class:`Backend` itself."""


class Backend(Protocol):
    """One kind of package."""

    NAME: str
    PRECISIONS: Sequence[str]
    TARGETS: Sequence[str]
    """Oldest systems that a package may ask for, the default first."""
    ENGINES: Sequence[str]

    def lowered(self, graph: Graph) -> Graph:
        """A captured graph as it is written: through the passes, and held to what such a package can compute.

        Raises:
            UnsupportedOpsError: primitives without a lowering, all of them.
            ConversionError: numbers beyond its types.
        """

    def save(self, graph: Graph, path: Path, precision: str, target: str, float32: Sequence[str]) -> None:
        """Write a lowered graph as a package at ``path``, which must not exist."""

    def load(self, path: Path) -> Any:
        """A saved package, read again and found legal; what the other functions take for its path."""

    def runner(self, package: Any, engine: str = "auto") -> Call:
        """Compute a package for many inputs: it is read once."""

    def engine_of(self, engine: str) -> str:
        """``auto`` as the engine that this system has."""

    def remarks(self, path: Path) -> list[str]:
        """What else is worth telling of a package, in lines: its operations, what a device may do with them."""

    def anatomy(self, path: Path) -> list[Body]:
        """The functions of a saved package, whoever made it; nothing is computed."""

    def trace(self, package: Any, graph: Graph, example: Mapping[str, Any]) -> dict[str, Array]:
        """Tensors of the captured ``graph`` that a package still has, name → what it computes there."""


def backend_of(path: str | Path) -> Backend:
    """The back end of a package, by its suffix.

    Raises:
        ConversionError: another suffix, or what it needs isn't installed.
    """
    suffix = Path(path).suffix
    if suffix not in MODULES:
        raise ConversionError(f"{path} is no package; its name ends in one of {', '.join(MODULES)}")
    return cast(Backend, import_module(MODULES[suffix]))


def chosen(what: str, value: str, known: Sequence[str], back: Backend) -> str:
    """Return ``value``, or raise ConversionError with what is known."""
    if value not in known:
        raise ConversionError(f"{what} {value!r} is unknown to {back.NAME} here; expected one of {', '.join(known)}")
    return value


def check_supported(graph: Graph, lowered: Container[str], folder: str) -> Graph:
    """Return the graph, or raise with every primitive that has no lowering, how often and in which modules.

    Raises:
        UnsupportedOpsError: there are some.
    """
    missing = [node for node in graph.nodes if node.op not in lowered]
    if not missing:
        return graph
    rows = []
    for name, count in Counter(node.op for node in missing).most_common():
        scopes = Counter(node.scope or "the function itself" for node in missing if node.op == name)
        modules = ", ".join(scope for scope, _ in scopes.most_common(4)) + (", …" if len(scopes) > 4 else "")
        rows.append(f"{name} ×{count} (in {modules})")
    raise UnsupportedOpsError(
        f"no lowering for {len(rows)} of the {len(graph.counts())} primitives: {'; '.join(rows)}. "
        f"docs/reference/ops.md lists what converts; write that part with other operations, or add the op to {folder}"
    )
