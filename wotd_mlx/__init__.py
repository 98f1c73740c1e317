"""wotd-mlx: words to four-number semantic IDs on MLX, and a word a day.

Shapes, in every docstring, comment and test:
    B batch   L sequence   D embedding width   H heads   N state size
    Q quantiser levels (depth)   K codes in a level   V vocabulary
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as in `typing`, whose import would be half the time of ours

if TYPE_CHECKING:
    from wotd_mlx.config import CodesConfig as CodesConfig
    from wotd_mlx.config import LanguageConfig as LanguageConfig
    from wotd_mlx.config import TrainingConfig as TrainingConfig
    from wotd_mlx.encoder import SemanticEncoder as SemanticEncoder
    from wotd_mlx.language.generate import generate_words_from_id as generate_words_from_id
    from wotd_mlx.language.stage import DSLTrainer as DSLTrainer
    from wotd_mlx.pipeline import WOTDTrainer as WOTDTrainer
    from wotd_mlx.pipeline import train_wotd_pipeline as train_wotd_pipeline
    from wotd_mlx.schemas import RunInfo as RunInfo
    from wotd_mlx.schemas import SemanticID as SemanticID
    from wotd_mlx.schemas import WotdError as WotdError

_HOMES = {
    "CodesConfig": "config",
    "DSLTrainer": "language.stage",
    "LanguageConfig": "config",
    "TrainingConfig": "config",
    "SemanticEncoder": "encoder",
    "generate_words_from_id": "language.generate",
    "WOTDTrainer": "pipeline",
    "train_wotd_pipeline": "pipeline",
    "RunInfo": "schemas",
    "SemanticID": "schemas",
    "WotdError": "schemas",
}
__all__ = list(_HOMES)

# Gone until it is asked for, which the import system does when the first public name or submodule is wanted.
_folders = __path__
del __path__


class _BeforeMLX:
    """Sees MLX coming, whose calls are bound to a BLAS when it loads: for who imports a submodule, not a name."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "mlx.core":
            from wotd_mlx.kernels import enable

            enable()


def __getattr__(name: str) -> object:
    """Load a public name when it is first used; ``import wotd_mlx`` alone changes nothing in the process."""
    if name == "__path__":
        if "__path__" not in globals() and "mlx.core" not in sys.modules:
            sys.meta_path.insert(0, _BeforeMLX)
        return globals().setdefault("__path__", _folders)
    if name not in _HOMES:
        raise AttributeError(f"module 'wotd_mlx' has no attribute {name!r}")
    from importlib import import_module

    from wotd_mlx.kernels import enable

    enable()
    return getattr(import_module(f"wotd_mlx.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
