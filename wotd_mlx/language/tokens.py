"""Learned tokens for the codes of semantic IDs: ``[2,1,3,0]`` is read and written as ``<a2><b1><c3><d0>``.

Each code of each coordinate gets a row of its own, in one small table that serves as embedding and as output matrix
alike. The model's own rows stay frozen, quantised or not. Adapters with such a table are read by wotd-mlx alone:
mlx-lm refuses a file with weights that it doesn't know. A fused model has the rows in its tables, and mlx-lm reads it.
"""

from __future__ import annotations

import copy
import logging
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten

from wotd_mlx.language.chat import Language
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

NAME, TABLE = "codes", "code_tokens"
"""What the table is called in the model's tree, at the end, and in an adapter file."""
MOST_CODES = 256
"""A coordinate with more codes than this keeps its digits: most rows would hardly ever be trained."""

_NUMBER = re.compile(r"\d+")
_PATTERN = re.compile(r"\[[\d,*{}\-\s]+\]")
_START_NOISE = 0.02


@dataclass(frozen=True)
class CodeTokens:
    """A token for each code of each coordinate, and texts written with them; ``levels`` are K for each of Q."""

    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.levels) <= len(string.ascii_lowercase):
            raise WotdError(f"{len(self.levels)} coordinates; code tokens have names for 1 to 26")
        if min(self.levels) > MOST_CODES:
            raise WotdError(f"codes levels {list(self.levels)}: code tokens serve {MOST_CODES} codes a coordinate")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """``<a0>``, ``<a1>`` … ``<d4>``: a letter a coordinate, without those of more than :data:`MOST_CODES`."""
        return tuple(self._name(q, n) for q, k in enumerate(self.levels) if k <= MOST_CODES for n in range(k))

    def _name(self, q: int, n: int) -> str:
        return f"<{string.ascii_lowercase[q]}{n}>"

    def write(self, text: str) -> str:
        """Every ID and pattern in a text, its numbers as tokens.

        A whole ID is its tokens alone; a pattern keeps its brackets, wildcards, ranges and sets. What has another
        number of places, or a number out of range, stays as it is, so that :meth:`read` gives back what was written.
        """
        return _PATTERN.sub(lambda found: self._written(found.group()), text)

    def _written(self, text: str) -> str:
        places = re.split(r",(?![^{]*\})", text[1:-1])
        if len(places) != len(self.levels) or " " in text:
            return text
        numbers = [(n, k) for place, k in zip(places, self.levels, strict=True) for n in _NUMBER.findall(place)]
        if any(int(n) >= k or str(int(n)) != n for n, k in numbers):
            return text
        made = [self._place(q, place) for q, place in enumerate(places)]
        if all(place.isdecimal() for place in places) and max(self.levels) <= MOST_CODES:
            return "".join(made)
        return f"[{','.join(made)}]"

    def _place(self, q: int, place: str) -> str:
        if self.levels[q] > MOST_CODES:
            return place
        return _NUMBER.sub(lambda n: self._name(q, int(n.group())), place)

    def read(self, text: str) -> str:
        """The inverse of :meth:`write`."""
        text = self._whole.sub(lambda found: f"[{','.join(_NUMBER.findall(found.group()))}]", text)
        return self._single.sub(lambda found: found.group()[2:-1], text)

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        letters = string.ascii_lowercase[: len(self.levels)]
        # Within a pattern's brackets codes are never side by side, so a run of Q is an ID.
        return re.compile("".join(rf"<{letter}\d+>" for letter in letters))

    @cached_property
    def _single(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self.names)))


class CodeEmbedding(nn.Module):
    """A frozen table (V, D) with the rows of E code tokens, trained, at ``first`` and after it.

    Where the frozen table has rows there too, as padded vocabularies do, those of the code tokens stand in for them.
    """

    def __init__(self, base: nn.Module, codes: mx.array, first: int):
        super().__init__()
        self.base, self.codes, self.first = base, codes, first

    def __call__(self, x: mx.array) -> mx.array:
        """Tokens (B, L) -> embeddings (B, L, D)."""
        E = len(self.codes)
        is_code = (x >= self.first) & (x < self.first + E)
        rows = self.base(mx.where(is_code, 0, x))
        mine = self.codes[mx.clip(x - self.first, 0, E - 1)].astype(rows.dtype)
        return mx.where(is_code[..., None], mine, rows)

    def as_linear(self, x: mx.array) -> mx.array:
        """Hidden states (…, D) -> logits (…, V′), V′ the larger of V and ``first`` + E."""
        return self.spliced(self.base.as_linear(x), x @ self.codes.astype(x.dtype).T)

    def spliced(self, logits: mx.array, mine: mx.array) -> mx.array:
        """Logits of the frozen table with those of the code tokens in their places."""
        parts = [logits[..., : self.first], mine, logits[..., self.first + len(self.codes) :]]
        return mx.concatenate([part for part in parts if part.shape[-1]], axis=-1)

    @property
    def weight(self) -> mx.array:
        """The whole table (V′, D), dequantised; made when asked for."""
        return self.spliced(_rows(self.base).T, self.codes.T).T

    def fuse(self, dequantize: bool = False) -> nn.Embedding:
        """A plain embedding with all rows; never quantised, so that learned rows stay as they are."""
        fused = nn.Embedding(1, 1)
        fused.weight = self.weight
        return fused


