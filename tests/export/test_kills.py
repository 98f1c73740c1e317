"""An export that is killed at any change to its files leaves the old bundle or the new one, soon nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.crash import events, kill_at
from wotd_mlx.cli import main
from wotd_mlx.io.files import sweep


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture
def there(tmp_path, monkeypatch) -> Path:
    """A folder with a bundle and the system's temporary files in it, so that what is left anywhere is seen."""
    (tmp_path / "there" / "tmp").mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "there" / "tmp"))
    return tmp_path / "there"


def leftovers(there: Path) -> list[str]:
    """What there is beside the bundle; MLX keeps compiled loops in a folder of its own."""
    found = [f for f in there.iterdir() if f.name not in ("bundle", "tmp")]
    return sorted(f.name for f in [*found, *(there / "tmp").iterdir()] if f.name != "mlx")


def test_a_killed_export_leaves_the_old_bundle_or_the_new_one(finished, there):
    bundle, old = there / "bundle", {"old": b"another bundle"}

    def put_old() -> None:
        shutil.rmtree(bundle, ignore_errors=True)
        bundle.mkdir()
        (bundle / "old").write_bytes(old["old"])

    argv = ["export", "decoder", "--run", finished.run, "--precision", "float32", "--out", bundle, "--force"]
    put_old()
    changes = events(there, argv)
    new = contents(bundle)
    assert {"Decoder.mlpackage/Manifest.json", "fixtures.json", "manifest.json"} <= new.keys()
    assert leftovers(there) == []
    swap = changes.index("swap") + 1
    for n, left in ((swap, old), (swap + 1, new)):
        put_old()
        sweep(there)
        kill_at(n, there, argv)
        assert contents(bundle) == left, changes[n - 1]
        assert len(leftovers(there)) == 1
    assert CliRunner().invoke(main, list(map(str, argv))).exit_code == 0
    assert contents(bundle) == new
    assert leftovers(there) == []
