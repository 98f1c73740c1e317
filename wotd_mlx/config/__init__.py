"""Every setting of a training, as frozen dataclasses read from YAML or the command line."""

from wotd_mlx.config.codes import KINDS as KINDS
from wotd_mlx.config.codes import MAX_CODES as MAX_CODES
from wotd_mlx.config.codes import CodesConfig as CodesConfig
from wotd_mlx.config.language import LanguageConfig as LanguageConfig
from wotd_mlx.config.training import DEFAULT_ATTRIBUTES as DEFAULT_ATTRIBUTES
from wotd_mlx.config.training import TrainingConfig as TrainingConfig
