"""Settings out of YAML: the part of it that settings need, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from wotd_mlx.io.files import read_text
from wotd_mlx.io.records import line_of, shown
from wotd_mlx.schemas import WotdError

MAX_BYTES = 1 << 20


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings of a YAML file as plain keys and values.

    Anchors and aliases aren't read: a few lines of them stand for gigabytes. ``1e-3`` is a number, as in YAML 1.2.

    Raises:
        MissingError: there is no such file.
        WotdError: not YAML in UTF-8, an alias, a key twice, or no keys and values at all; it names file and line.
    """
    import yaml

    hint = "give a YAML file of settings"
    text = read_text(path, hint, MAX_BYTES)
    try:
        raw = yaml.load(text, _loader())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise WotdError(f"{where}: not YAML: {getattr(error, 'problem', None) or line_of(error)}; {hint}") from error
    except RecursionError as error:
        raise WotdError(f"{path}: nested too deep for settings; {hint}") from error
    except (ValueError, OverflowError) as error:  # a number of thousands of digits, a date that is none
        raise WotdError(f"{path}: a value that can't be read ({line_of(error)}); {hint}") from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise WotdError(f"{path} holds {shown(raw)}; expected keys and values such as `seed: 7`")
    return raw


def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML's, without aliases, and with an error for a key that comes twice."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent):
                mark: Any = event.start_mark
                raise yaml.MarkedYAMLError(problem="aliases aren't read here", problem_mark=mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            known = set[str]()
            for key, _ in node.value:
                problem = ""
                if not isinstance(key.value, str):
                    problem = "a key that is no text"
                elif key.value in known:
                    problem = f"the key {shown(key.value)} stands there twice"
                if problem:
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                known.add(key.value)
            return super().construct_mapping(node, deep)

    number = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return Loader
