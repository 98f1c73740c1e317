"""The package as it is installed and as its README describes it."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import wotd_mlx
from scripts import benchmark_page, codes_page, layout, model_table, module_table, readme, reference, tables, taste_page

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("file", "make"),
    [
        (layout.FILE, layout.page),
        (reference.CLI, reference.cli),
        (reference.SETTINGS, reference.settings),
        (benchmark_page.FILE, benchmark_page.page),
    ],
    ids=lambda value: getattr(value, "stem", ""),
)
def test_generated_pages_are_fresh(file, make):
    assert file.read_text(encoding="utf-8") == make(), "run `make docs`"


def test_the_readme_is_one_page_and_its_table_is_that_of_the_results():
    page = readme.PAGE.read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 150
    assert page == tables.filled(page, readme.TABLES)


def test_the_page_of_codes_has_the_tables_of_the_results():
    page = codes_page.PAGE.read_text(encoding="utf-8")
    assert page == tables.filled(page, codes_page.TABLES), "run `make docs`"


def test_the_page_of_models_has_the_tables_of_the_results():
    page = model_table.PAGE.read_text(encoding="utf-8")
    made = {"models": model_table.models, "modules": module_table.modules}
    assert page == tables.filled(page, made), "run `make docs`"


def test_the_page_of_tastes_has_the_tables_of_the_results():
    page = taste_page.PAGE.read_text(encoding="utf-8")
    assert page == tables.filled(page, taste_page.TABLES), "run `make docs`"


def test_the_settings_page_has_every_class_and_what_a_range_is():
    page = reference.settings()
    names = [kind.__name__ for kind in reference.classes()]
    assert names == sorted(set(names), key=names.index)
    assert {"TrainingConfig", "CodesConfig", "LanguageConfig", "StudentConfig"} <= set(names)
    assert "| `held_out` | float ≥ 0, < 1 | `0.15` | share of word families" in page


def test_every_file_says_what_it_is_for():
    files = [file for file in layout.source() if file.suffix == ".py"]
    assert [str(file) for file in files if not layout.first_sentence(file)] == []


def test_no_file_is_over_500_lines():
    folders = ("wotd_mlx", "converters", "tests", "benchmarks", "scripts")
    files = [f for folder in folders for f in (ROOT / folder).rglob("*.py")]
    assert [f.name for f in files if len(f.read_text().splitlines()) > 500] == []


def test_importing_the_package_loads_neither_mlx_nor_numpy():
    code = "import sys, wotd_mlx; sys.exit(bool({'mlx.core', 'numpy', 'click'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_there_and_unknown_ones_are_not():
    for name in wotd_mlx.__all__:
        assert getattr(wotd_mlx, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = wotd_mlx.absent


def test_imports_run_one_way_only():
    above = ("cli", "pipeline", "encoder", "export")
    unknown = {
        "words": ("embed", "codes", "lvm", *above),
        "embed": ("codes", "lvm", *above),
        "codes": ("lvm", *above),
        "lvm": ("words", *above),
        "taste": ("embed", "codes", "language", "lvm", "daily", "vocabulary", *above),
        "training": ("words", "embed", "codes", "language", "lvm", *above),
    }
    for stage, others in unknown.items():
        files = list((ROOT / "wotd_mlx" / stage).rglob("*.py"))
        assert files
        for file in files:
            known = [other for other in others if re.search(rf"wotd_mlx\.{other}\b", file.read_text())]
            assert not known, (str(file), known)


def test_converters_know_nothing_of_words():
    for file in (ROOT / "converters").rglob("*.py"):
        imported = re.findall(r"^\s*(?:from|import) (wotd_mlx\S*)", file.read_text(), re.MULTILINE)
        # From the bare package what makes MLX fast; and files that are whole or not there: neither knows of words.
        assert set(imported) <= {"wotd_mlx", "wotd_mlx.io.files"}, file.name


def test_the_wheel_installs_and_its_command_runs_from_another_folder(finished, tmp_path):
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "dist"),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    pip = [binaries / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    # What it depends on is here already; only the package itself must come from the wheel.
    ours = [p for p in sys.path if p.endswith("site-packages")]
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text("\n".join(ours))
    where = subprocess.run(
        [binaries / "python", "-c", "import wotd_mlx; print(wotd_mlx.__file__)"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    assert str(site) in where
    for file in ("py.typed", "words/data/builtin.tsv", "words/data/lexicon.tsv", "export/WOTDKit/Package.swift"):
        assert (site / "wotd_mlx" / file).exists()
    assert (site / "converters" / "py.typed").exists()
    command = [binaries / "wotd-mlx", "encode", "--run", finished.run, "--json", "forsooth"]
    assert b'"id"' in subprocess.run(command, check=True, capture_output=True, cwd=tmp_path).stdout
    command = [binaries / "wotd-mlx", "export", "encoder", "--run", finished.run, "--out", "bundle", "--json"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert (tmp_path / "bundle" / "Encoder.mlpackage").is_dir()


def test_links_between_pages_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "LICENSES-DATA.md", *(ROOT / "docs").rglob("*.md")]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", link)
    ]
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
