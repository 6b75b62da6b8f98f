"""What is chosen about noise, and that what is asked for is never overruled."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from softpatch.errors import UsageError
from softpatch.noise.discriminators import (
    DISCRIMINATORS,
    OLD_NAMES,
    Discriminator,
    current_name,
    discriminator_name,
    make_discriminator,
)
from softpatch.noise.lof import LocalOutlierFactor
from softpatch.noise.policy import NoiseOptions, NoisePolicy


def options(discriminator: str | Discriminator, **others: Any) -> NoiseOptions:
    usual = {"k": 6, "tau": None, "denoise": True, "soft_weight": None, "references": 9, "seed": 0}
    return NoiseOptions(discriminator, **{**usual, **others})


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_a_discriminator_asked_for_is_taken(discriminator: str) -> None:
    policy = NoisePolicy.choose(options(discriminator))
    assert policy.name == discriminator
    assert type(policy.discriminator) is DISCRIMINATORS[discriminator]
    defaults = {"lof-distance": ("auto", False), "position-free": (0.15, False)}
    assert (policy.tau, policy.soft_weight) == defaults.get(discriminator, (0.15, True))


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_tau_and_weights_asked_for_are_taken(discriminator: str) -> None:
    for soft_weight in (False, True):
        asked = options(discriminator, tau=0.3, soft_weight=soft_weight)
        policy = NoisePolicy.choose(asked)
        assert (policy.tau, policy.soft_weight) == (0.3, soft_weight)


def test_without_denoising_nothing_is_cut() -> None:
    policy = NoisePolicy.choose(options("lof", denoise=False))
    assert policy.cutoff(torch.rand(3, 4)) == float("inf")


def test_options_go_to_the_discriminators_that_take_them() -> None:
    lof = make_discriminator("lof", k=3, references=5, seed=7)
    assert isinstance(lof, LocalOutlierFactor)
    assert (lof.k, lof.references, lof.seed) == (3, 5, 7)
    make_discriminator("gaussian", k=3)
    for wrong in ({"k": 0}, {"references": 1}):
        with pytest.raises(UsageError, match="at least"):
            make_discriminator("gaussian", **wrong)


@pytest.mark.parametrize("old", OLD_NAMES)
def test_old_names_are_taken_with_a_warning(old: str) -> None:
    with pytest.warns(FutureWarning, match=f"'{OLD_NAMES[old]}' now"):
        assert current_name(old) in DISCRIMINATORS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert current_name("lof") == "lof"


def test_every_discriminator_has_words_and_its_name() -> None:
    for name, kind in DISCRIMINATORS.items():
        made = make_discriminator(name)
        assert discriminator_name(made) == name
        assert isinstance(made, Discriminator)
        assert kind.words != Discriminator.words
