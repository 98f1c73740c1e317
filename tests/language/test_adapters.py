"""Files of adapters: whatever they hold is read, or told in one line; no weights pass for another training's."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from tests.language.conftest import load_folder, origin
from tests.language.test_lora import adapted
from wotd_mlx.config.language import LanguageRecipe, LoraConfig
from wotd_mlx.language import lora
from wotd_mlx.language.adapters import (
    ADAPTERS,
    CONFIG,
    AdapterConfig,
    check_weights,
    read_config,
    read_weights,
    write_config,
    write_weights,
)
from wotd_mlx.schemas import MissingError, WotdError


@pytest.fixture(scope="module")
def written(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of adapters that do something; tests only read it."""
    folder = tmp_path_factory.mktemp("adapters") / "written"
    adapted(load_folder(tiny_folder), folder, rank=2)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def refusal(folder: Path) -> str:
    """What reading a folder's adapters is refused with, without a model: that must not be loaded for them."""
    with pytest.raises(WotdError) as caught:
        read_weights(folder, read_config(folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value)


def paths(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a JSON content."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from paths(value, (*at, key))


GONE = object()
VALUES = [GONE, None, "x", [], -1, 0, 10**12, True, {}, "../../../../etc/passwd", 1.5, [10**9] * 4, "1234", {"a": [[]]}]


def put(content: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The content with one value replaced."""
    changed = copy.deepcopy(content)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return changed


def test_no_wrong_value_is_taken_for_a_setting(folder: Path, written: Path) -> None:
    """Each value in the file, replaced by one of another type, out of range, or just another one."""
    whole = json.loads((written / CONFIG).read_text())
    ours = read_config(written)
    refused: dict[Any, str] = {}
    for at in paths(whole):
        for value in VALUES:
            (folder / CONFIG).write_text(json.dumps(put(whole, at, value)))
            try:
                found = read_config(folder)
                check_weights(folder, found)
            except WotdError as error:
                refused[at, repr(value)] = str(error)
            else:
                # What is left out has the default; whether it ended says nothing of the weights.
                assert at == ("wotd", "finished") or found == ours, (at, value)
    assert len(refused) > 500
    for case, told in refused.items():
        assert told.startswith((f"{folder / CONFIG}: ", f"{folder / ADAPTERS} doesn't belong")), case
        assert "\n" not in told, case


@pytest.mark.parametrize(
    ("at", "value", "told"),
    [
        (("lora_parameters", "rank"), "8", "lora_parameters.rank is '8', expected int"),
        (("lora_parameters", "rank"), 0, "lora_parameters.rank is 0, expected int >= 1"),
        (("lora_parameters", "rank"), 10**12, "lora_parameters.rank is 1000000000000, expected int <="),
        (("lora_parameters", "scale"), True, "lora_parameters.scale is True, expected float"),
        (("lora_parameters", "scale"), 0, "lora_parameters.scale is 0, expected float > 0"),
        (("lora_parameters", "dropout"), 1, "lora_parameters.dropout is 1, expected float < 1"),
        (("lora_parameters", "keys"), "mlp", "lora_parameters.keys is 'mlp', expected a list | null"),
        (("lora_parameters", "keys"), [], "lora_parameters.keys is an empty list, expected names"),
        (("lora_parameters", "keys", 1), 1.5, "lora_parameters.keys[1] is 1.5, expected str"),
        (("lora_parameters",), None, "it lacks lora_parameters, which lora needs"),
        (("lora_parameters",), [], "lora_parameters is [], expected keys and values | null"),
        (("num_layers",), GONE, "it lacks num_layers"),
        (("num_layers",), 0, "num_layers is 0, expected 1 or more, or -1 for all"),
        (("num_layers",), 2.0, "num_layers is 2.0, expected int"),
        (("fine_tune_type",), "adalora", "fine_tune_type is 'adalora', expected one of lora, dora, full"),
        (("wotd",), "x", "wotd is 'x', expected keys and values | null"),
        (("wotd", "model"), 3, "wotd.model is 3, expected str"),
        (("wotd", "finished"), "yes", "wotd.finished is 'yes', expected bool"),
        (("wotd", "mode"), "x", "wotd has unknown keys 'mode'; known are model, rows"),
        (("wotd", "recipe", "batch"), 0, "wotd.recipe.batch is 0, expected int >= 1"),
        (("wotd", "recipe", "seed"), 2**40, "wotd.recipe.seed is 1099511627776, expected int <="),
        (("wotd", "recipe", "lora", "keys"), ["a", 1], "wotd.recipe.lora.keys[1] is 1, expected str"),
        (("wotd", "recipe", "lora", "rank"), [], "wotd.recipe.lora.rank is [], expected int"),
    ],
)
def test_the_key_is_named(folder: Path, at: tuple[Any, ...], value: Any, told: str) -> None:
    (folder / CONFIG).write_text(json.dumps(put(json.loads((folder / CONFIG).read_text()), at, value)))
    assert refusal(folder).startswith(f"{folder / CONFIG}: {told}")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "it is [], expected keys and values"),
        ("NaN", "NaN is no number"),
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested too deep"),
        ('{"num_layers": ' + "9" * 5000 + "}", "not JSON"),
        ('{"num_layers": 1, "num_layers": 2}', "'num_layers' stands there twice"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"num_layers": 2, "lora_parameters": {"rank": 2, "scale": 1e999, "dropout": 0}}', "1e999 is too large"),
    ],
)
def test_what_is_no_settings(folder: Path, raw: str, told: str) -> None:
    (folder / CONFIG).write_text(raw)
    assert told in refusal(folder)


def test_files_that_are_not_there_or_no_files(folder: Path) -> None:
    for path, name in ((folder / ADAPTERS, ADAPTERS), (folder / CONFIG, CONFIG)):
        path.unlink()
        with pytest.raises(MissingError, match=f"no file .*{name}"):
            read_weights(folder, read_config(folder))
        os.mkfifo(path)
        assert "is a pipe, expected a file" in refusal(folder)
    with pytest.raises(MissingError, match="no such folder; expected a folder that `wotd-mlx language train`"):
        read_config(folder / "nowhere")


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda raw: raw[:-100],
    lambda raw: raw[:5],
    lambda raw: b"",
    lambda raw: b"\0" * len(raw),
    lambda raw: (2**62).to_bytes(8, "little") + raw[8:],
    lambda raw: raw + b"\0",
    lambda raw: raw[:-30] + bytes([raw[-30] ^ 4]) + raw[-29:],
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_that_were_damaged(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    (folder / ADAPTERS).write_bytes(damage((folder / ADAPTERS).read_bytes()))
    assert refusal(folder).startswith(str(folder / ADAPTERS))


def test_weights_of_another_training(folder: Path) -> None:
    ours = read_config(folder)
    assert ours.wotd is not None
    others = [
        replace(ours, wotd=replace(ours.wotd, model="other")),
        replace(ours, wotd=replace(ours.wotd, rows="0" * 16)),
        replace(ours, wotd=replace(ours.wotd, codes="0" * 16)),
        replace(ours, wotd=replace(ours.wotd, recipe=LanguageRecipe(seed=1))),
        replace(ours, num_layers=1),
        replace(ours, fine_tune_type="dora"),
        replace(ours, wotd=None),
    ]
    for other in others:
        write_config(folder, other)
        assert f"{ADAPTERS} doesn't belong to the settings here: it was made from others" in refusal(folder)
    write_config(folder, replace(ours, wotd=replace(ours.wotd, finished=False)))
    assert read_weights(folder, read_config(folder))


def test_weights_without_a_digest_are_other_programs(folder: Path, tiny_folder: Path) -> None:
    """Under settings of ours they are refused; under mlx-lm's they are read, unless they hold what is no number."""
    weights = read_weights(folder, read_config(folder))
    mx.save_safetensors(str(folder / ADAPTERS), weights)
    assert "doesn't belong to the settings here: it doesn't say which; train them again" in refusal(folder)
    plain = json.loads((folder / CONFIG).read_text())
    del plain["wotd"]
    further = {**plain, "lr_schedule": None, "seed": 0, "lora_parameters": {**plain["lora_parameters"], "alpha": 8}}
    (folder / CONFIG).write_text(json.dumps(further))
    assert read_weights(folder, read_config(folder)).keys() == weights.keys()
    name, first = next(iter(weights.items()))
    for value in (np.nan, np.inf):
        mx.save_safetensors(str(folder / ADAPTERS), {**weights, name: mx.full(first.shape, value)})
        with pytest.raises(WotdError, match=f"{name} holds numbers that aren't finite"):
            lora.read_adapters(load_folder(tiny_folder), folder)
    mx.save_safetensors(str(folder / ADAPTERS), {**weights, name: first.astype(mx.int32)})
    with pytest.raises(WotdError, match=f"1 arrays differ, such as {name}, which is int32 .* expected float32"):
        lora.read_adapters(load_folder(tiny_folder), folder)
    mx.save_safetensors(str(folder / ADAPTERS), {n: w.astype(mx.bfloat16) for n, w in weights.items()})
    assert lora.read_adapters(load_folder(tiny_folder), folder).name == "tiny"


def test_settings_come_back_and_keep_their_digest(tmp_path: Path) -> None:
    """As Python has them, whole numbers for real ones too, and as JSON does."""
    recipe = LanguageRecipe(LoraConfig(scale=2, keys=("a",)), minutes=3)
    config = AdapterConfig.of(LoraConfig("dora", 4, 2, 0, 3, ("mlp.up_proj",)), origin(recipe, "abc"))
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config
    assert read_config(tmp_path).digest == config.digest
    assert config.lora == LoraConfig("dora", 4, 2.0, 0.0, 3, ("mlp.up_proj",))
    full = AdapterConfig.of(LoraConfig("full", layers=2))
    write_config(tmp_path, full)
    assert read_config(tmp_path).lora == LoraConfig("full", layers=2)
    write_weights(tmp_path, {"a": mx.ones(3)}, full)
    assert read_weights(tmp_path, full)["a"].tolist() == [1, 1, 1]
