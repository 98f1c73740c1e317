"""Adapters in mlx-lm's own form: its own code must read what is written here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load, quantize_model, save

from tests.language.conftest import load_folder, origin
from tests.tolerances import close
from wotd_mlx.config.language import LoraConfig
from wotd_mlx.language import lora
from wotd_mlx.language.adapters import ADAPTERS, CONFIG, AdapterConfig, write_config, write_weights
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.models import load_language
from wotd_mlx.schemas import WotdError

TOKENS = mx.array([[5, 9, 17, 33, 2]])


def shaken(language: LoadedModel) -> dict[str, mx.array]:
    """Random numbers for all that is trained, so that adapters do something; their names and weights."""
    rng = np.random.default_rng(0)
    weights = {
        n: mx.array(rng.normal(0, 0.1, w.shape).astype("float32")) for n, w in lora.trained(language.model).items()
    }
    lora.put_in(language.model, weights)
    language.model.eval()
    return weights


def adapted(language: LoadedModel, folder: Path, **settings: Any) -> mx.array:
    """Adapters written to a folder; the logits of the model that has them."""
    cfg = lora.apply(language.model, LoraConfig(**settings))
    config = AdapterConfig.of(cfg, origin())
    write_weights(folder, shaken(language), config)
    write_config(folder, config)
    return language.model(TOKENS)


@pytest.mark.parametrize(
    "settings", [{}, {"method": "dora", "layers": 1}, {"method": "full"}, {"keys": ("mlp.up_proj",)}]
)
def test_mlx_lm_reads_what_we_write(
    fresh_language: LoadedModel, tiny_folder: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    before = fresh_language.model(TOKENS)
    want = adapted(fresh_language, tmp_path, **settings)
    model, _ = load(str(tiny_folder), adapter_path=str(tmp_path))
    close(model(TOKENS), want, "exact")
    assert float(mx.abs(want - before).max()) > 0.01
    close(lora.read_adapters(load_folder(tiny_folder), tmp_path).model(TOKENS), want, "exact")


def test_mlx_lm_generate_takes_the_adapters(fresh_language: LoadedModel, tiny_folder: Path, tmp_path: Path) -> None:
    adapted(fresh_language, tmp_path)
    command = [sys.executable, "-m", "mlx_lm", "generate", "--model", str(tiny_folder), "--adapter-path", str(tmp_path)]
    command += ["--prompt", "glad", "--max-tokens", "4", "--temp", "0", "--verbose", "False"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    tokens = fresh_language.tokenizer.apply_chat_template(
        [{"role": "user", "content": "glad"}], add_generation_prompt=True
    )
    for _ in range(4):
        tokens = [*tokens, int(fresh_language.model(mx.array([tokens]))[0, -1].argmax())]
    assert fresh_language.tokenizer.decode(tokens[-4:]).strip() in done.stdout


def test_we_read_what_mlx_lm_writes(tiny_folder: Path, tmp_path: Path) -> None:
    """Without keys, as its command line writes them; and with keys of its own in the file."""
    from mlx_lm.tuner.utils import linear_to_lora_layers

    other = load_folder(tiny_folder)
    other.model.freeze()
    parameters = {"rank": 4, "scale": 20.0, "dropout": 0.0}
    linear_to_lora_layers(other.model, 1, parameters)
    weights = shaken(other)
    mx.save_safetensors(str(tmp_path / ADAPTERS), weights)
    config = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": parameters, "batch_size": 4, "seed": 0}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    got = lora.read_adapters(load_folder(tiny_folder), tmp_path)
    close(got.model(TOKENS), other.model(TOKENS), "exact")
    assert not tree_flatten(got.model.trainable_parameters())


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_fused_folder_is_a_model_of_its_own(fresh_language: LoadedModel, tmp_path: Path, method: str) -> None:
    want = adapted(fresh_language, tmp_path / "adapters", method=method)
    folder = lora.fuse(fresh_language, tmp_path / "fused")
    model, tokenizer = load(str(folder))
    close(model(TOKENS), want, "language")
    assert tokenizer.encode("serendipity") == fresh_language.tokenizer.encode("serendipity")
    close(fresh_language.model(TOKENS), want, "exact")
    with pytest.raises(WotdError, match="isn't empty"):
        lora.fuse(fresh_language, tmp_path / "fused")


def quantised(folder: Path, made: Path) -> Path:
    """The folder's model in 4 bits."""
    model, tokenizer, config = load(str(folder), return_config=True)
    model, config = quantize_model(model, config, 32, 4)
    save(made, folder, model, tokenizer, config)
    return made


