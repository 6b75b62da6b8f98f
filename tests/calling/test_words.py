"""Shares as parts, and scores as people read them."""

from __future__ import annotations

import pytest

from softpatch.calling.words import of_so_many, rounded


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ((0.015,), ((15,), 1_000)),
        ((1 / 66, 0.01), ((15, 10), 1_000)),
        ((1 / 66, 0.015), ((152, 150), 10_000)),  # which 15 of 1,000 would both be
        ((0.0004,), ((4,), 10_000)),
        ((0.5, 1e-9), ((50_000, 0), 100_000)),
    ],
)
def test_shares_are_told_by_as_few_parts_as_tell_them(
    shares: tuple[float, ...], told: tuple[tuple[int, ...], int]
) -> None:
    assert of_so_many(*shares) == told


@pytest.mark.parametrize(
    ("score", "told"),
    [(6253.36, "6253"), (12.3456, "12.35"), (0.000123456, "0.0001235"), (0, "0"), (1e30, "1e+30")],
)
def test_scores_have_about_four_digits(score: float, told: str) -> None:
    assert rounded(score) == told
