"""The language model at work: words that a grammar allows, chosen by the model's own probabilities and a bias."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import mlx.core as mx

from wotd_mlx.config.generate import GenerateConfig
from wotd_mlx.language.chat import LoadedModel, end_token
from wotd_mlx.language.constrain import AnswerGrammar
from wotd_mlx.language.decode import PromptCache, decode, decode_together
from wotd_mlx.language.dsl import WordRequest
from wotd_mlx.language.head import Head
from wotd_mlx.language.trie import word_tries


class Writer:
    """Writes words with one model; a prompt's beginning is read once and kept.

    Args:
        language: the model and its tokenizer.
    """

    def __init__(self, language: LoadedModel):
        self.language = language
        self.head = Head(language.model)
        self.cache = PromptCache(self.head)

    def write(
        self,
        request: WordRequest,
        words: Sequence[str],
        n: int,
        options: GenerateConfig,
        bias: Mapping[str, float] | None,
    ) -> Iterator[str]:
        """``n`` different ones of some words, as answers to a request, each as soon as it is determined.

        Args:
            bias: a log-bias by word, see :func:`wotd_mlx.language.decode.decode`.

        Raises:
            WotdError: a request that is longer than what the model reads.
        """
        tokenizer = self.language.tokenizer
        grammar = AnswerGrammar(word_tries(tokenizer, words), n, end_token(tokenizer))
        prompt = self.language.prompt(str(replace(request, n=n)))
        key = None if options.seed is None else mx.random.key(options.seed)
        write = decode if options.sequential else decode_together
        return write(self.head, prompt, grammar, cache=self.cache, temperature=options.temperature, key=key, bias=bias)
