"""Tables: whichever usual separator parts their columns."""

from __future__ import annotations

import pytest

from wotd_mlx.io.table import read_table


def read(file, text, **more):
    file.write_text(text)
    return [row for _, row in read_table(file, "\t", ["id", "text"], "give a table", **more).rows]


def test_without_quotes_a_quotation_mark_is_a_letter(tmp_path):
    assert read(tmp_path / "x.tsv", 'id\ttext\n1\t"Yes," he said.\n', quoted=False) == [["1", '"Yes," he said.']]


@pytest.mark.parametrize("separator", [",", ";", "|"])
def test_a_table_with_another_separator_than_expected_is_quoted(tmp_path, separator, caplog):
    text = f'id{separator}text\n1{separator}"Yes{separator} ""he"" said."\n'
    assert read(tmp_path / "x.tsv", text, quoted=False) == [["1", f'Yes{separator} "he" said.']]
    assert "its columns are parted by " in caplog.text
