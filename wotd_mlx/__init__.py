"""wotd-mlx: words to four-number semantic IDs on MLX, and a word a day.

Shapes, in every docstring, comment and test:
    B batch   L sequence   D embedding width   H heads   N state size
    Q quantiser levels (depth)   K codes in a level   V vocabulary
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wotd_mlx.backend import preload_blas

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

# Before anything can import MLX, whose calls are bound to a BLAS when it loads.
preload_blas()

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


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: ``import wotd_mlx`` alone loads neither MLX nor numpy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wotd_mlx' has no attribute {name!r}")
    return getattr(import_module(f"wotd_mlx.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
