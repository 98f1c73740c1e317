"""A language model small enough to make on the spot: a random Llama, and a tokenizer trained on the built-in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from wotd_mlx.config.language import LanguageRecipe
from wotd_mlx.language.adapters import Origin
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.words.builtin import load_builtin

VOCABULARY = 384
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SHAPE = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
}


def write_tokenizer(folder: Path) -> Path:
    """Byte-level BPE with fewer merges than words, so that most words are several tokens; ChatML."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((f"{word.text}, {word.text}" for word in load_builtin().words), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[1], eos_token=special[2], pad_token=special[2]
    )
    fast.chat_template = CHATML
    fast.save_pretrained(str(folder))
    return folder


def write_folder(folder: Path, seed: int = 0) -> Path:
    """An mlx-lm model folder: config.json, model.safetensors and the tokenizer's files."""
    from mlx_lm.models import llama

    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps({**SHAPE, "eos_token_id": 2}))
    model = llama.Model(llama.ModelArgs.from_dict(SHAPE))
    keys = iter(mx.random.split(mx.random.key(seed), 64))
    # nn's own start makes almost equal logits: a deviation of .15 tells tokens apart.
    weights = {
        name: value if value.ndim == 1 else 0.15 * mx.random.normal(value.shape, key=next(keys))
        for name, value in sorted(tree_flatten(model.parameters()))
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    return folder


def load_folder(folder: Path) -> LoadedModel:
    """The folder's model as a :class:`LoadedModel`, by mlx-lm's own loaders."""
    from mlx_lm.utils import load

    model, tokenizer = load(str(folder))
    return LoadedModel(model, tokenizer, folder.name, folder)


def origin(recipe: LanguageRecipe | None = None, codes: str | None = None) -> Origin:
    """What adapters of the tiny model may have been trained on."""
    return Origin("tiny", "0123456789abcdef", codes, recipe or LanguageRecipe(), True)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mlx-lm model folder with a random Llama, 2 layers, 64 wide; tests only read it."""
    return write_folder(tmp_path_factory.mktemp("language") / "tiny")


@pytest.fixture(scope="session")
def tiny_language(tiny_folder: Path) -> LoadedModel:
    """The tiny Llama; tests only read it. One that trains or changes its layers takes ``fresh_language``."""
    return load_folder(tiny_folder)


@pytest.fixture
def fresh_language(tiny_folder: Path) -> LoadedModel:
    """The tiny Llama, loaded anew for a test that changes it."""
    return load_folder(tiny_folder)


@pytest.fixture(scope="session")
def phi_tokenizer() -> Any:
    """Phi-3's tokenizer, which is not part of the repository: it lies in ``shared`` in it or beside it."""
    root = Path(__file__).parents[2]
    for place in (root, root.parent):
        if (folder := place / "shared/data/phi3_tokenizer").is_dir():
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(folder)
    pytest.skip("needs Phi-3's tokenizer in shared/data/phi3_tokenizer")
