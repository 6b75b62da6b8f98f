"""Looks at the pictures that a limit rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softpatch import SoftPatch, load, merge
from softpatch.calling.looks import to_look_at
from softpatch.calling.threshold import threshold_without_labels
from softpatch.detectors.calibration import Calibration
from softpatch.errors import NotFittedError, UsageError
from tests.detectors.pictures import new_pictures

OPTIONS: dict[str, Any] = {"resize": 64, "crop": 64}


@given(
    scores=st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=30),
    known=st.integers(0, 2**30),
    count=st.integers(1, 40),
)
def test_the_largest_that_nobody_has_looked_at_come_first(
    scores: list[float], known: int, count: int
) -> None:
    values = np.array(scores)
    looked_at = np.array([bool(known >> at & 1) for at in range(len(scores))])
    found = to_look_at(values, looked_at, count)
    assert len(found) == min(count, int((~looked_at).sum())) == len(set(found))
    assert not looked_at[found].any()
    assert (np.diff(values[found]) <= 0).all()
    left = sorted(set(np.flatnonzero(~looked_at)) - set(found))
    if left and found:
        assert values[left].max() <= values[found].min()


def test_good_pictures_that_people_know_are_never_left_out() -> None:
    """Far out as they may be: blindly they are left out, and the limit stops more than it says."""
    scores = np.append(np.random.default_rng(0).gumbel(10, 0.3, 60), [20.0, 21.0])
    known = scores >= 20
    assert threshold_without_labels(scores, 0.01).value < 15
    assert threshold_without_labels(scores, 0.01, known).value == 21


@pytest.mark.parametrize("share", [0.01, 0.05])
@pytest.mark.parametrize("hidden", [0, 6])
def test_the_promise_holds_with_bad_ones_that_nobody_found(share: float, hidden: int) -> None:
    """Of good pictures no more than r / (n - k + 1) exceed it, whatever the k bad ones score."""
    random = np.random.default_rng(1)
    runs, exceeded, bound = 4000, 0.0, 0.0
    for _ in range(runs):
        good = random.normal(size=60)
        bad = random.normal(-3, 1, hidden)  # that look better than good ones: the worst case
        scores = np.exp(np.concatenate([good, bad]))
        known = np.ones(len(scores), dtype=bool)
        chosen = threshold_without_labels(scores, share, known)
        exceeded += random.normal() > np.log(chosen.value)
        bound += chosen.expected * (len(scores) + 1) / (len(good) + 1)
    deviation = np.sqrt(bound / runs / runs)
    assert exceeded / runs <= bound / runs + 3 * deviation


def calibration(scores: list[float]) -> Calibration:
    of = torch.stack([torch.arange(len(scores)) + 3, torch.full((len(scores),), 50)], dim=1)
    return Calibration(1.0, None, torch.tensor(scores), of)


def test_bad_ones_do_not_count_and_what_was_said_last_holds() -> None:
    before = calibration([1.0, 2.0, 3.0, 4.0])
    after = before.after_looks(good=[5], bad=[6])
    assert after.held_out is not None
    assert after.held_out.tolist() == [1, 2, 3]
    assert after.known_good == (5,)
    again = after.after_looks(good=[], bad=[5])
    assert again.known_good == ()
    assert again.choose(0.01).value == 2
    assert before.choose(0.3).rests_on[0] == (6, 4.0)


def test_what_was_said_by_mistake_can_be_taken_back() -> None:
    before = calibration([1.0, 2.0, 3.0, 4.0])
    mistaken = before.after_looks(good=[3], bad=[6, 5])
    assert mistaken.choose(0.01).value == 2
    after = mistaken.after_looks(good=[6, 5], bad=[3])
    assert after.known_good == (5, 6)
    assert after.choose(0.01) == before.after_looks(good=[6, 5], bad=[3]).choose(0.01)
    assert after.choose(0.01).value == 4


@pytest.mark.parametrize("mistaken", ["good", "bad"])
def test_looks_are_taken_back_in_the_model_file(
    mistaken: str, pictures: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.softpatch"
    SoftPatch(**OPTIONS, max_false_alarms=0.1).fit(pictures).save(model)
    detector, untold = load(model, SoftPatch), load(model, SoftPatch)
    worst = [detector.to_look_at(1)[0][0]]
    nobody = list[str]()
    wrong, right = ((worst, nobody), (nobody, worst))
    if mistaken == "bad":
        wrong, right = right, wrong
    detector.after_looks(*wrong)
    detector.save(model)
    assert load(model, SoftPatch).after_looks(*right) == untold.after_looks(*right)


def test_what_a_model_knows_to_be_bad_does_not_come_back_from_another(pictures: Path) -> None:
    one, other = (SoftPatch(**OPTIONS, max_false_alarms=0.1).fit(pictures) for _ in range(2))
    (worst, _), *_ = one.to_look_at(1)
    chosen = one.after_looks(good=[], bad=[worst])
    for both in (merge(one, other), merge(other, one)):
        assert both.threshold_ == chosen.value
        assert worst not in {name for name, _ in both.to_look_at(1000)}


def test_a_look_limit_set_otherwise_stays_after_looks(pictures: Path) -> None:
    for look, threshold in ((None, None), (1.0, None), (None, 1.0)):
        detector = SoftPatch(**OPTIONS, max_false_alarms=0.1, look_share=0.3).fit(pictures)
        by_share = detector.look_
        assert by_share is not None
        (worst, _), *_ = detector.to_look_at(1)
        if threshold is None:
            detector.look_ = look
        else:
            detector.threshold_ = threshold  # below the look limit, which is that of the share
        detector.after_looks(good=[worst], bad=[])
        assert detector.look_ == (look if threshold is None else by_share)


def test_what_cannot_be_said() -> None:
    with pytest.raises(UsageError, match="all pictures that the limit rests on are said to be bad"):
        calibration([1.0, 2.0]).after_looks((), [3, 4])
    with pytest.raises(NotFittedError, match="does not know which training pictures"):
        Calibration(1.0).after_looks((), ())


def test_looks_stay_with_the_model(pictures: Path, tmp_path: Path) -> None:
    detector = SoftPatch(**OPTIONS, max_false_alarms=0.1).fit(pictures)
    first = detector.to_look_at(2)
    worst, second = (name for name, _ in first)
    assert detector.held_out_ is not None
    assert first[0][1] == float(detector.held_out_.max())
    chosen = detector.after_looks(good=[second], bad=[worst])
    assert detector.threshold_ == chosen.value <= first[1][1]
    assert not {worst, second} & {name for name, _ in detector.to_look_at()}
    detector.save(tmp_path / "m.softpatch")
    kept = load(tmp_path / "m.softpatch")
    assert isinstance(kept, SoftPatch)
    assert kept.promise() == chosen
    assert kept.to_look_at() == detector.to_look_at()
    with pytest.raises(UsageError, match="no training picture"):
        detector.after_looks(good=["elsewhere.png"], bad=[])
    detector.update(new_pictures(2))
    known = detector.learned_.calibration.known_good
    assert [detector.image_names_[at] for at in known] == [second]
