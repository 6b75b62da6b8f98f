"""How strict floors may be, told by images that the bank has not seen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from softpatch.bank.floor_rule import FloorRule
from softpatch.bank.floors import Floors
from softpatch.bank.support import Support
from softpatch.detectors.strictness import NO_FLOORS, choose, worst_scores
from tests.detectors.tables import table_of


def floors_of(rank: int, distances: Tensor) -> Floors:
    """Of vectors with these distances to the picture of any rank."""
    count = len(distances)
    pictures = torch.arange(1, rank + 2).expand(count, -1).contiguous()
    zeros = torch.zeros(count, dtype=torch.long)
    every = distances.unsqueeze(1).expand(-1, rank + 1).contiguous()
    return Floors.of(Support(zeros, zeros, every, pictures), FloorRule(rank, False, 0.0), 0.0)


def test_worst_scores_are_those_of_all_comparisons() -> None:
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(6, 3, 3, 8, generator=generator)
    vectors = torch.randn(20, 8, generator=generator)
    candidates = [floors_of(rank, 2.5 * torch.rand(20, generator=generator)) for rank in (1, 2)]
    found = worst_scores(vectors, candidates, table_of(patches), torch.tensor([1, 4]))
    for row, image in enumerate((1, 4)):
        distance = torch.cdist(patches[image].flatten(0, 1).double(), vectors.double())
        assert float(found[row, 0]) == pytest.approx(float(distance.amin(dim=1).max()), rel=1e-5)
        for column, floors in enumerate(candidates, start=1):
            expected = torch.maximum(distance, floors.every().double()).amin(dim=1).max()
            assert float(found[row, column]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("usual", "expected"),
    [
        pytest.param([1.0, 1.01, 1.02], 2, id="the strictest that are free"),
        pytest.param([1.02, 1.05, 1.1], 1, id="none are free, the weakest are bearable"),
        pytest.param([1.03, 1.05, 1.1], 0, id="none"),
    ],
)
def test_the_strictest_free_floors_are_chosen(usual: list[float], expected: int) -> None:
    candidates = [floors_of(rank, torch.full((4,), float(rank))) for rank in (1, 2, 3)]
    scores = torch.tensor([2.0, *(2 * rise for rise in usual)]).repeat(10, 1)
    scores[7:, 1:] = 6.0  # bad pictures, which floors are to raise
    rule, column = choose(scores, candidates)
    assert rule == (candidates[expected - 1].rule if expected else NO_FLOORS)
    assert column == expected
