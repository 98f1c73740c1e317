"""The tables of docs/explanation/language.md are those that the results make."""

from __future__ import annotations

from scripts.language_tables import PAGE, TABLES, filled


def test_the_page_is_fresh():
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, TABLES) == page, "run `python -m scripts.language_tables`"
