"""Suspects that show one kind of thing, by the patches that make them suspicious."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from softpatch.auditing.groups import ALIKE, LEAST, groups_of
from softpatch.detectors.oddest import MOST, OddestSpots, oddest_spots
from tests.detectors.tables import table_of


def test_a_defect_that_recurs_is_one_group_and_what_is_alone_stays_alone() -> None:
    """Whatever place it is at, and however strong it is."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(40, 100, 64, generator=generator)
    scratch, spot = torch.randn(2, 64, generator=generator)
    for image in range(9):
        patches[image, 7 * image] += (3 + image) * scratch
    for image in range(9, 12):
        patches[image, 5] += 5 * spot
    patches[12, 50] += 9 * torch.randn(64, generator=generator)
    outlier = patches.square().sum(dim=2)
    found = groups_of(oddest_spots(table_of(patches), outlier), 40)
    assert len(set(found[:9])) == 1
    assert found[0] is not None
    assert len(set(found[9:12])) == 1
    assert found[9] not in (None, found[0])
    assert found[12:] == [None] * 28


def test_groups_are_numbered_by_their_most_suspicious_picture() -> None:
    looks = torch.eye(4).repeat_interleave(3, dim=0)[[0, 3, 1, 4, 6, 2, 5, 7, 9, 10]]
    found = groups_of(OddestSpots(torch.arange(10).flip(0), looks, looks[:0]), 12)
    assert found[::-1][2:] == [1, 2, 1, 2, None, 1, 2, None, None, None]
    assert found[10:] == [None, None]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(2, 4), st.integers(0, 10**6))
def test_it_is_average_linkage_by_the_cosine(count: int, length: int, seed: int) -> None:
    looks = torch.randn(count, length, generator=torch.Generator().manual_seed(seed))
    found = groups_of(OddestSpots(torch.arange(count), looks, looks[:0]), count)
    tree = linkage(looks.double().numpy(), "average", "cosine") if count > 1 else None
    theirs = [1] if tree is None else fcluster(tree, ALIKE, "distance").tolist()
    for one, other in itertools.combinations(range(count), 2):
        together = theirs[one] == theirs[other] and theirs.count(theirs[one]) >= LEAST
        assert (found[one] is not None and found[one] == found[other]) == together


def test_what_good_pictures_have_in_common_makes_no_group() -> None:
    looks = torch.randn(9, 32, generator=torch.Generator().manual_seed(0)) + 1.5
    apart = looks - looks.mean(dim=0)
    assert groups_of(OddestSpots(torch.arange(9), looks, apart), 9) == [1] * 9
    assert groups_of(OddestSpots(torch.arange(9), looks, looks), 9).count(None) >= 6


def test_pictures_that_are_all_the_same_are_no_group() -> None:
    patches = torch.ones(12, 9, 8)
    spots = oddest_spots(table_of(patches), patches.sum(dim=2))
    assert groups_of(spots, 12) == [None] * 12


def test_of_tiles_the_worst_one_speaks_for_its_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(60, 9, 8, generator=generator)
    table = table_of(patches, torch.arange(20).repeat_interleave(3))
    patches[1, 4], patches[32, 2] = 50.0, 50.0
    spots = oddest_spots(table, patches.square().sum(dim=2))
    assert spots.images[:2].tolist() == [0, 10]
    assert float((spots.looks[0] - spots.looks[1]).abs().max()) < 1e-6


def test_a_third_of_the_pictures_is_looked_at_and_fifty_at_most() -> None:
    for images, expected in ((2, 0), (9, 3), (300, MOST)):
        patches = torch.rand(images, 4, 8, generator=torch.Generator().manual_seed(0))
        spots = oddest_spots(table_of(patches), patches.sum(dim=2))
        assert len(spots.images) == len(spots.looks) == expected
        assert groups_of(spots, images).count(None) <= images
