"""Thresholds: what they promise without labels, and how they separate with labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, gumbel_r

from softpatch import PatchCore, SoftPatch, load
from softpatch.bank.memory_bank import MemoryBank
from softpatch.calling.threshold import (
    threshold_of_misses,
    threshold_with_labels,
    threshold_without_labels,
)
from softpatch.calling.words import of_look_limit
from softpatch.detectors import BankDetector, make_detector
from softpatch.errors import DatasetError, NotFittedError, UsageError
from softpatch.runtime.prediction import Prediction
from softpatch.runtime.verdict import verdict_of
from tests.detectors.pictures import random_patches
from tests.detectors.tables import learn


@pytest.mark.parametrize(("count", "share"), [(20, 0.01), (99, 0.05), (209, 0.01), (500, 0.2)])
def test_false_alarms_of_new_pictures_are_as_promised(count: int, share: float) -> None:
    random = np.random.default_rng(0)
    law = gumbel_r(2, 0.1)
    alarms, taken_for_suspects = [], []
    for _ in range(100):
        scores = np.exp(law.rvs(count, random_state=random))
        chosen = threshold_without_labels(scores, share)
        alarms.append(law.sf(np.log(chosen.value)))
        taken_for_suspects.append(1 - chosen.pictures / count)
    # Good pictures taken for suspects are what lets it exceed the promise, by their share.
    assert np.mean(taken_for_suspects) <= 0.03
    surplus = np.mean(alarms) - chosen.expected
    assert -0.1 * chosen.expected <= surplus <= np.mean(taken_for_suspects) + 0.3 * chosen.expected


@given(st.integers(2, 400), st.floats(0.001, 0.5))
@settings(max_examples=60, deadline=None)
def test_confidence_is_the_beta_law_of_an_order_statistic(count: int, share: float) -> None:
    chosen = threshold_without_labels(np.ones(count), share)
    rank = round(chosen.expected * (count + 1))
    assert rank == max(1, int(share * (count + 1)))
    exact = beta.cdf(share, rank, count + 1 - rank)
    assert chosen.confidence == pytest.approx(exact, abs=1e-9)


def test_planted_pictures_hardly_move_it() -> None:
    random = np.random.default_rng(1)
    good = np.exp(random.gumbel(10, 0.1, 200))
    clean = threshold_without_labels(good, 0.05)
    for planted in (5, 20, 60):
        bad = np.exp(random.uniform(11.5, 13, planted))
        dirty = threshold_without_labels(np.concatenate([good, bad]), 0.05)
        assert dirty.pictures == pytest.approx(200, abs=3)
        assert dirty.value == pytest.approx(clean.value, rel=0.05)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_share_of_false_alarms_is_checked(share: float) -> None:
    with pytest.raises(UsageError, match=r"max_false_alarms must lie in \(0, 1\)"):
        threshold_without_labels(np.ones(5), share)
    if share != 0:
        with pytest.raises(UsageError, match=r"max_false_alarms must lie in \[0, 1\)"):
            SoftPatch(max_false_alarms=share)


@pytest.mark.parametrize("none", [None, 0])
def test_none_and_0_choose_no_threshold(none: float | None, small_pictures: Path) -> None:
    detector = SoftPatch(max_false_alarms=none, resize=64, crop=64, dimension=64)
    assert detector.fit(small_pictures).threshold_ is None
    assert detector.held_out_ is None


def test_the_default_is_one_percent(small_pictures: Path) -> None:
    detector = SoftPatch(resize=64, crop=64, dimension=64).fit(small_pictures)
    asked = SoftPatch(max_false_alarms=0.01, resize=64, crop=64, dimension=64).fit(small_pictures)
    assert detector.threshold_ == asked.threshold_ is not None
    assert detector.promise() == asked.promise() is not None


scores = st.lists(st.integers(0, 30).map(float), min_size=1, max_size=15)


@given(scores, scores)
@settings(max_examples=100, deadline=None)
def test_no_threshold_separates_better(good: list[float], bad: list[float]) -> None:
    def balanced(threshold: float) -> float:
        return float((np.array(good) <= threshold).mean() + (np.array(bad) > threshold).mean())

    chosen = threshold_with_labels(np.array(good), np.array(bad))
    inside = np.arange(min(good + bad), max(good + bad), 0.5)
    assert balanced(chosen) >= max(map(balanced, inside), default=0.0) - 1e-12


def test_a_gap_is_cut_in_the_middle() -> None:
    assert threshold_with_labels(np.array([1.0, 2.0]), np.array([4.0, 9.0])) == 3.0


def test_labels_of_one_kind_are_not_enough() -> None:
    with pytest.raises(DatasetError, match="2 good and 0 bad ones"):
        threshold_with_labels(np.array([1.0, 2.0]), np.array([]))


@pytest.mark.parametrize("method", ["softpatch-lof", "patchcore", "random-bank"])
def test_held_out_scores_are_those_of_a_bank_without_the_picture(method: str) -> None:
    patches = random_patches(images=7).flatten(1, 2)  # (N, P, D)
    detector = make_detector(method, coreset_ratio=0.5, max_false_alarms=0.2)
    assert isinstance(detector, BankDetector)
    image_index = torch.tensor([0, 0, 1, 2, 2, 3, 4])  # pictures of one or two tiles
    learn(detector, patches, image_index)
    assert detector.held_out_ is not None
    picks = torch.cdist(detector.bank_.vectors, patches.flatten(0, 1)).argmin(dim=1)
    of_bank = image_index[picks // patches.shape[1]]
    for picture, score in enumerate(detector.held_out_.tolist()):
        others = of_bank != picture
        bank = MemoryBank(detector.bank_.vectors[others], detector.bank_.weights[others])
        own = patches[image_index == picture].flatten(0, 1)
        assert score == pytest.approx(float(bank.score(own, "squared").max()), rel=1e-5)
    chosen = threshold_without_labels(detector.held_out_.numpy(), 0.2)
    assert detector.threshold_ == chosen.value


def test_a_picture_that_is_the_whole_bank_has_no_score() -> None:
    detector = PatchCore(bank_size=1, max_false_alarms=0.1)
    learn(detector, torch.rand(3, 4, 8))
    assert detector.held_out_ is not None
    assert len(detector.held_out_) == 2


def test_the_threshold_is_kept_and_can_be_changed(small_pictures: Path, tmp_path: Path) -> None:
    detector = SoftPatch(max_false_alarms=0.2, resize=64, crop=64, dimension=64)
    detector.fit(small_pictures)
    before = detector.threshold_
    assert before is not None
    detector.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert isinstance(again, SoftPatch)
    assert again.threshold_ == before
    assert again.choose_threshold(0.2).value == before
    assert again.choose_threshold(0.5).value < before
    again.save(tmp_path / "n")
    picture = sorted(small_pictures.iterdir())[0]
    record = load(tmp_path / "n").predict(picture)
    assert record.threshold == again.threshold_
    assert record.anomalous == (record.score > record.threshold)


def test_without_it_nothing_is_called_anomalous(small_detector: SoftPatch) -> None:
    assert small_detector.threshold_ is None
    with pytest.raises(NotFittedError, match="fit with max_false_alarms"):
        small_detector.choose_threshold(0.1)
    record = Prediction("a.png", 2.0, np.zeros((2, 2), np.float32), (2, 2), (0, 0, 2, 2))
    assert record.anomalous is None
    assert record.level is None


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_level_is_one_half_at_the_threshold(score: float, threshold: float) -> None:
    heat = np.zeros((2, 2), np.float32)
    record = Prediction("a.png", score, heat, (2, 2), (0, 0, 2, 2), threshold)
    assert record.level is not None
    assert 0 <= record.level <= 1
    at_it = Prediction("a.png", threshold, heat, (2, 2), (0, 0, 2, 2), threshold)
    assert at_it.level == 0.5
    assert at_it.anomalous is False


def test_the_promise_is_told_in_pictures() -> None:
    met = threshold_without_labels(np.linspace(10.0, 20.0, 229), 0.01)
    assert str(met) == (
        f"limit {met.value:.4g}: about 9 of 1,000 good pictures will be called bad "
        f"({met.pictures} training pictures)"
    )
    few = threshold_without_labels(np.linspace(10.0, 20.0, 65), 0.01)
    assert str(few) == (
        "limit 20: about 15 of 1,000 good pictures will be called bad, not the 10 asked for: "
        "65 pictures cannot promise fewer; 34 more good ones would do"
    )
    assert threshold_without_labels(np.linspace(10.0, 20.0, 65 + 34), 0.01).missing == 0
    assert threshold_without_labels(np.linspace(10.0, 20.0, 65 + 33), 0.01).missing == 1


def test_no_pictures_are_asked_for_that_would_not_be_scored() -> None:
    chosen = threshold_without_labels(np.linspace(10.0, 20.0, 500), 0.001)
    assert str(chosen).endswith("nor could 500, and no more are scored for it")


@given(st.lists(st.floats(10, 12), min_size=4, max_size=60, unique=True), st.floats(0.001, 0.3))
@settings(max_examples=60, deadline=None)
def test_what_it_rests_on_moves_it_most(scores: list[float], share: float) -> None:
    values = np.array(scores)
    chosen = threshold_without_labels(values, share)
    named = [index for index, _ in chosen.rests_on]
    assert [score for _, score in chosen.rests_on] == values[named].tolist()
    counts = np.sort(values)[::-1][len(values) - chosen.pictures :]
    assert [score for _, score in chosen.rests_on] == counts[: len(named)].tolist()
    # Once they are out of it, the largest rank that keeps below the share is this one.
    left = len(counts) - len(named)
    assert chosen.without == counts[len(named) + max(1, int(share * (left + 1))) - 1]


def test_pictures_far_above_the_others_are_named() -> None:
    scores = np.array([4757.0, 6222, 6253, 5507, 5250, *np.linspace(2000, 4700, 60)])
    chosen = threshold_without_labels(scores, 0.01)
    names = [f"wood/IMG_{index}.png" for index in range(len(scores))]
    assert chosen.told(names)[1] == (
        "it rests on IMG_2.png (6253) and IMG_1.png (6222); without them 5507"
    )
    assert len(threshold_without_labels(np.linspace(100, 102, 80), 0.01).told(names)) == 1


@given(scores, scores, st.floats(0, 0.99))
@settings(max_examples=100, deadline=None)
def test_misses_stay_within_the_share_with_the_fewest_false_alarms(
    good: list[float], bad: list[float], share: float
) -> None:
    good, bad = [one + 1 for one in good], [one + 1 for one in bad]
    chosen = threshold_of_misses(np.array(good), np.array(bad), share)
    allowed = int(share * len(bad) + 1e-9)
    assert sum(one <= chosen for one in bad) <= allowed
    for other in np.arange(0, 33, 0.5):
        if sum(one <= other for one in bad) <= allowed:
            assert sum(one > other for one in good) >= sum(one > chosen for one in good)


@given(scores, scores, st.floats(0.01, 100), st.floats(0.01, 0.99))
@settings(max_examples=100, deadline=None)
def test_no_threshold_costs_less(
    good: list[float], bad: list[float], miss_cost: float, bad_share: float
) -> None:
    def cost(threshold: float) -> float:
        missed, stopped = (np.array(bad) <= threshold).mean(), (np.array(good) > threshold).mean()
        return float(bad_share * miss_cost * missed + (1 - bad_share) * stopped)

    chosen = threshold_with_labels(
        np.array(good), np.array(bad), miss_cost=miss_cost, bad_share=bad_share
    )
    assert cost(chosen) <= min(map(cost, np.arange(0, 32, 0.5))) * (1 + 1e-6)


def test_a_limit_is_not_doubted_for_pictures_that_people_called_good() -> None:
    scores = np.array([4757.0, 6222, 6253, 5507, 5250, *np.linspace(2000, 4700, 60)])
    names = [f"{index}.png" for index in range(len(scores))]
    known = np.zeros(len(scores), dtype=bool)
    known[[1, 2]] = True
    assert len(threshold_without_labels(scores, 0.01, known).told(names)) == 1
    known[1] = False  # without it the other one still sets the limit
    assert len(threshold_without_labels(scores, 0.01, known).told(names)) == 1
    known[:] = scores > 0
    assert threshold_without_labels(scores, 0.01, known).rests_on == ()


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (None, "no look limit"),
        (4.0, "look limit 4: pictures above it, up to the limit, are worth a look"),
        (5.0, "look limit 5, not below the limit: pictures are good or bad alone"),
        (6.0, "look limit 6, not below the limit: pictures are good or bad alone"),
    ],
)
def test_what_is_said_of_a_look_limit_is_what_verdicts_do(look: float | None, said: str) -> None:
    assert of_look_limit(look, 5.0) == said
    scores = np.linspace(0, 10, 1001)
    verdicts = {verdict_of(score, 5.0, look) for score in scores}
    assert ("look" in verdicts) == ("worth a look" in said)
