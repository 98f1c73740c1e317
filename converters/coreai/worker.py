"""A process that computes packages: ``python -m converters.coreai.worker``, pickles in on stdin, out on stdout.

Apple's runtime ends the process that it runs in where a package is damaged or a whole number leaves its type, so it has
one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from converters.coreai.anatomy import anatomy

# isort: split
from coreai import authoring, runtime

NONE = ("constant", "graph", "name", "output")
"""What stands in a program's text and computes nothing."""


def operations(program: Any) -> Counter[str]:
    """How often each operation stands in a program; Apple's own summary counts what some are made of too."""
    text = program._module._mlir_module.operation.get_asm(large_elements_limit=8, large_resource_limit=8)
    counts = Counter(re.findall(r"(?<!\w)coreai\.(?:decomposable\.)?(\w+)", str(text)))
    return Counter({name: count for name, count in counts.items() if name not in NONE})


class Loaded:
    """A package in memory, ready to compute."""

    def __init__(self, path: str):
        self.stack = contextlib.AsyncExitStack()
        self.path = path

    async def open(self) -> dict[str, Any]:
        asset = authoring.AIModelAsset.load(self.path)
        model = await self.stack.enter_async_context(asset.executable())
        function = model.load_function("main")
        if function is None:
            raise ValueError("it has no function main")
        self.function, described = function, function.desc
        inputs = {name: described.input_descriptor(name) for name in described.input_names}
        return {
            "inputs": {name: (tuple(found.shape), found.dtype) for name, found in inputs.items()},
            "outputs": list(described.output_names),
            "metadata": dict(asset.metadata.creator_defined_metadata),
        }

    async def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        made = await self.function({name: runtime.NDArray(array) for name, array in inputs.items()})
        return {name: made[name].numpy().copy() for name in made}


async def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the requests end: ("open", path), ("call", path, inputs), ("close", path), ("read", path), which
    tells what a package is made of, or ("count", path), how often each operation stands in it."""
    loaded: dict[str, Loaded] = {}
    while True:
        try:
            kind, path, *rest = pickle.load(requests)
        except EOFError:
            return
        try:
            if kind == "open":
                if old := loaded.pop(path, None):
                    await old.stack.aclose()
                loaded[path] = Loaded(path)
                answer: Any = await loaded[path].open()
            elif kind == "close":
                if old := loaded.pop(path, None):
                    await old.stack.aclose()
                answer = None
            elif kind == "count":
                answer = operations(authoring.AIModelAsset.load(path).program)
            elif kind == "read":
                answer = anatomy(Path(path))
            else:
                answer = await loaded[path].call(*rest)
        except Exception as error:
            answer = error.__class__.__name__, str(error)
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    # The runtime talks on both streams; the answers have the first one to themselves.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        asyncio.run(serve(sys.stdin.buffer, answers))
