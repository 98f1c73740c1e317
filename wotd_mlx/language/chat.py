"""A loaded language model, and the chat format in which it is asked and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    from mlx import nn
    from mlx_lm.tokenizer_utils import TokenizerWrapper


@dataclass(frozen=True)
class LoadedModel:
    """A loaded language model: mlx-lm's module and tokenizer, the name to ask for it by, where its weights lie,
    and its ``config.json`` as mlx-lm read it, if it has one."""

    model: nn.Module
    tokenizer: TokenizerWrapper
    name: str
    path: Path | None = None
    config: Mapping[str, Any] | None = None

    def prompt(self, request: str) -> list[int]:
        """The tokens of a request up to where the answer begins.

        Raises:
            WotdError: more than the model reads.
        """
        tokens = chat(self.tokenizer, request)
        if (most := self.context) and len(tokens) >= most:
            raise WotdError(f"the request takes {len(tokens)} tokens, {self.name} reads {most}; ask with fewer words")
        return tokens

    @property
    def context(self) -> int | None:
        """The most tokens that the model reads, prompt and answer; None where its settings don't tell."""
        found = getattr(getattr(self.model, "args", None), "max_position_embeddings", None)
        return int(found) if found else None


def chat(tokenizer: TokenizerWrapper, user: str, answer: str | None = None) -> list[int]:
    """The tokens of a request in the model's own chat format, up to where the answer begins; or of the whole exchange.

    With an ``answer`` they end with :func:`end_token`, and the answer's own tokens are those that it has by itself:
    ``chat(t, u, a) == chat(t, u) + encode(a) + [end_token(t)]``. So what the model is trained on is token for token
    what it reads and may write in generation. There is no system message; where a template would put in one of its own,
    an empty one stands for it.

    Raises:
        WotdError: the tokenizer has no chat template, as a base model's.
    """
    system, end = _format(tokenizer, tokenizer.chat_template)
    prompt = _tokens(tokenizer, _render(tokenizer, [*system, {"role": "user", "content": user}]))
    return prompt if answer is None else [*prompt, *_tokens(tokenizer, answer), end]


def end_token(tokenizer: TokenizerWrapper) -> int:
    """The token that ends an answer in the model's chat format, such as ``<|im_end|>``."""
    return _format(tokenizer, tokenizer.chat_template)[1]


@lru_cache(maxsize=8)
def _format(tokenizer: TokenizerWrapper, template: str | None) -> tuple[list[dict[str, str]], int]:
    """The system message that makes the shortest prompt, none or an empty one, and the token that ends an answer."""
    if template is None and getattr(tokenizer, "_chat_template", None) is None:
        raise WotdError("the tokenizer has no chat template; expected an instruct model, such as SmolLM2-135M-Instruct")
    user, answer = {"role": "user", "content": "request"}, {"role": "assistant", "content": "answer"}
    # Some templates put in a default system prompt of 20 tokens and more where there is none; some refuse one.
    shapes: list[list[dict[str, str]]] = []
    for system in ([], [{"role": "system", "content": ""}]):
        try:
            _render(tokenizer, [*system, user])
        except Exception:
            continue
        shapes.append(system)
    if not shapes:
        raise WotdError("the tokenizer's chat template can't render a user's message; expected an instruct model")
    best = min(shapes, key=lambda system: len(_render(tokenizer, [*system, user])))
    whole = _render(tokenizer, [*best, user, answer], ask=False)
    ends = _tokens(tokenizer, whole[whole.rindex("answer") + len("answer") :].lstrip())
    if not ends:
        raise WotdError("the tokenizer's chat template doesn't end an answer; expected an instruct model")
    return best, ends[0]


def _render(tokenizer: TokenizerWrapper, messages: list[dict[str, str]], ask: bool = True) -> str:
    text: Any = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=ask, enable_thinking=False
    )
    return str(text)


def _tokens(tokenizer: TokenizerWrapper, text: str) -> list[int]:
    # The template writes the beginning of the text itself.
    return [int(token) for token in tokenizer.encode(text, add_special_tokens=False)]
