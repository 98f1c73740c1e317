"""Plans that keep to their room, whatever a step turns out to take."""

from __future__ import annotations

import pytest

from wotd_mlx.training.memory import Plan, plan_within


class Meter:
    """Bytes of a step by a formula; what was measured."""

    def __init__(self, kept: int, again: int, base: int = 100, power: float = 1.0):
        self.kept, self.again, self.base, self.power = kept, again, base, power
        self.seen: list[tuple[bool, int, int]] = []

    def __call__(self, again: bool, rows: int, length: int) -> int:
        self.seen.append((again, rows, length))
        return self.base + int((self.again if again else self.kept) * (rows * length) ** self.power)


@pytest.mark.parametrize(
    ("room", "want"),
    [
        (100 + 10 * 320, Plan(32, False, 3300)),
        # Doubled as far as it goes, never more.
        (100 + 10 * 319, Plan(16, False, 1700)),
        (100 + 10 * 40, Plan(4, False, 500)),
        # Three rows would be too few to be worth it.
        (100 + 10 * 39, Plan(16, True, 420)),
        (100 + 2 * 10, Plan(1, True, 120)),
        (100 + 2 * 10 - 1, Plan(0, True, 120)),
    ],
)
def test_the_most_rows_that_fit(room: int, want: Plan) -> None:
    meter = Meter(kept=10, again=2)
    assert plan_within(room, 32, 10, meter) == want
    # Past the second measurement of each way nothing is tried that doesn't fit.
    for again in (False, True):
        sizes = [rows for way, rows, _ in meter.seen if way == again]
        assert all(meter(again, rows, 10) <= room for rows in sizes[2:])


def test_one_row_of_few_is_worth_it_where_there_is_no_other_way() -> None:
    assert plan_within(100 + 10 * 25, 32, 10, Meter(10, 2), recomputing=(False,)) == Plan(2, False, 300)
    assert plan_within(100 + 10 * 25, 2, 10, Meter(10, 2)) == Plan(2, False, 300)


def test_shorter_rows_are_tried_first_and_none_is_a_plan() -> None:
    meter = Meter(10, 1, power=1.5)
    plan = plan_within(100 + 20_000, 4, 200, meter, shorter=(50, 100, 150))
    assert plan == Plan(2, True, 100 + 8000)
    assert [length for again, _, length in meter.seen if not again] == [50, 100, 150]
    assert max(meter(*trial) for trial in list(meter.seen) if not trial[0]) <= 20_100
