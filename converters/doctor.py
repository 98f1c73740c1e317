"""What is wrong, or may go wrong, with a saved package of either format, whoever made it: found without running it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from converters.anatomy import Body, Step, Tensor
from converters.backend import backend_of
from converters.names import RESERVED
from converters.spans import Span, spans

HALF = ("float16", "bfloat16")
ARGMAX = ("argmax", "argmin", "reduce_argmax", "reduce_argmin")
SOFTPLUS_HOLDS = 10.4
"""Above it the Neural Engine's softplus in half precision is 0 (coremltools #2687); e^x is infinite from 11.09 on."""
MAX_AXES = 5
LARGEST = 1 << 30
"""Bytes: on iOS the Neural Engine takes no more of one file of weights (apple/ml-stable-diffusion, --chunk-unet)."""
_SHOWN = 80
_SWIFT = (
    "associatedtype class deinit enum extension fileprivate func import init inout internal let operator private "
    "precedencegroup protocol public rethrows static struct subscript typealias var break case catch continue default "
    "defer do else fallthrough for guard if in repeat return throw switch where while Any as await false is nil self "
    "Self super throws true try"
)
KEYWORDS = frozenset(_SWIFT.split())
"""What Swift takes for no name unless it is quoted."""

HEADINGS: Mapping[str, str] = {
    "argmax": "argmax or argmin in half precision",
    "softplus": "softplus in half precision of numbers that may exceed 10.4",
    "axes": "more than 5 axes",
    "empty": "a side of zero",
    "constant": "a constant over 1 GiB",
    "package": "a package over 1 GiB",
    "name": "a name that is no identifier",
    "open": "a shape that is not fixed",
    "wide": "64-bit integers",
}
"""The findings by what docs/errors.md calls them."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a package."""

    name: str
    """Its heading in docs/errors.md, which tells the mend."""
    about: str
    """The operation or the tensor; of a package of several functions with the function's name before it."""
    told: str
    """Why that matters, in a line."""

    def __str__(self) -> str:
        return f"{self.name}: {self.about}: {self.told}"

    def as_json(self) -> str:
        """The same as an object in one line."""
        return json.dumps(asdict(self), ensure_ascii=False)


def examine(path: str | Path) -> list[Finding]:
    """What a saved package has that goes wrong on a device, or that other tools choke on; nothing is computed.

    Args:
        path: a ``.mlpackage`` or a ``.aimodel``, of this converter or any other tool.

    Raises:
        ConversionError: another suffix, or what reads such a package isn't installed.
        FileNotFoundError: there is no such package.
        NotImplementedError, PackageError: it is damaged, of a version that isn't known, or no program.
    """
    path = Path(path)
    bodies = backend_of(path).anatomy(path)
    found = list(_of_package(path))
    for body in bodies:
        where = f"{_short(body.name)}, " if len(bodies) > 1 else ""
        found += [Finding(f.name, where + f.about, f.told) for f in _of_body(body, path.suffix)]
    # The functions of a package often share their names.
    return list(dict.fromkeys(found))


def _found(kind: str, about: str, told: str) -> Finding:
    return Finding(HEADINGS[kind], _short(about), told)


