"""SmolLM2 from a GGUF file through mlx-lm's Llama, against transformers on torch, reading the same file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.language.chat import LoadedModel, chat
from wotd_mlx.language.head import Head
from wotd_mlx.language.models import SMALL, load_language, resolve
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.builtin import load_builtin

pytestmark = pytest.mark.parity

PROMPTS = (
    "Generate 5 words matching pattern [2,1,0-3,*]:",
    "Wie heißt die Hauptstadt von Österreich?",
    "Use the word ephemeral in a sentence.",
)
LENGTH = 32
UNICODE = (
    "naïve café, über-alles; Ærøskøbing 東京都 привет мир नमस्ते שלום مرحبا",
    "emoji 🙂👩‍👩‍👧‍👦🏳️‍🌈 and ﬁ ligatures, e\u0301 combining, \u200bzero width\u00a0no break",
    "tabs\tand\n\nnew lines  two spaces   three\r\nthe end   ",
    "It's we'll they'd I'm you've he's 'tis O'Neill's",
    "<|im_start|>user\n<|im_end|> <|endoftext|> <| im_start |>",
    "[2,1,0-3,{1,4},*] → style=romantic, era=1800–1850; 3.14159e-10 0x1F 1,000,000",
    "def f(x): return x**2 if x != 0 else {'a': [1, 2]}",
    "",
    " ",
    "\n",
)


@pytest.fixture(scope="module")
def file() -> Path:
    pytest.importorskip("gguf", reason="transformers needs the package gguf to read the file")
    pytest.importorskip("torch")
    try:
        return resolve(SMALL.id)
    except WotdError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def language(file: Path) -> LoadedModel:
    return load_language(str(file), quantised=False)


@pytest.fixture(scope="module")
def theirs(file: Path) -> Any:
    """transformers' model in fp32, by its own reader of such files; from_pretrained would need accelerate besides."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).to(torch.float32)
    tensors = load_gguf_checkpoint(str(file), return_tensors=True, model_to_load=model)["tensors"]
    found = model.load_state_dict(tensors, strict=False)
    assert not found.unexpected_keys
    assert found.missing_keys == ["lm_head.weight"]
    model.tie_weights()
    return model.eval()


def test_the_tokenizer_is_theirs(language: LoadedModel, file: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    words = [word.text for word in load_builtin().words]
    rng = np.random.default_rng(0)
    lists = [", ".join(rng.choice(words, 5)) for _ in range(100)]
    numbers = [" ".join(map(str, rng.integers(0, 10 ** rng.integers(1, 8), 4))) for _ in range(50)]
    ascii_noise = ["".join(map(chr, rng.integers(32, 127, 40))) for _ in range(50)]
    noise = ["".join(map(chr, rng.integers(32, 0x2FFF, 20))) for _ in range(50)]
    texts = [*words[::6], *lists, *numbers, *ascii_noise, *noise, *UNICODE, *PROMPTS]
    assert len(texts) > 400
    for text in texts:
        tokens = theirs.encode(text, add_special_tokens=False)
        assert language.tokenizer.encode(text, add_special_tokens=False) == tokens, repr(text)
        assert language.tokenizer.decode(tokens) == theirs.decode(tokens), repr(text)
    assert language.tokenizer.eos_token_id == theirs.eos_token_id
    assert language.tokenizer.chat_template == theirs.chat_template


def test_logits(language: LoadedModel, theirs: Any) -> None:
    import torch

    tokens = chat(language.tokenizer, PROMPTS[0], ", ".join(word.text for word in load_builtin().words[:5]))
    with torch.no_grad():
        want = theirs(torch.tensor([tokens])).logits.numpy()
    got = language.model(mx.array([tokens]))
    close(got, want, "gguf")
    head = Head(language.model)
    assert head.apart
    rows = mx.array([0, 2, 28, 49151])
    close(head.logits(head.hidden(mx.array([tokens])), rows), got[..., rows], "parts")


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_output_token_for_token(prompt: str, language: LoadedModel, theirs: Any) -> None:
    import torch
    from mlx_lm.generate import generate_step

    tokens = chat(language.tokenizer, prompt)
    got = [int(token) for token, _ in generate_step(mx.array(tokens), language.model, max_tokens=LENGTH)]
    assert len(got) == LENGTH
    # What theirs goes on with after each beginning of ours: equal throughout is equal token for token, in one call.
    with torch.no_grad():
        logits = theirs(torch.tensor([tokens + got[:-1]]), logits_to_keep=LENGTH).logits
    assert got == logits[0].argmax(dim=-1).tolist()
