"""Records: what is wrong is said with what was expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from wotd_mlx.io.records import checked
from wotd_mlx.schemas import WotdError


@dataclass
class Row:
    kind: Literal["model", "baseline"]


def test_a_value_that_is_none_of_those_known_is_told_with_them():
    assert checked(Row, {"kind": "model"}) == Row("model")
    with pytest.raises(WotdError, match=r"rows: \[0\]\.kind is 'idol', expected 'model' or 'baseline'$"):
        checked(list[Row], [{"kind": "idol"}], "rows")
