"""What is chosen about noise, and that what is asked for is never overruled."""

from __future__ import annotations

import pytest

from softpatch.noise.discriminators import DISCRIMINATORS
from softpatch.noise.policy import ALIGNED, ANYWHERE, FUSED, Strategy, strategy_of


@pytest.mark.parametrize(
    ("alignment", "chosen"),
    [
        (None, ANYWHERE),
        (0.0, ANYWHERE),
        (ALIGNED - 1e-6, ANYWHERE),
        (ALIGNED, FUSED),
        (1.0, FUSED),
    ],
)
def test_auto_goes_by_the_alignment(alignment: float | None, chosen: Strategy) -> None:
    assert strategy_of("auto", None, None, alignment) == chosen


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
@pytest.mark.parametrize("alignment", [None, 0.0, 1.0])
def test_a_discriminator_asked_for_is_taken(discriminator: str, alignment: float | None) -> None:
    strategy = strategy_of(discriminator, None, None, alignment)
    assert strategy.discriminator == discriminator
    assert (strategy == FUSED) == (discriminator == "fused")
    assert (strategy == ANYWHERE) == (discriminator == "anywhere")
    if discriminator not in ("fused", "anywhere"):
        assert (strategy.tau, strategy.soft_weight) == (0.15, True)


@pytest.mark.parametrize("discriminator", ["auto", *DISCRIMINATORS])
@pytest.mark.parametrize("alignment", [None, 1.0])
def test_tau_and_weights_asked_for_are_taken(discriminator: str, alignment: float | None) -> None:
    for soft_weight in (False, True):
        strategy = strategy_of(discriminator, 0.3, soft_weight, alignment)
        assert (strategy.tau, strategy.soft_weight) == (0.3, soft_weight)
