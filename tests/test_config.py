"""Settings: what is unknown, of another type or contradictory is an error; all the rest survives a round trip."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import pytest

from wotd_mlx.config import KINDS, CodesConfig, TrainingConfig
from wotd_mlx.config.language import LanguageConfig
from wotd_mlx.io.records import checked
from wotd_mlx.io.yaml import read_yaml
from wotd_mlx.schemas import WotdError


def test_a_config_survives_json():
    config = TrainingConfig(codes=CodesConfig(kind="rvq", levels=(4, 4, 4)), seed=3, cache="x.sqlite")
    assert checked(TrainingConfig, json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"sed": 1}, "settings: unknown keys 'sed'; known are corpus, "),
        ({"codes": {"lvels": [8]}}, "settings: codes has unknown keys 'lvels'"),
        ({"seed": "one"}, "settings: seed is 'one', expected int"),
        ({"seed": True}, "settings: seed is True, expected int"),
        ({"codes": [1]}, "settings: codes is [1], expected keys and values"),
        ({"codes": {"levels": 8}}, "settings: codes.levels is 8, expected a list"),
        ({"codes": {"levels": [8, 8.5]}}, "codes.levels[1] is 8.5, expected int"),
        ({"codes": {"kind": "pq"}}, "codes kind 'pq' is unknown; expected one of hvq, fsq, rvq, residual, binary"),
        ({"codes": {"kind": "binary", "bits": 1025}}, "a code of 1025 bits is not possible; choose 1 to 1,024"),
        (
            {"codes": {"kind": "residual", "levels": [8, 8]}},
            "codes levels [8, 8] are no whole bytes, as residual's are; give bits instead, such as 6, which makes [64]",
        ),
        ({"codes": {"kind": "binary", "levels": [256], "bits": 64}}, "levels [256] are no whole bytes"),
        ({"codes": {"levels": [8, 1, 8]}}, "codes.levels[1] is 1, expected int >= 2"),
        ({"codes": {"levels": [8, 8]}}, "3 attributes need as many coordinates"),
        ({"codes": {"epochs": 0}}, "codes.epochs is 0, expected int >= 1"),
        ({"codes": {"neighbour_weight": -1}}, "codes.neighbour_weight is -1, expected float >= 0"),
        ({"codes": {"levels": [8, 8, 8]}}, "3 attributes leave no coordinate free"),
        ({"codes": {"levels": [8, 3, 8, 8]}}, "attribute complexity has 4 values, its coordinate 3 codes"),
        ({"codes": {"levels": [64] * 5}}, "make 30.0 bits; a dictionary takes 24 at most, detail the rest"),
        ({"held_out": 0.99, "validation": 0.05}, "leave words to train on"),
    ],
)
def test_bad_settings_are_refused(raw, message):
    with pytest.raises(WotdError) as caught:
        checked(TrainingConfig, raw)
    assert message in str(caught.value)


def test_a_whole_number_does_for_a_float():
    assert checked(CodesConfig, {"clip": 2}).clip == 2.0


def test_default_levels_belong_to_the_kind():
    assert CodesConfig("hvq").levels == (8, 8, 8, 2048)
    assert CodesConfig("fsq").levels == (8, 8, 8, 5)
    assert CodesConfig("rvq").levels == (32, 32, 32, 32)
    for kind in ("residual", "binary"):
        assert CodesConfig(kind).levels == (256,) * 15 + (8,)
        assert CodesConfig(kind, bits=64) == CodesConfig(kind, (256,) * 8)
    assert set(KINDS) == {"hvq", "fsq", "rvq", "residual", "binary"}


@pytest.mark.parametrize(("settings", "fewer"), [({}, "--language none"), ({"student": True}, "no --student")])
@pytest.mark.parametrize("kind", ["residual", "binary"])
def test_what_reads_ids_is_refused_where_nobody_does(kind, settings, fewer):
    none = LanguageConfig(model="none")
    assert TrainingConfig(codes=CodesConfig(kind), language=none).tied == ()
    with pytest.raises(WotdError, match=fewer):
        TrainingConfig(codes=CodesConfig(kind), **({"language": none} if settings else {}), **settings)


def test_yaml_is_read_and_bad_yaml_refused_in_one_line(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("seed: 4\ncodes:\n  kind: rvq\n")
    assert checked(TrainingConfig, read_yaml(file)).codes.kind == "rvq"
    file.write_text("")
    assert read_yaml(file) == {}
    for text in ("seed: [1", "- a\n- b", "\x00"):
        file.write_text(text)
        with pytest.raises(WotdError) as caught:
            read_yaml(file)
        assert "\n" not in str(caught.value)
    with pytest.raises(WotdError):
        read_yaml(tmp_path / "absent.yaml")


def test_every_setting_is_read_somewhere():
    from pathlib import Path

    import wotd_mlx

    sources = [f for f in Path(wotd_mlx.__file__).parent.rglob("*.py") if f.name != "config.py"]
    code = "\n".join(f.read_text() for f in sources)
    names = [f.name for cls in (TrainingConfig, CodesConfig) for f in fields(cls)]
    assert [name for name in names if f".{name}" not in code] == []
