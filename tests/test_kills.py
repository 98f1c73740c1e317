"""A training that is killed at any change to its files ends, once it goes on, as one that never was."""

from __future__ import annotations

from pathlib import Path

from tests.crash import events, kill_at


def finals(out: Path) -> dict[str, bytes]:
    """What a training ends with; seconds and bytes differ each time."""
    files = [f for f in sorted(out.rglob("*")) if f.is_file() and f.name not in ("metrics.json", ".lock")]
    return {str(f.relative_to(out)): f.read_bytes() for f in files}


EVERY = 4
"""Of the changes, so many apart are tried."""


def test_a_killed_training_goes_on_to_the_same_files_and_leaves_nothing(checkpoint, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    words = tmp_path / "words.csv"
    rows = [f"{a}{b}o{c},{'soft' if a in 'bdg' else 'hard'}" for a in "bdgptk" for b in "aeiou" for c in "lmnrs"]
    words.write_text("\n".join(["word,sound", *rows]))
    settings = tmp_path / "c.yaml"
    settings.write_text("codes: {kind: rvq, hidden: 16, latent: 8, batch: 64, epochs: 2, levels: [4, 8]}\n")
    argv = ["train", "--config", settings, "--corpus", words, "--no-lexicon", "--embedding", checkpoint, "--no-cache",
            "--language", "none", "--out", root / "whole"]  # fmt: skip
    changes = events(root, argv)
    whole = finals(root / "whole")
    assert len(changes) > 20
    assert {"config.json", "corpus.jsonl", "embeddings.safetensors", "codes/model.safetensors"} <= whole.keys()
    for n in range(1, len(changes) + 1, EVERY):
        out = root / f"killed{n}"
        argv[-1] = out
        kill_at(n, root, argv)
        events(root, argv)
        assert finals(out) == whole, changes[n - 1]