class CodeLinear(nn.Module):
    """An output matrix of its own, frozen, with the rows of a :class:`CodeEmbedding` for the code tokens."""

    def __init__(self, base: nn.Module, embedding: CodeEmbedding):
        super().__init__()
        self.base = base
        # In a tuple, so that the table is one weight of the model and not two.
        self._embedding = (embedding,)

    def __call__(self, x: mx.array) -> mx.array:
        """Hidden states (…, D) -> logits (…, V′)."""
        (embedding,) = self._embedding
        return embedding.spliced(self.base(x), x @ embedding.codes.astype(x.dtype).T)

    @property
    def weight(self) -> mx.array:
        """The whole matrix (V′, D), dequantised; made when asked for."""
        (embedding,) = self._embedding
        return embedding.spliced(_rows(self.base).T, embedding.codes.T).T

    def fuse(self, dequantize: bool = False) -> nn.Linear:
        """A plain linear layer with all rows."""
        fused = nn.Linear(1, 1, bias=False)
        fused.weight = self.weight
        if "bias" in self.base:
            raise WotdError("an output matrix with a bias can't be fused with code tokens; keep the adapters apart")
        return fused


def _rows(module: nn.Module) -> mx.array:
    """A table's weight, dequantised where it is quantised."""
    if "scales" not in module:
        weight: mx.array = module.weight
        return weight
    return mx.dequantize(
        module.weight,
        module.scales,
        module.get("biases"),
        group_size=module.group_size,
        bits=module.bits,
        mode=module.mode,
    )


def extend(language: Language, codes: CodeTokens, seed: int = 0) -> Language:
    """The language with code tokens in tokenizer and model; the model is changed in place, the tokenizer copied.

    A code's row begins as the mean of its digits' rows with a little noise, so that ``<c3>`` begins near ``3``.

    Raises:
        WotdError: the tokenizer has such tokens already, or the model no embedding in the usual place.
    """
    tokenizer, first = _with_tokens(language.tokenizer, codes.names)
    name, base = _embedding(language.model)
    digits = [language.tokenizer.encode(re.sub(r"\D", "", token), add_special_tokens=False) for token in codes.names]
    means = np.stack([np.array(base(mx.array(ids)).astype(mx.float32)).mean(axis=0) for ids in digits])
    noise = np.random.default_rng([seed, len(means)]).normal(0, means.std() * _START_NOISE**0.5, means.shape)
    wrapper = CodeEmbedding(base, mx.array((means + noise).astype(np.float32)), first)
    replaced: list[tuple[str, nn.Module]] = [(name, wrapper)]
    for other, module in language.model.named_modules():
        if other.rsplit(".", 1)[-1] == "lm_head":
            replaced.append((other, CodeLinear(module, wrapper)))
    for place, module in replaced:
        _replace(language.model, place, module)
    return replace(language, tokenizer=tokenizer, codes=codes)


def _replace(model: nn.Module, place: str, module: nn.Module) -> None:
    *path, last = place.split(".")
    for step in path:
        model = model[int(step)] if isinstance(model, list) else getattr(model, step)
    setattr(model, last, module)


def _embedding(model: nn.Module) -> tuple[str, nn.Module]:
    """Name and module of the token table."""
    kinds = (nn.Embedding, nn.QuantizedEmbedding)
    found = [(n, m) for n, m in model.named_modules() if n.endswith("embed_tokens") and isinstance(m, kinds)]
    if len(found) != 1:
        raise WotdError(f"{type(model).__module__} has {len(found)} layers embed_tokens; code tokens need one")
    return found[0]


def _with_tokens(wrapper: Any, names: Sequence[str]) -> tuple[Any, int]:
    """A copy of a tokenizer with these tokens at its end, and the first one's number."""
    from mlx_lm.tokenizer_utils import TokenizerWrapper
    from tokenizers import AddedToken

    plain = copy.deepcopy(wrapper._tokenizer)
    known = plain.get_vocab()
    if there := [name for name in names if name in known]:
        raise WotdError(f"the tokenizer has tokens {there[0]} already; code tokens need names of their own")
    first = len(plain)
    plain.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
    if plain.convert_tokens_to_ids(list(names)) != list(range(first, first + len(names))):
        raise WotdError("the tokenizer has gaps at its end; code tokens need a row each after its last token")
    made = TokenizerWrapper(
        plain,
        type(wrapper._detokenizer),
        eos_token_ids=wrapper.eos_token_ids,
        chat_template=wrapper._chat_template,
    )
    return made, first


def size(model: nn.Module) -> int:
    """How many code tokens a model has."""
    flat: Any = tree_flatten(model.parameters())
    return sum(len(weight) for name, weight in flat if name.rsplit(".", 1)[-1] == NAME)
