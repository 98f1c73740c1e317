"""A ``tokenizer.json`` as an app needs it: its pieces, and the few settings beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from wotd_mlx.embed.models import HINT
from wotd_mlx.io.json import read_json
from wotd_mlx.schemas import WotdError

_BERT = ("WordPiece", "BertNormalizer", "BertPreTokenizer")


@dataclass(frozen=True)
class _Model:
    vocab: dict[str, int]
    type: str = "WordPiece"
    unk_token: str = "[UNK]"
    continuing_subword_prefix: str = "##"
    max_input_chars_per_word: int = 100
    further_keys: ClassVar = True


@dataclass(frozen=True)
class _Normalizer:
    type: str
    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True
    further_keys: ClassVar = True


@dataclass(frozen=True)
class _Step:
    type: str
    further_keys: ClassVar = True


@dataclass(frozen=True)
class _Added:
    id: int
    content: str
    normalized: bool = False
    single_word: bool = False
    further_keys: ClassVar = True


@dataclass(frozen=True)
class _Tokenizer:
    model: _Model
    normalizer: _Normalizer
    pre_tokenizer: _Step
    added_tokens: Sequence[_Added] = ()
    further_keys: ClassVar = True

    def __post_init__(self) -> None:
        found = (self.model.type, self.normalizer.type, self.pre_tokenizer.type)
        if wrong := [f"{kind}, expected {bert}" for kind, bert in zip(found, _BERT, strict=True) if kind != bert]:
            raise WotdError(f"it has {wrong[0]}: WOTDKit reads BERT's tokenizers only")
        if whole := [token.content for token in self.added_tokens if token.single_word]:
            raise WotdError(f"its added token {whole[0]!r} has single_word, which WOTDKit doesn't know")

    def number(self, name: str) -> int:
        """The number of a piece or an added token."""
        added = {token.content: token.id for token in self.added_tokens}
        if (number := self.model.vocab.get(name, added.get(name))) is None:
            raise WotdError(f"it has no {name}")
        return number


@dataclass(frozen=True)
class Pieces:
    """A tokenizer's pieces → token numbers, and for the manifest how texts are cut into them."""

    numbers: dict[str, int]
    settings: dict[str, Any]


def read_pieces(file: Path) -> Pieces:
    """The parts of a ``tokenizer.json`` that count in an app.

    Raises:
        WotdError: it isn't BERT's WordPiece, or asks for what WOTDKit doesn't do.
    """
    try:
        return _pieces(read_json(file, _Tokenizer, HINT))
    except WotdError as error:
        raise WotdError(str(error) if str(file) in str(error) else f"{file}: {error}") from error


def _pieces(found: _Tokenizer) -> Pieces:
    model, normalizer = found.model, found.normalizer
    strips = normalizer.lowercase if normalizer.strip_accents is None else normalizer.strip_accents
    settings = {
        "unknown_id": found.number(model.unk_token),
        "start_id": found.number("[CLS]"),
        "end_id": found.number("[SEP]"),
        "pad_id": found.number("[PAD]"),
        "prefix": model.continuing_subword_prefix,
        "longest_word": model.max_input_chars_per_word,
        "clean_text": normalizer.clean_text,
        "handle_chinese_chars": normalizer.handle_chinese_chars,
        "strip_accents": strips,
        "lowercase": normalizer.lowercase,
        "added": [{"id": t.id, "text": t.content, "normalized": t.normalized} for t in found.added_tokens],
    }
    return Pieces(model.vocab, settings)
