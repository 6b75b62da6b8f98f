"""The contract that people know from scikit-learn: options are kept as given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from softpatch import (
    NotFittedError,
    PaDiM,
    PatchCore,
    RandomBank,
    RandomEnsemble,
    SoftPatch,
    UsageError,
    load,
)
from softpatch.detectors import Detector
from softpatch.detectors.options import CommonOptions

SMALL: dict[str, Any] = {"resize": 64, "crop": 64}
every_method = pytest.mark.parametrize(
    "kind", [SoftPatch, PatchCore, PaDiM, RandomBank, RandomEnsemble]
)


@every_method
def test_options_are_kept_as_given(kind: type[Detector]) -> None:
    given: dict[str, Any] = {
        "resize": 64, "layers": ("blocks.4",), "device": "auto", "roi": np.eye(4), "seed": 7,
    }  # fmt: skip
    params = kind(**given).get_params()
    assert set(params) == kind.option_names()
    for name, value in given.items():
        assert params[name] is value
    assert params["batch_size"] is params["memory_limit"] is params["backbone"] is None


@every_method
def test_scikit_learn_clones_it(kind: type[Detector]) -> None:
    clone = pytest.importorskip("sklearn.base").clone
    one = kind(**SMALL, seed=3)
    other = clone(one)
    assert other is not one
    assert other.get_params() == one.get_params()


@pytest.mark.usefixtures("one_backbone")
def test_it_is_the_last_step_of_a_pipeline(small_pictures: Path) -> None:
    pipeline = pytest.importorskip("sklearn.pipeline").Pipeline
    line = pipeline([("detector", SoftPatch(**SMALL))])
    line.set_params(detector__k=4)
    line.fit(sorted(small_pictures.iterdir()))
    assert line["detector"].k == 4
    assert len(list(line.predict(sorted(small_pictures.iterdir())))) == 8


@pytest.mark.usefixtures("one_backbone")
@every_method
def test_set_params_is_whole_or_not_at_all(kind: type[Detector], small_pictures: Path) -> None:
    detector = kind(**SMALL).fit(small_pictures)
    with pytest.raises(UsageError, match="has no option 'tall'"):
        detector.set_params(seed=1, tall=3)
    with pytest.raises(UsageError, match="batch_size must be at least 1"):
        detector.set_params(seed=1, batch_size=0)
    assert (detector.seed, len(detector.image_names_)) == (0, 8)
    assert detector.set_params(seed=1) is detector
    assert detector.seed == 1
    with pytest.raises(NotFittedError):
        _ = detector.image_names_


@pytest.mark.usefixtures("one_backbone")
def test_a_clone_learns_the_same(small_pictures: Path) -> None:
    detector = SoftPatch(**SMALL).fit(small_pictures)
    other = detector.clone()
    with pytest.raises(NotFittedError):
        other.predict(small_pictures)
    assert other.fit(small_pictures).digest() == detector.digest()
    assert detector.clone(k=3).k == 3


def test_a_clone_with_other_features_has_another_network() -> None:
    detector = SoftPatch(**SMALL, dimension=64)
    assert detector.extractor.dimension == 64
    assert detector.clone(seed=3).extractor is detector.extractor
    assert detector.clone(dimension=32).extractor.dimension == 32


@pytest.mark.usefixtures("one_backbone")
def test_numbers_of_numpy_are_numbers(small_pictures: Path, tmp_path: Path) -> None:
    numbers: dict[str, Any] = {
        "discriminator": "lof", "k": np.int64(3), "seed": np.int64(2), "tau": np.float64(0.2)
    }  # fmt: skip
    detector = SoftPatch(**SMALL, **numbers)
    detector.fit(small_pictures).save(tmp_path / "m")
    back = load(tmp_path / "m", SoftPatch)
    assert (back.k, back.seed, back.tau) == (3, 2, 0.2)
    assert "list" not in repr(back)


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), "5"])
def test_a_threshold_is_a_score_or_none(wrong: Any, small_pictures: Path) -> None:
    detector = PatchCore(**SMALL).fit(small_pictures)
    before = detector.threshold_
    with pytest.raises(UsageError, match="the threshold must lie in"):
        detector.threshold_ = wrong
    assert detector.threshold_ == before
    detector.threshold_ = float(np.float32(3))
    assert detector.threshold_ == 3.0


@pytest.mark.usefixtures("one_backbone")
def test_repr_shows_what_is_not_usual(small_pictures: Path) -> None:
    assert repr(PaDiM()) == "<PaDiM(), not fitted>"
    detector = SoftPatch(discriminator="lof", tau=0.1, roi=np.eye(4), **SMALL)
    options = f"discriminator='lof', tau=0.1, resize=64, crop=64, roi={np.ndarray!r}"
    assert repr(detector) == f"<SoftPatch({options}), not fitted>"
    detector.fit(small_pictures)
    assert repr(detector) == f"<SoftPatch({options}), fitted on 8 images>"


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        (-1, "at least 0"),
        (2**32, "at most 4,294,967,295"),
        *((wrong, "a whole number") for wrong in (1.5, "0", True, None)),
    ],
)
def test_seeds_out_of_range(seed: Any, words: str) -> None:
    with pytest.raises(UsageError, match=f"seed must be {words}"):
        SoftPatch(seed=seed)


@pytest.mark.parametrize("device", ["meta", "mps", "xpu"])
def test_devices_that_are_not_for_it(device: str) -> None:
    with pytest.raises(
        UsageError, match=f"device must be auto, cpu, cuda or cuda:NUMBER, got '{device}'"
    ):
        SoftPatch(device=device)


@pytest.mark.usefixtures("one_backbone")
def test_what_is_called_from_python_is_what_the_command_line_calls(small_pictures: Path) -> None:
    record = SoftPatch(**SMALL).fit(small_pictures).predict(small_pictures / "0.png")
    assert record.threshold is not None
    assert record.anomalous is (record.score > record.threshold)


def test_every_common_option_has_a_default() -> None:
    assert set(SoftPatch().get_params()) >= set(CommonOptions.__annotations__)
    assert torch.device(SoftPatch().device)
