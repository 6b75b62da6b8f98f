"""A discriminator and a backbone of one's own go in as arguments, and come back from a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import softpatch
from softpatch import (
    Discriminator,
    ModelFileError,
    PaDiM,
    PatchCore,
    RandomEnsemble,
    SoftPatch,
    UsageError,
    load,
)
from softpatch.compute.progress import Progress, silent
from softpatch.detectors import Detector
from tests.detectors.pictures import new_pictures, predictions

SMALL: dict[str, Any] = {"resize": 64, "crop": 64, "dimension": 64}


class FromMean(Discriminator):
    """Distance to the mean over the images."""

    words = "distance to the mean patch"
    tau = 0.05
    soft_weight = False

    def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
        scores: Tensor = (patches - patches.mean(dim=1, keepdim=True)).square().sum(dim=2)
        return 1 + scores.sqrt()


class WholeImages(FromMean):
    by_position = False


class Edges(nn.Module):
    """Two maps of strides 4 and 8."""

    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.fine = nn.Conv2d(3, 8, 4, stride=4)
            self.coarse = nn.Conv2d(8, 16, 2, stride=2)

    def forward(self, images: Tensor) -> list[Tensor]:
        fine = self.fine(images).relu()
        return [fine, self.coarse(fine).relu()]


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("kind", [FromMean, WholeImages])
def test_a_discriminator_of_ones_own(
    kind: type[FromMean], small_pictures: Path, tmp_path: Path
) -> None:
    detector = SoftPatch(**SMALL, discriminator=kind()).fit(small_pictures)
    name = f"{__name__}.{kind.__qualname__}"
    policy = detector.policy_
    assert policy is not None
    assert (policy.name, policy.tau) == (name, 0.05)
    assert torch.equal(detector.bank_.weights, torch.ones(len(detector.bank_)))
    detector.save(tmp_path / "own")

    without = load(tmp_path / "own", SoftPatch)
    for one, other in zip(
        predictions(without, new_pictures(3)), predictions(detector, new_pictures(3)), strict=True
    ):
        assert one.score == other.score
    assert without.digest() == detector.digest()
    with pytest.raises(UsageError, match=f"{name}; give it: softpatch.load"):
        without.update(new_pictures(3))

    back = load(tmp_path / "own", SoftPatch, discriminator=kind())
    assert back.update(new_pictures(3)).digest() == detector.update(new_pictures(3)).digest()
    with pytest.raises(ModelFileError, match="was fitted with the discriminator"):
        load(tmp_path / "own", discriminator=Other())


class Other(FromMean):
    pass


@pytest.mark.usefixtures("one_backbone")
def test_an_audit_says_it_in_its_words(small_pictures: Path) -> None:
    found = softpatch.audit(small_pictures, discriminator=FromMean(), **SMALL)
    assert found.discriminator == f"{__name__}.FromMean"
    assert found.why == "distance to the mean patch"


def test_what_is_no_discriminator(small_model: Path) -> None:
    wrong: Any = lambda patches: patches  # noqa: E731
    with pytest.raises(UsageError, match=r"inherits from softpatch\.Discriminator"):
        SoftPatch(discriminator=wrong)
    with pytest.raises(ModelFileError, match="has the discriminator auto, none of its own"):
        load(small_model, discriminator=FromMean())


@pytest.mark.parametrize("kind", [SoftPatch, PatchCore, PaDiM, RandomEnsemble])
def test_a_backbone_of_ones_own(kind: type[Detector], small_pictures: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {**SMALL, "backbone": Edges()}
    detector = kind(**options).fit(small_pictures)
    assert detector.features.backbone == f"{__name__}.Edges"
    assert detector.extractor.grid == (16, 16)
    detector.save(tmp_path / "own")
    with pytest.raises(ModelFileError, match=r"Edges; give it: softpatch\.load"):
        load(tmp_path / "own")
    with pytest.raises(ModelFileError, match="other weights"):
        load(tmp_path / "own", backbone=Edges(seed=1))
    back = load(tmp_path / "own", kind, backbone=Edges())
    for one, other in zip(
        predictions(back, new_pictures(3)), predictions(detector, new_pictures(3)), strict=True
    ):
        assert one.score == other.score
        assert np.array_equal(one.anomaly_map, other.anomaly_map)
    assert back.digest() == detector.digest()


def test_a_file_without_parts_of_its_own_takes_none(small_model: Path) -> None:
    with pytest.raises(ModelFileError, match="has the backbone efficientnet_lite2, none of its"):
        load(small_model, backbone=Edges())


def test_the_command_line_predicts_without_the_discriminator(
    small_pictures: Path, tmp_path: Path
) -> None:
    SoftPatch(**SMALL, discriminator=FromMean()).fit(small_pictures).save(tmp_path / "own")
    out = tmp_path / "results"
    command = ["predict", tmp_path / "own", small_pictures, "-o", out, "--no-heatmaps"]
    run = [sys.executable, "-c", "from softpatch.cli import main; main()"]
    subprocess.run([*run, *map(str, command)], check=True)
    assert (out / "predictions.csv").read_text().count("\n") == 9


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda scores: scores.T, r"expected .* \(64, 8\), got \(8, 64\)", id="turned"),
        pytest.param(lambda scores: scores[:-1], r"got \(63, 8\)", id="short"),
        pytest.param(lambda scores: scores.tolist(), "got list", id="list"),
        pytest.param(lambda scores: None, "got NoneType", id="none"),
        pytest.param(lambda scores: scores * 0, "above 0 .*got others", id="zero"),
        pytest.param(lambda scores: -scores, "above 0 .*got others", id="negative"),
        pytest.param(lambda scores: scores * torch.nan, "got others", id="nan"),
        pytest.param(lambda scores: scores * 1e30, "at most 1e.15, got others", id="huge"),
    ],
)
def test_what_a_discriminator_must_not_return(
    change: Any, message: str, small_pictures: Path
) -> None:
    class Wrong(FromMean):
        def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
            changed: Tensor = change(super().__call__(patches))
            return changed

    with pytest.raises(UsageError, match=message) as caught:
        SoftPatch(**SMALL, discriminator=Wrong()).fit(small_pictures)
    assert "Wrong: expected (P, N) outlier scores" in str(caught.value)


@pytest.mark.usefixtures("one_backbone")
def test_scores_of_other_types_are_taken(small_pictures: Path, tmp_path: Path) -> None:
    class Doubles(FromMean):
        def __call__(self, patches: Tensor, progress: Progress = silent) -> Tensor:
            return super().__call__(patches).double()

    SoftPatch(**SMALL, discriminator=Doubles()).fit(small_pictures).save(tmp_path / "m")
    assert len(load(tmp_path / "m").image_names_) == 8


def test_a_class_or_a_wrong_tau_is_refused_at_once() -> None:
    wrong: Any = FromMean
    with pytest.raises(UsageError, match="give an object of a class"):
        SoftPatch(discriminator=wrong)

    class Greedy(FromMean):
        tau = 3.0

    with pytest.raises(UsageError, match="tau must lie in"):
        SoftPatch(discriminator=Greedy())
