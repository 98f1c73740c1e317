"""Answers under a grammar: our decoding beside outlines and llguidance, one model, the same words, in the same run.

    python -m benchmarks.bench_constrained [--language SmolLM2-135M-Instruct] [--answers 20] [--words 40 300]

An answer is five words out of a list. Ours: ``decode``, ``decode_together``, both with the prompt's beginning kept from
the request before, as in ``wotd-mlx generate``, and without; and our logits processor in mlx-lm's own loop. mlx-lm's
own loop without any grammar stands beside them, for as many tokens (its words are then what they are). Theirs:
outlines with its own back end, and llguidance, both as logits processors in mlx-lm's own loop, where each token is a
call of the model; they are given the same prompt. Peers that aren't installed are left out, and said.

How far the peers do the same:
- their grammar is the regular expression ``(?:w1|w2|…)(?:, (?:w1|w2|…)){4}``, which can't say that words differ;
  ``different`` is the share of answers whose words do;
- both mask logits with a Metal kernel (``outlines_core.kernels.mlx``, ``llguidance.mlx``), and on MLX's other back ends
  that raises "[metal_kernel] No Metal back-end": there the mask is applied with ``mx.where`` in its place.

Measured with outlines 1.3.3 (outlines_core 0.2.14), llguidance 1.9.1, mlx-lm 0.32.2.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.timing import alternate, write_results
from wotd_mlx.backend import peak_bytes

N = 5
FREE = 18
"""Tokens that mlx-lm writes where nothing holds it, about as many as an answer has."""
TEMPERATURE = 0.7
REQUESTS = ("[2,1,3,*]", "[0,4,1,*]", "[5,5,2,0]", "[7,0,6,*]")


class Llguidance:
    """llguidance as a logits processor, on its own matcher and mask."""

    def __init__(self, tokenizer: Any, grammar: str, apply: Callable[..., Any]):
        import llguidance.numpy

        self.fill = llguidance.numpy.fill_next_token_bitmask
        self.matcher = llguidance.LLMatcher(tokenizer, grammar)
        self.mask = llguidance.numpy.allocate_token_bitmask(1, tokenizer.vocab_size)
        self.apply, self.started = apply, False

    def __call__(self, tokens: Any, logits: Any) -> Any:
        if self.started and not self.matcher.is_stopped():
            self.matcher.consume_token(tokens[-1].item())
        self.started = True
        self.fill(self.matcher, self.mask, 0)
        return self.apply(logits, self.mask)


def masked(logits: Any, mask: Any) -> Any:
    """Logits (1, V) where the bits of ``mask`` (1, V/32) are set, −∞ elsewhere: what both peers' Metal kernels do."""
    import mlx.core as mx
    import numpy as np

    bits = np.unpackbits(np.ascontiguousarray(mask).view(np.uint8), bitorder="little")[: logits.shape[-1]]
    return mx.where(mx.array(bits.astype(bool)), logits, -mx.inf)


def peers(language: Any, words: Sequence[str]) -> dict[str, tuple[float, float, Callable[[], Any]]]:
    """Name → seconds for the tokenizer, seconds for the grammar, and what makes a processor for one answer."""
    import mlx.core as mx

    one = "(?:" + "|".join(map(re.escape, words)) + ")"
    pattern = f"{one}(?:, {one}){{{N - 1}}}"
    found: dict[str, tuple[float, float, Callable[[], Any]]] = {}
    try:
        import outlines
        import outlines_core.kernels.mlx as kernels
        from outlines.backends.outlines_core import OutlinesCoreBackend

        if not mx.metal.is_available():
            kernels.apply_token_bitmask = masked
        started = time.perf_counter()
        backend = OutlinesCoreBackend(outlines.from_mlxlm(language.model, language.tokenizer))
        ready = time.perf_counter()
        processor = backend.get_regex_logits_processor(pattern)
        done = time.perf_counter()

        def again() -> Any:
            processor.reset()
            return processor

        found["outlines"] = ready - started, done - ready, again
    except ImportError as error:
        print(f"outlines is left out: {error}")
    try:
        import llguidance.hf
        import llguidance.mlx

        apply = llguidance.mlx.apply_token_bitmask if mx.metal.is_available() else masked
        started = time.perf_counter()
        tokenizer = llguidance.hf.from_tokenizer(language.tokenizer._tokenizer)
        ready = time.perf_counter()
        grammar = llguidance.grammar_from("regex", pattern)
        Llguidance(tokenizer, grammar, apply)
        done = time.perf_counter()
        found["llguidance"] = ready - started, done - ready, lambda: Llguidance(tokenizer, grammar, apply)
    except ImportError as error:
        print(f"llguidance is left out: {error}")
    return found


