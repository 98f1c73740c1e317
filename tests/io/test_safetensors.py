"""Named arrays: what made them is told from what did not."""

from __future__ import annotations

import mlx.core as mx
import pytest

from wotd_mlx.io.safetensors import read_arrays, read_metadata, write_arrays
from wotd_mlx.schemas import WotdError


@pytest.mark.parametrize("read", [read_metadata, read_arrays])
def test_what_was_made_from_something_else_is_refused(tmp_path, read):
    file = tmp_path / "x.safetensors"
    write_arrays(file, {"a": mx.arange(3)}, {"settings": "new"})
    read(file, "train again", {"settings": "new"})
    for made_from, told in (({"settings": "old"}, "was made from others"), ({"words": "new"}, "doesn't say which")):
        with pytest.raises(WotdError, match=rf"x\.safetensors doesn't belong to the .* here: it {told}; train again"):
            read(file, "train again", made_from)
