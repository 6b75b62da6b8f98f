"""The experiment chooses as the library does."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.floors import TrainingSet, loss
from softpatch.detectors.strictness import BEARABLE, FREE, IMAGES, NO_FLOORS, choose
from tests.detectors.test_strictness import floors_of


@given(st.integers(0, 10_000), st.floats(0.001, 0.1))
def test_a_rule_is_chosen_as_by_a_fit(seed: int, cost: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    candidates = [floors_of(rank, torch.rand(5, generator=generator)) for rank in (1, 2, 4, 8)]
    strict = torch.tensor([0.0, *(float(floors.every().mean()) for floors in candidates)])
    rises = 1 + cost * torch.rand(12, 5, generator=generator)
    rises[:, 0] = 1
    aurocs = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    chosen, _ = choose(rises, candidates)
    expected = 0 if chosen == NO_FLOORS else 1 + [f.rule for f in candidates].index(chosen)
    measured = TrainingSet("made", strict, rises, aurocs)
    assert measured.given((IMAGES, FREE, BEARABLE)) == expected
    assert loss([measured], (IMAGES, FREE, BEARABLE)) == 4 - expected
