"""The threshold of noise: closed forms, and what more noise does to it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from softpatch.noise.policy import noise_threshold


def log_normal(count: int, sigma: float = 0.3) -> np.ndarray:
    """W whose logarithm is exactly normal: its quantiles, in a shuffled order."""
    values = np.exp(stats.norm.ppf((np.arange(count) + 0.5) / count, scale=sigma))
    return np.random.default_rng(0).permutation(values).astype(np.float32)


@pytest.mark.parametrize("tau", [0.0, 0.05, 0.15, 0.5])
def test_a_share_is_a_quantile(tau: float) -> None:
    outlier = log_normal(10_000)
    assert (outlier > noise_threshold(outlier, tau)).mean() == pytest.approx(tau, abs=1e-3)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0])
def test_auto_is_two_standard_deviations_of_a_normal_law(sigma: float) -> None:
    outlier = log_normal(10_001, sigma)
    assert noise_threshold(outlier, "auto") == pytest.approx(np.exp(2 * sigma), rel=2e-3)
    assert noise_threshold(7 * outlier, "auto") == pytest.approx(7 * np.exp(2 * sigma), rel=2e-3)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
def test_auto_cuts_noise_and_as_little_as_without_it(share: float) -> None:
    good = log_normal(10_000)
    noise = np.full(int(share * len(good)), 30, np.float32)
    threshold = noise_threshold(np.concatenate([good, noise]), "auto")
    assert threshold < 30
    assert (good > threshold).mean() < 0.025


def test_auto_keeps_patches_that_are_all_alike() -> None:
    outlier = np.full(100, 1.1, np.float32)
    assert not (outlier > noise_threshold(outlier, "auto")).any()