class Way:
    """One way to answer: it goes through the requests in turn and keeps what came."""

    def __init__(self, language: Any, answer: Callable[[list[int], int], Sequence[str]]):
        self.language, self.answer = language, answer
        self.answers: list[Sequence[str]] = []

    def __call__(self) -> None:
        from wotd_mlx.language.chat import chat

        turn = len(self.answers)
        prompt = chat(self.language.tokenizer, f"Generate {N} words for {REQUESTS[turn % len(REQUESTS)]}")
        self.answers.append(self.answer(prompt, turn))

    def figures(self, seconds: float, words: Sequence[str]) -> dict[str, float]:
        """Milliseconds and tokens a second, and how many answers are what was asked for."""
        from wotd_mlx.language.dsl import SEPARATOR

        encode = self.language.tokenizer.encode
        tokens = [len(encode(SEPARATOR.join(a), add_special_tokens=False)) + 1 for a in self.answers]
        return {
            "ms_an_answer": seconds * 1e3,
            "tokens_an_answer": statistics.mean(tokens),
            "tokens_a_second": statistics.mean(tokens) / seconds,
            "known": statistics.mean(len(a) == N and set(a) <= set(words) for a in self.answers),
            "different": statistics.mean(len(set(a)) == N for a in self.answers),
        }


def measure(language: Any, words: Sequence[str], answers: int) -> dict[str, Any]:
    """All ways for one list of words, taking turns."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step
    from mlx_lm.sample_utils import make_sampler

    from wotd_mlx.language.chat import end_token
    from wotd_mlx.language.constrain import AnswerGrammar, AnswerProcessor
    from wotd_mlx.language.decode import PromptCache, decode, decode_together
    from wotd_mlx.language.dsl import SEPARATOR
    from wotd_mlx.language.head import Head
    from wotd_mlx.language.trie import word_tries

    head, tokenizer, end = Head(language.model), language.tokenizer, end_token(language.tokenizer)
    started = time.perf_counter()
    grammar = AnswerGrammar(word_tries(tokenizer, words), N, end)
    built = time.perf_counter() - started

    def own(way: Any, cache: PromptCache | None) -> Way:
        def answer(prompt: list[int], seed: int) -> list[str]:
            # The grammar is made for each request, as it is in use.
            fresh = AnswerGrammar(word_tries(tokenizer, words), N, end)
            return list(way(head, prompt, fresh, cache=cache, temperature=TEMPERATURE, key=mx.random.key(seed)))

        return Way(language, answer)

    def in_mlx_lm(make: Callable[[], Any] | None) -> Way:
        def answer(prompt: list[int], seed: int) -> list[str]:
            mx.random.seed(seed)
            steps = generate_step(
                mx.array(prompt),
                language.model,
                max_tokens=100 if make else FREE,
                sampler=make_sampler(temp=TEMPERATURE),
                logits_processors=[make()] if make else None,
            )
            tokens = []
            for token, _ in steps:
                if make and token in tokenizer.eos_token_ids:
                    break
                tokens.append(token)
            return tokenizer.decode(tokens).split(SEPARATOR)

        return Way(language, answer)

    ways = {
        "decode": own(decode, PromptCache(head)),
        "decode_cold": own(decode, None),
        "decode_together": own(decode_together, PromptCache(head)),
        "decode_together_cold": own(decode_together, None),
        "free_in_mlx_lm": in_mlx_lm(None),
        "processor_in_mlx_lm": in_mlx_lm(lambda: AnswerProcessor(grammar)),
    }
    rivals = peers(language, words)
    ways |= {f"{name}_in_mlx_lm": in_mlx_lm(make) for name, (_, _, make) in rivals.items()}
    seconds = alternate(ways, answers, warmup=1)
    return {
        "words": len(words),
        "grammar_ms": {"ours": built * 1e3, **{name: s * 1e3 for name, (_, s, _) in rivals.items()}},
        "tokenizer_ms": {name: s * 1e3 for name, (s, _, _) in rivals.items()},
        "ways": {name: way.figures(seconds[name], words) for name, way in ways.items()},
    }


def main() -> None:
    """Measure lists of each size, write benchmarks/results/constrained.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", default="SmolLM2-135M-Instruct", help="a model's name, folder or GGUF file")
    parser.add_argument("--answers", type=int, default=20, help="answers each way gives")
    parser.add_argument("--words", type=int, nargs="+", default=[40, 300], help="how long the lists are")
    arguments = parser.parse_args()

    import numpy as np

    from wotd_mlx.language.models import load_language
    from wotd_mlx.words.builtin import load_builtin

    language = load_language(arguments.language)
    every = [word.text for word in load_builtin().words]
    figures = {}
    for size in arguments.words:
        words = np.random.default_rng(0).choice(every, size, replace=False).tolist()
        figures[f"{size}_words"] = measure(language, words, arguments.answers)
    versions = {}
    for name in ("mlx-lm", "outlines", "outlines_core", "llguidance"):
        try:
            versions[name] = version(name)
        except ImportError:
            continue
    write_results(
        "constrained",
        {"model": language.name, "temperature": TEMPERATURE, "peers": versions, **figures, "peak_bytes": peak_bytes()},
    )


if __name__ == "__main__":
    main()
