"""When so many pictures are called bad that they will hardly all be good."""

from __future__ import annotations

import pytest

from softpatch.calling.expected import too_many


@pytest.mark.parametrize(
    ("called", "pictures", "expected", "many"),
    [
        (0, 1, 0.01, False),
        (1, 1, 0.2, True),  # most of them
        (1, 2, 0.01, False),
        (6, 10, 0.015, True),
        (1, 10, 0.015, False),  # with a chance of 14 %
        (2, 10, 0.015, True),  # of 0.9 %
        (2, 10, 0.1, False),
        (15, 1000, 0.01, False),
        (30, 1000, 0.01, True),
        (1_000, 100_000, 0.01, False),
        (1_200, 100_000, 0.01, True),
    ],
)
def test_chance_and_majority(called: int, pictures: int, expected: float, many: bool) -> None:
    assert too_many(called, pictures, expected) is many
