"""Three verdicts and a p-value: one rule, and what it promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softpatch.runtime.prediction import Prediction
from softpatch.runtime.verdict import p_value, rarity, tally, verdict_of

limits = st.none() | st.floats(0, 100)


def prediction(score: float, **about: object) -> Prediction:
    heat = np.full((4, 4), score, np.float32)
    return replace(Prediction("a.png", score, heat, (4, 4), (0, 0, 4, 4)), **about)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "threshold", "look", "verdict"),
    [
        (9.0, None, None, None),
        (9.0, None, 1.0, None),  # a look limit alone gives no verdict
        (5.0, 5.0, None, "good"),
        (5.1, 5.0, None, "bad"),
        (3.0, 5.0, 3.0, "good"),
        (3.1, 5.0, 3.0, "look"),
        (5.0, 5.0, 3.0, "look"),
        (5.1, 5.0, 3.0, "bad"),
        (5.1, 5.0, 6.0, "bad"),  # above the threshold, it is never less than bad
        (4.9, 5.0, 6.0, "good"),
        (0.0, 0.0, 0.0, "good"),
    ],
)
def test_the_three_verdicts(
    score: float, threshold: float | None, look: float | None, verdict: str | None
) -> None:
    assert verdict_of(score, threshold, look) == verdict
    assert prediction(score, threshold=threshold, look=look).verdict == verdict


@given(st.floats(0, 100), limits, limits)
def test_bad_is_what_is_anomalous(
    score: float, threshold: float | None, look: float | None
) -> None:
    one = prediction(score, threshold=threshold, look=look)
    assert (one.verdict == "bad") is bool(one.anomalous)
    assert (one.verdict is None) is (one.anomalous is None)


@given(st.lists(st.integers(0, 9).map(float), max_size=30), st.integers(0, 9))
def test_a_p_value_counts_those_as_high(scores: list[float], score: int) -> None:
    expected = (1 + sum(one >= score for one in scores)) / (len(scores) + 1)
    assert p_value(score, np.sort(scores)) == expected


@given(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_of_exchangeable_scores_at_most_a_share_has_so_small_a_p_value(scores: list[float]) -> None:
    """Each of n + 1 scores is equally likely the new one; P(p <= a) <= a, whatever the scores."""
    found = [p_value(one, np.sort([*scores[:i], *scores[i + 1 :]])) for i, one in enumerate(scores)]
    for share in np.linspace(0, 1, 41):
        assert np.mean(np.array(found) <= share) <= share + 1e-12


def test_of_scores_without_ties_p_values_are_uniform() -> None:
    scores = np.random.default_rng(0).permutation(50).astype(float)
    found = [p_value(one, np.sort(np.delete(scores, i))) for i, one in enumerate(scores)]
    assert np.allclose(np.sort(found), np.arange(1, 51) / 50)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=20), st.floats(0, 9), st.floats(5, 99))
def test_bad_ones_in_the_reference_only_make_it_larger(
    scores: list[float], score: float, bad: float
) -> None:
    dirty = [*scores, *[max(bad, score)] * 2]
    assert p_value(score, np.sort(dirty)) >= p_value(score, np.sort(scores))


def test_a_p_value_in_words() -> None:
    assert rarity(2 / 61, 60) == "of 1,000 good pictures about 33 score this high"
    assert rarity(1 / 61, 60) == "of 1,000 good pictures fewer than 16 score this high"
    assert rarity(1.0, 60) == "of 1,000 good pictures about 1,000 score this high"
    one = prediction(3.0, reference=np.arange(9.0))
    assert one.p_value == 0.7
    assert one.rarity == "of 1,000 good pictures about 700 score this high"
    assert (prediction(3.0).p_value, prediction(3.0).rarity) == (None, None)


def test_counts_of_three() -> None:
    assert tally(["bad", "good", "look", "good"]) == (
        "1 of 4 pictures are bad, 1 to look at, 2 good"
    )
    assert tally([None, None]) is None
    assert tally([]) is None
