"""The look limit and the reference: chosen by fit, and with a model wherever it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softpatch import PaDiM, PatchCore, SoftPatch, load
from softpatch.calling.threshold import scores_of_good, threshold_without_labels
from softpatch.detectors import BankDetector, CalibratedDetector, make_detector
from softpatch.detectors.calibration import Calibration
from softpatch.detectors.merge import merge
from softpatch.errors import ModelFileError, NotFittedError, UsageError
from softpatch.storage import model_file
from softpatch.storage.model_bytes import with_header

SMALL: dict[str, Any] = {"resize": 64, "crop": 64, "dimension": 64}
SHARES: dict[str, Any] = {"max_false_alarms": 0.12, "look_share": 0.4}


def calibration_of(detector: CalibratedDetector) -> Calibration:
    return detector.learned_.calibration


def by_rule(detector: CalibratedDetector, share: float) -> float:
    assert detector.held_out_ is not None
    return threshold_without_labels(detector.held_out_.numpy(), share).value


@pytest.fixture(scope="module")
def fitted(small_pictures: Path) -> SoftPatch:
    """Do not change it."""
    return SoftPatch(**SMALL, **SHARES).fit(small_pictures)


@pytest.fixture
def model(fitted: SoftPatch, tmp_path: Path) -> Path:
    path = tmp_path / "part.softpatch"
    fitted.save(path)
    return path


@pytest.mark.parametrize("method", ["softpatch", "softpatch-lof", "patchcore", "random-ensemble"])
def test_every_calibrated_method_chooses_it_like_the_threshold(
    method: str, small_pictures: Path
) -> None:
    detector = make_detector(method, **SMALL, **SHARES).fit(small_pictures)
    assert isinstance(detector, CalibratedDetector)
    assert detector.look_ == by_rule(detector, 0.4)
    assert detector.threshold_ == by_rule(detector, 0.12)
    assert detector.look_ < detector.threshold_


@pytest.mark.parametrize("share", [0, None])
def test_0_and_none_choose_none(share: float | None, small_pictures: Path) -> None:
    detector = PatchCore(look_share=share, **SMALL).fit(small_pictures)
    assert detector.threshold_ is not None
    assert detector.look_ is None
    verdicts = {one.verdict for one in detector.predict(small_pictures)}
    assert verdicts <= {"good", "bad"}


@pytest.mark.parametrize("share", [1, -0.1, float("nan"), "much"])
def test_the_share_is_checked(share: object, fitted: SoftPatch) -> None:
    with pytest.raises(UsageError, match="look_share must"):
        SoftPatch(look_share=share)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="look_share must"):
        fitted.choose_look(share)  # type: ignore[arg-type]


def test_it_is_never_above_the_threshold(model: Path) -> None:
    detector = load(model, SoftPatch)
    detector.choose_threshold(0.6)
    assert detector.choose_look(0.3) is None
    assert detector.look_ is None
    assert detector.choose_look(0.6) == detector.look_ == detector.threshold_


def test_records_carry_it_and_the_reference(fitted: SoftPatch, small_pictures: Path) -> None:
    assert fitted.held_out_ is not None
    good = scores_of_good(fitted.held_out_.numpy())
    for one in fitted.predict(small_pictures):
        assert (one.threshold, one.look) == (fitted.threshold_, fitted.look_)
        assert one.p_value == (1 + (good >= one.score).sum()) / (len(good) + 1)


def test_a_model_file_keeps_it(fitted: SoftPatch, model: Path, small_pictures: Path) -> None:
    again = load(model, SoftPatch)
    assert again.look_share == 0.4
    assert again.look_ == fitted.look_
    picture = next(small_pictures.iterdir())
    ours, theirs = fitted.predict(picture), again.predict(picture)
    assert (ours.verdict, ours.p_value) == (theirs.verdict, theirs.p_value)
    again.look_ = 2
    assert type(again.look_) is float
    again.save(model)
    assert load(model).look_ == 2.0
    again.look_ = None
    assert again.predict(picture).look is None
    with pytest.raises(UsageError, match="the look limit must"):
        again.look_ = -1


def test_a_model_file_of_before_has_two_verdicts(model: Path, small_pictures: Path) -> None:
    header, state = model_file.read(model)
    del header["look"]
    del header["parameters"]["look_share"]
    model_file.write(model, header, state)
    old = load(model, SoftPatch)
    assert old.threshold_ is not None
    assert old.look_ is None
    for one in old.predict(small_pictures):
        assert one.verdict == ("bad" if one.anomalous else "good")
        assert one.p_value is not None  # the scores were there before, too
    old.update(small_pictures)
    assert old.look_ is None
    assert old.choose_look(0.4) is not None


@pytest.mark.parametrize("look", ["high", -1.0, [1.0], {}])
def test_a_file_with_another_thing_in_its_place_is_damaged(look: object, model: Path) -> None:
    model.write_bytes(with_header(model, look=look))
    with pytest.raises(ModelFileError, match="damaged model file"):
        load(model)


def test_an_update_chooses_it_again_unless_it_was_set(model: Path, small_pictures: Path) -> None:
    detector = load(model, SoftPatch).update(small_pictures)
    assert detector.look_ == by_rule(detector, 0.4)
    assert detector.threshold_ == by_rule(detector, 0.12)
    for limit in (1.5, None):
        detector.look_ = limit
        detector.update(small_pictures)
        assert detector.look_ == limit
        assert detector.threshold_ == by_rule(detector, 0.12)


def test_a_threshold_of_ones_own_does_not_hold_it(model: Path, small_pictures: Path) -> None:
    detector = load(model, SoftPatch)
    detector.threshold_ = 1e9
    detector.update(small_pictures)
    assert detector.threshold_ == 1e9
    assert detector.look_ == by_rule(detector, 0.4)


def test_a_merged_model_has_one(fitted: SoftPatch) -> None:
    merged = merge(fitted, fitted)
    assert isinstance(merged, BankDetector)
    assert merged.look_ == by_rule(merged, 0.4)


def test_without_scores_of_training_pictures_there_is_none(small_pictures: Path) -> None:
    detector = PaDiM(resize=64, crop=64, dimensions=20).fit(small_pictures)
    detector.threshold_, detector.look_ = 3.0, 2.0  # by hand there is
    one = detector.predict(next(small_pictures.iterdir()))
    assert one.verdict is not None
    assert (one.look, one.p_value, one.rarity) == (2.0, None, None)
    plain = PatchCore(max_false_alarms=None, **SMALL).fit(small_pictures)
    assert plain.look_ is None
    with pytest.raises(NotFittedError, match="fit with max_false_alarms"):
        plain.choose_look(0.1)


def test_suspects_are_no_reference() -> None:
    scores = np.append(np.exp(np.random.default_rng(0).normal(0, 0.1, 60)), [50.0, 60.0])
    good = scores_of_good(scores)
    assert 55 <= len(good) <= 60
    assert good.max() < 50
    assert np.array_equal(good, np.sort(good))
    assert threshold_without_labels(scores, 0.01).pictures == len(good)
