"""One line of a sorted text, found without reading the others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def find_line(data: bytes, key: bytes) -> bytes | None:
    """What follows ``key`` on the line that begins with it; None where no line does.

    Args:
        data: lines in the order of their bytes, as ``LC_ALL=C sort`` leaves them.
        key: ends in the separator behind the first column, which has to be lower than any byte of that column.
    """
    low, high = 0, len(data)
    while low < high:
        middle = (low + high) // 2
        start = data.rfind(b"\n", low, middle) + 1 or low
        end = data.find(b"\n", middle)
        end = high if end < 0 else end
        if data.startswith(key, start, end):
            return data[start + len(key) : end]
        if data[start:end] < key:
            low = end + 1
        else:
            high = start
    return None


def find_listed(lines: Sequence[bytes], key: bytes) -> bytes | None:
    """As :func:`find_line`, in a list of lines in order: for files that have to be sorted first."""
    at = bisect_left(lines, key)
    return lines[at][len(key) :] if at < len(lines) and lines[at].startswith(key) else None