def test_a_quantised_base_stays_quantised(tiny_folder: Path, tmp_path: Path) -> None:
    language = load_folder(quantised(tiny_folder, tmp_path / "base"))
    want = adapted(language, tmp_path / "adapters")
    model, _ = load(str(tmp_path / "base"), adapter_path=str(tmp_path / "adapters"))
    close(model(TOKENS), want, "exact")
    fused = load_folder(lora.fuse(language, tmp_path / "fused")).model
    names = {name for name, _ in tree_flatten(fused.parameters())}
    assert names == {name for name, _ in tree_flatten(load_folder(tmp_path / "base").model.parameters())}
    with pytest.raises(WotdError, match="aren't quantised"):
        lora.apply(load_folder(tmp_path / "base").model, LoraConfig(method="full"))


def test_only_adapters_are_trained(fresh_language: LoadedModel) -> None:
    cfg = lora.apply(fresh_language.model, LoraConfig(layers=1))
    assert set(cfg.keys or ()) == {f"self_attn.{k}_proj" for k in "qkvo"} | {
        f"mlp.{k}_proj" for k in ("up", "down", "gate")
    }
    names = lora.trained(fresh_language.model)
    assert {name.rsplit(".", 1)[-1] for name in names} == {"lora_a", "lora_b"}
    assert all(name.startswith("model.layers.1.") for name in names)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"keys": ("self_attn.query", "mlp.up_proj")},
            "'self_attn.query' match no layer of the model; it has mlp.down_proj",
        ),
        ({"layers": 3}, "layers is 3, the model has 2"),
        ({"layers": 0}, "1 or more, or -1 for all"),
        ({"rank": 0}, "rank is 0, expected int >= 1"),
        ({"scale": 0.0}, "scale is 0.0, expected float > 0"),
        ({"dropout": 1.0}, "dropout is 1.0, expected float < 1"),
        ({"method": "adapter"}, "expected one of lora, dora, full"),
        ({"keys": ()}, "empty list"),
    ],
)
def test_settings_that_fit_nothing(fresh_language: LoadedModel, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(WotdError, match=said.replace(".", r"\.")):
        lora.apply(fresh_language.model, LoraConfig(**settings))


def test_adapters_twice(fresh_language: LoadedModel, tmp_path: Path) -> None:
    adapted(fresh_language, tmp_path)
    with pytest.raises(WotdError, match="has adapters already"):
        lora.apply(fresh_language.model, LoraConfig())
    with pytest.raises(WotdError, match="has adapters already"):
        lora.read_adapters(fresh_language, tmp_path)


def test_adapters_of_another_model(fresh_language: LoadedModel, tiny_folder: Path, tmp_path: Path) -> None:
    def refused(said: str, **changes: Any) -> None:
        config = AdapterConfig.of(replace(cfg, **changes), origin())
        write_weights(tmp_path, weights, config)
        write_config(tmp_path, config)
        with pytest.raises(WotdError, match=said):
            lora.read_adapters(load_folder(tiny_folder), tmp_path)

    cfg = lora.apply(fresh_language.model, LoraConfig())
    weights = {name: mx.zeros((3, 3)) for name in lora.trained(fresh_language.model)}
    refused(
        r"28 arrays differ, such as .* float32 \(3, 3\), expected .* give the model that they were trained on, tiny"
    )
    weights = {"base_model.model.q_proj.lora_A.weight": mx.zeros((8, 64))}
    refused("29 arrays differ, such as base_model")
    refused("don't fit tiny: lora layers is 30, the model has 2", layers=30)
    refused("don't fit tiny: lora keys 'mlp.gate', 'mlp.up' match no layer", keys=("mlp.gate", "mlp.up"))


def test_a_file_is_not_fused_over(fresh_language: LoadedModel, tmp_path: Path) -> None:
    adapted(fresh_language, tmp_path / "adapters")
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(WotdError, match="notes isn't a folder; give a new folder"):
        lora.fuse(fresh_language, tmp_path / "notes")
    (tmp_path / "empty").mkdir()
    lora.fuse(fresh_language, tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapters", "empty", "notes"]


def test_a_failed_fusion_leaves_nothing(
    fresh_language: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted(fresh_language, tmp_path / "adapters")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mlx_lm.utils.save_config", full)
    with pytest.raises(OSError, match="No space left"):
        lora.fuse(fresh_language, tmp_path / "fused")
    assert [path.name for path in tmp_path.iterdir()] == ["adapters"]


def test_a_model_that_was_dequantised_is_fused_as_such(tiny_folder: Path, tmp_path: Path) -> None:
    """As on a CPU: the file it came from says 4 bits, the weights no longer are."""
    folder = quantised(tiny_folder, tmp_path / "base")
    language = load_language(str(folder), quantised=False)
    want = adapted(language, tmp_path / "adapters")
    lora.fuse(language, tmp_path / "fused")
    config = json.loads((tmp_path / "fused" / "config.json").read_text())
    assert "quantization" not in config
    assert config["model_type"] == "llama"
    close(load(str(tmp_path / "fused"))[0](TOKENS), want, "language")
