"""Floors by their definition, and what they are in words."""

from __future__ import annotations

import math

import pytest
import torch

from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.floor_rule import FloorRule
from softpatch.bank.floors import LEAST, Floors, spacing
from softpatch.bank.support import Support


def support() -> Support:
    """Two vectors of picture 0, known in pictures 1 to 3."""
    return Support(
        own=torch.tensor([0, 0]),
        places=torch.tensor([0, 1]),
        distances=torch.tensor([[1.0, 2.0, 4.0], [10.0, 20.0, 40.0]]),
        pictures=torch.tensor([[1, 2, 3], [3, 1, 2]]),
    )


def test_a_floor_is_the_distance_to_the_picture_of_the_rank() -> None:
    for rank, expected in ((1, [1.0, 10.0]), (2, [2.0, 20.0])):
        floors = Floors.of(support(), FloorRule(rank, False, 0.0), 0.0)
        assert floors.every().tolist() == expected


def test_without_a_picture_the_next_one_counts() -> None:
    floors = Floors.of(support(), FloorRule(2, False, 0.0), 0.0)
    assert floors.without(1).tolist() == [4.0, 40.0]
    assert floors.without(3).tolist() == [2.0, 40.0]
    assert floors.without(9).tolist() == floors.every().tolist()


def test_the_picture_that_a_stand_in_is_of_does_not_count_for_it() -> None:
    floors = Floors.of(support(), FloorRule(2, False, 0.0), 0.0)
    assert floors.of_stand_ins().tolist() == [4.0, 40.0]
    assert (
        Floors.of(support(), FloorRule(0, False, 0.0), 2.0).of_stand_ins().tolist()
        == [pytest.approx(2 * LEAST)] * 2
    )


def test_the_spread_is_added_in_quadrature_and_the_spacing_limits() -> None:
    floors = Floors.of(support(), FloorRule(1, False, 0.3), 10.0)
    assert floors.every().tolist() == pytest.approx([10 * LEAST, math.hypot(10, 3)])


def test_no_floors_are_the_spacing_alone() -> None:
    floors = Floors.of(support(), FloorRule(0, False, 0.0), 2.0)
    assert floors.every().tolist() == floors.without(1).tolist() == pytest.approx([2 * LEAST] * 2)


def test_the_spacing_is_that_of_the_last_pick() -> None:
    patches = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    picks = greedy_coreset(patches, 100)
    vectors = patches[picks]
    nearest = torch.pdist(vectors).min()
    assert spacing(vectors) == pytest.approx(float(nearest))
    # Every patch is as near as that to the bank.
    assert float(torch.cdist(patches, vectors).amin(dim=1).max()) <= spacing(vectors)
    assert spacing(vectors[:1]) == 0


def test_a_rule_says_what_a_patch_needs() -> None:
    assert str(FloorRule(1, False, 0.3)) == "another picture that has the like"
    assert str(FloorRule(4, True, 0.0)) == "4 other pictures that have the like at the same place"
    assert str(FloorRule(0, False, 0.0)) == "one picture that has the like"