def _short(text: str) -> str:
    """A text out of a package, in one line of bounded length."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _of_package(path: Path) -> Iterator[Finding]:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if size > LARGEST:
        yield _found("package", path.name, f"it holds {size / 2**30:.1f} GiB, and iOS may refuse to load it")


def _of_body(body: Body, suffix: str) -> Iterator[Finding]:
    yield from _names(body, suffix)
    yield from _shapes(body)
    yield from _constants(body)
    yield from _argmax(body)
    yield from _softplus(body)
    if suffix == ".aimodel":
        yield from _wide(body)


def _names(body: Body, suffix: str) -> Iterator[Finding]:
    ends = [("input", tensor.name) for tensor in body.inputs] + [("output", name) for name in body.outputs]
    for what, name in [("function", body.name), *ends]:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            yield _found("name", f"{what} {name!r}", "Xcode makes Swift of it, whose names are letters, digits and _")
        elif name in KEYWORDS:
            yield _found("name", f"{what} {name!r}", "it is a word of Swift's own, which Xcode makes of it")
        elif suffix == ".mlpackage" and what != "function" and name in RESERVED:
            yield _found("name", f"{what} {name!r}", "it is a word of MIL, whose compiler refuses it")


def _shapes(body: Body) -> Iterator[Finding]:
    for about, tensor in body.tensors():
        shape = tensor.shape or ()
        if len(shape) > MAX_AXES:
            yield _found("axes", about, f"it has {len(shape)}, and the Neural Engine takes {MAX_AXES} at most")
        if 0 in shape:
            yield _found("empty", about, f"its shape {_sides(shape)} holds no number, which devices don't compute")
    for about, tensor in _first(body, _is_open):
        told = "its number of axes" if tensor.shape is None else f"its shape {_sides(tensor.shape)}"
        yield _found("open", about, f"{told} is known when it runs, and keeps what follows off the Neural Engine")


def _sides(shape: Iterable[int | None]) -> str:
    return "×".join("?" if side is None else str(side) for side in shape)


def _first(body: Body, odd: Callable[[Tensor], bool]) -> Iterator[tuple[str, Tensor]]:
    """The odd tensors where they begin: inputs, and what is made of others alone; the rest follows from these."""
    yield from ((f"input {tensor.name}", tensor) for tensor in body.inputs if odd(tensor))
    for step in body.steps:
        if not any(odd(tensor) for tensor in step.reads):
            yield from ((f"{step.op} {tensor.name}", tensor) for tensor in step.makes if odd(tensor))


def _is_open(tensor: Tensor) -> bool:
    return tensor.shape is None or None in tensor.shape


def _constants(body: Body) -> Iterator[Finding]:
    for constant in body.constants:
        if constant.nbytes > LARGEST:
            told = f"it holds {constant.nbytes / 2**30:.1f} GiB, more than the Neural Engine takes on iOS"
            yield _found("constant", f"constant {constant.tensor.name}", told)


def _argmax(body: Body) -> Iterator[Finding]:
    for step in body.steps:
        if step.op in ARGMAX and step.reads and step.reads[0].dtype in HALF:
            yield _found("argmax", f"{step.op} {step.name}", "devices answer wrongly without an error; cast to float32")


def _softplus(body: Body) -> Iterator[Finding]:
    found = spans(body)
    makers = {tensor.name: step for step in body.steps for tensor in step.makes}
    for step in body.steps:
        if not step.reads or step.reads[0].dtype not in HALF:
            continue
        most = _into_softplus(step, makers, found)
        if most is not None and not most <= SOFTPLUS_HOLDS:
            reach = "nothing bounds what it reads" if most == float("inf") else f"it reads numbers up to {most:.4g}"
            yield _found("softplus", f"{step.op} {step.name}", f"{reach}; above {SOFTPLUS_HOLDS} it may give 0")


def _into_softplus(step: Step, makers: Mapping[str, Step], found: Mapping[str, Span]) -> float | None:
    """The greatest number that may be raised in a softplus, or None where the step is none."""
    if step.op == "softplus":
        return _most(step.reads[0], found)
    if step.op == "softplus_parametric":
        return _most_scaled(step, found)
    if step.op != "log" or (total := makers.get(step.reads[0].name)) is None or total.op != "add":
        return None
    raised = [makers[tensor.name] for tensor in total.reads if tensor.name in makers]
    return next((_most(one.reads[0], found) for one in raised if one.op == "exp" and one.reads), None)


def _most(tensor: Tensor, found: Mapping[str, Span]) -> float:
    return found.get(tensor.name, (0.0, float("inf")))[1]


def _most_scaled(step: Step, found: Mapping[str, Span]) -> float:
    """The same of ``softplus_parametric``, which multiplies what it reads by its third argument, beta."""
    low, high = found.get(step.reads[0].name, (float("-inf"), float("inf")))
    betas = found.get(step.reads[-1].name)
    if betas is None:
        return float("inf")
    return max(0.0 if 0.0 in (x, beta) else x * beta for x in (low, high) for beta in betas)


def _wide(body: Body) -> Iterator[Finding]:
    # Constants of 64 bits are inputs of a kind: what is made of them follows from them.
    read = {tensor.name for step in body.steps for tensor in step.reads}
    begun = [(f"constant {c.tensor.name}", c.tensor) for c in body.constants if c.tensor.name in read]
    for about, tensor in [*_first(body, _is_wide), *((a, t) for a, t in begun if _is_wide(t))]:
        yield _found("wide", about, f"{tensor.dtype} is sure to run on the CPU alone; cast it to int32")


def _is_wide(tensor: Tensor) -> bool:
    return tensor.dtype in ("int64", "uint64")
