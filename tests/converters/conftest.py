"""coremltools collects garbage after each conversion; without what others left, that takes a tenth of the time."""

from __future__ import annotations

import gc
from importlib.util import find_spec

import pytest


@pytest.fixture(scope="module", autouse=True)
def what_is_there_is_no_garbage():
    gc.collect()
    gc.freeze()


@pytest.fixture(params=[".mlpackage", ".aimodel"])
def package(request, tmp_path):
    """Where a package of each kind goes."""
    if request.param == ".aimodel" and find_spec("coreai") is None:
        pytest.skip("needs the extra `coreai`")
    return tmp_path / f"made{request.param}"
