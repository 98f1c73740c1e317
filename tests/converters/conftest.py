"""coremltools collects garbage after each conversion; without what the imports left, that takes a tenth of the time."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def imports_are_no_garbage():
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
