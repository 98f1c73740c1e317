"""The tables of docs/explanation/lvm.md are those that the results make."""

from __future__ import annotations

from scripts.lvm_tables import PAGE, TABLES
from scripts.tables import filled


def test_the_page_is_fresh():
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, TABLES) == page, "run `python -m scripts.lvm_tables`"
