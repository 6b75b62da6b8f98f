"""The public face: names, arguments, and what `fit` and `predict` take and give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

import softpatch
from softpatch import (
    DatasetError,
    Detector,
    ImageError,
    NotFittedError,
    PaDiM,
    PatchCore,
    Prediction,
    RandomBank,
    RandomEnsemble,
    SoftPatch,
    SoftPatchError,
    UnreadableImageWarning,
    UsageError,
    errors,
    fail_unreadable,
)
from softpatch.detectors import METHODS, make_detector

pytestmark = pytest.mark.usefixtures("one_backbone")

DETECTORS: list[type[Detector]] = [
    SoftPatch, PatchCore, PaDiM, RandomBank, RandomEnsemble,
]  # fmt: skip
SMALL: dict[str, Any] = {"resize": 64, "crop": 64, "dimension": 64}


# --- names ---------------------------------------------------------------------------------------


def test_exported_names_are_sorted_and_complete() -> None:
    assert softpatch.__all__ == sorted(softpatch.__all__)
    assert dir(softpatch) == softpatch.__all__
    assert set(softpatch.__all__) == set(softpatch._HOMES)
    assert {name for name in vars(errors) if name.endswith("Error")} <= set(softpatch.__all__)


@pytest.mark.parametrize("name", softpatch.__all__)
def test_exported_name_is_what_it_says(name: str) -> None:
    assert getattr(softpatch, name).__name__ == name
    assert getattr(softpatch, name).__module__.startswith("softpatch.")


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'softpatch' has no attribute 'Softpatch'"):
        _ = softpatch.Softpatch


def test_import_is_light() -> None:
    """Importing torch takes seconds; it waits until a detector is asked for."""
    code = (
        "import sys, softpatch, softpatch.cli, softpatch.errors; "
        "heavy = {'torch', 'numpy', 'timm', 'PIL', 'sklearn', 'matplotlib'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_error_is_a_softpatch_error_with_a_docstring() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) == 14
    for kind in kinds:
        assert issubclass(kind, SoftPatchError)
        assert kind.__doc__
    assert issubclass(UsageError, ValueError)


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DETECTORS)
@pytest.mark.parametrize("name", ["lof_k", "Tau", "backbones", "images"])
def test_unknown_argument_is_a_type_error(kind: type[Detector], name: str) -> None:
    with pytest.raises(TypeError, match=f"{kind.__name__} has no option '{name}'"):
        kind(**{name: 1})  # type: ignore[arg-type]


def test_another_methods_argument_is_a_type_error() -> None:
    for kind, name in ((PatchCore, "tau"), (PaDiM, "coreset_ratio"), (SoftPatch, "dimensions")):
        with pytest.raises(TypeError, match=name):
            kind(**{name: 1})  # type: ignore[arg-type]


def test_arguments_are_by_name_only() -> None:
    for kind in DETECTORS:
        with pytest.raises(TypeError, match="positional"):
            kind("photos")  # type: ignore[call-arg]


BAD_VALUES: list[tuple[type[Detector], str, Any]] = [
    *((kind, "preset", "huge") for kind in DETECTORS),
    *((kind, "device", "tpu9") for kind in DETECTORS),
    *((kind, "batch_size", value) for kind in DETECTORS for value in (0, -1)),
    *((SoftPatch, "tau", value) for value in (-0.1, 1, 2, float("nan"))),
    *((SoftPatch, "k", value) for value in (0, -3)),
    *((SoftPatch, "coreset_ratio", value) for value in (0, -1, 1.01, float("nan"))),
    *((PatchCore, "coreset_ratio", value) for value in (0, -1, 1.01, float("nan"))),
    (SoftPatch, "discriminator", "magic"),
    (SoftPatch, "distance", "cosine"),
    (PatchCore, "distance", "cosine"),
    *((kind, "bank_size", 0) for kind in (PatchCore, RandomBank, RandomEnsemble)),
    (RandomEnsemble, "distance", "cosine"),
    (RandomEnsemble, "max_false_alarms", 1),
    (RandomEnsemble, "banks", 0),
    (PaDiM, "dimensions", 0),
    (PaDiM, "dimensions", -5),
]


@pytest.mark.parametrize(("kind", "name", "value"), BAD_VALUES)
def test_bad_value_is_a_usage_error_that_names_the_argument(
    kind: type[Detector], name: str, value: Any
) -> None:
    with pytest.raises(UsageError, match=rf"^[^\n]*{name.removesuffix('_size')}[^\n]*$"):
        kind(**{name: value})


FIT_VALUES: list[tuple[type[Detector], dict[str, Any], str]] = [
    *((kind, {"layers": ("nope",)}, "has no layer 'nope'") for kind in DETECTORS),
    *((kind, {"embedding": "magic"}, "magic") for kind in DETECTORS),
    *((kind, {"crop": 65}, "must lie within resize") for kind in DETECTORS),
    *((kind, {"crop": 0}, "crop must be 32 to 8,192 pixels a side") for kind in DETECTORS),
    (SoftPatch, {"dimension": 0}, "dimension"),
]


@pytest.mark.parametrize(("kind", "options", "words"), FIT_VALUES)
def test_value_that_does_not_suit_the_backbone_is_a_usage_error(
    kind: type[Detector], options: dict[str, Any], words: str, small_pictures: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        kind(**{**SMALL, **options}).fit(small_pictures)


@pytest.mark.parametrize("method", METHODS)
def test_every_named_method_can_be_made(method: str) -> None:
    assert make_detector(method, seed=4).seed == 4


def test_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no method is called 'magic'; there are softpatch, soft"):
        make_detector("magic")
    with pytest.raises(UsageError, match="padim has no option 'tau'"):
        make_detector("padim", tau=0.1)


# --- fit and predict -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DETECTORS)
def test_nothing_works_before_fit(kind: type[Detector], tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match=f"{kind.__name__} has to be fitted or loaded first"):
        kind().predict("a.png")
    with pytest.raises(NotFittedError, match=f"{kind.__name__} has to be fitted before"):
        kind().save(tmp_path / "m")


def test_suspects_before_fit_is_a_not_fitted_error() -> None:
    with pytest.raises(NotFittedError):
        SoftPatch().suspects()
    with pytest.raises(NotFittedError):
        SoftPatch().contamination()


@pytest.mark.parametrize("kind", DETECTORS)
def test_fit_returns_itself_and_predict_gives_one_record(
    kind: type[Detector], small_pictures: Path
) -> None:
    detector = kind(**SMALL)
    assert detector.fit(small_pictures) is detector
    path = small_pictures / "2.png"
    prediction = detector.predict(path)
    assert isinstance(prediction, Prediction)
    assert prediction.name == str(path)
    assert prediction.size == (48, 64)
    assert prediction.box == (0, 0, 64, 48)
    assert prediction.anomaly_map.shape == (64, 64)
    assert prediction.anomaly_map.dtype == np.float32
    assert prediction.anomaly_map.min() >= 0
    assert prediction.score >= 0


def read(folder: Path) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    pictures = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            pictures.append(np.array(image))
    return pictures


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, folder: Path) -> None:
        self.tensors = [torch.from_numpy(array).permute(2, 0, 1) for array in read(folder)]

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.tensors[index], 0


def collections(folder: Path) -> dict[str, Any]:
    arrays = read(folder)
    return {
        "folder": folder,
        "text": str(folder),
        "paths": sorted(folder.iterdir()),
        "list of arrays": arrays,
        "PIL images": [Image.fromarray(array) for array in arrays],
        "generator": (array for array in arrays),
        "array batch": np.stack(arrays),
        "float batch": np.stack(arrays) / 255,
        "tensor batch": torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2),
        "torch Dataset": Pictures(folder),
    }


KINDS = [
    "folder", "text", "paths", "list of arrays", "PIL images", "generator", "array batch",
    "float batch", "tensor batch", "torch Dataset",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_collection_gives_the_same_predictions_in_order(
    kind: str, small_detector: SoftPatch, small_pictures: Path
) -> None:
    expected = list(small_detector.predict(small_pictures))
    given = collections(small_pictures)[kind]
    predictions = small_detector.predict(given)
    assert isinstance(predictions, Iterator)
    results = list(predictions)
    tolerance = 0.2 if kind == "float batch" else 1e-6  # resized without rounding to 8 bits
    scores = [result.score for result in results]
    assert scores == pytest.approx([result.score for result in expected], rel=tolerance)
    names = [str(path) for path in sorted(small_pictures.iterdir())]
    if kind not in ("folder", "text", "paths"):
        names = [f"image {index}" for index in range(8)]
    assert [result.name for result in results] == names


@pytest.mark.parametrize("kind", KINDS)
def test_every_collection_fits_the_same_model(
    kind: str, small_detector: SoftPatch, small_pictures: Path
) -> None:
    detector = SoftPatch(**SMALL).fit(collections(small_pictures)[kind])
    tolerance = 0.2 if kind == "float batch" else 1e-6
    assert detector.normal_limit_ == pytest.approx(small_detector.normal_limit_, rel=tolerance)
    assert len(detector.image_names_) == 8


@pytest.mark.parametrize("kind", ["path", "text", "array", "tensor", "PIL"])
def test_one_picture_is_one_record(
    kind: str, small_detector: SoftPatch, small_pictures: Path
) -> None:
    path = small_pictures / "0.png"
    array = read(small_pictures)[0]
    one: Any = {
        "path": path, "text": str(path), "array": array, "PIL": Image.fromarray(array),
        "tensor": torch.from_numpy(array).permute(2, 0, 1),
    }[kind]  # fmt: skip
    prediction = small_detector.predict(one)
    assert isinstance(prediction, Prediction)
    assert prediction.name == (str(path) if kind in ("path", "text") else "image 0")
    assert prediction.score == pytest.approx(next(small_detector.predict(small_pictures)).score)


def test_prediction_is_lazy(small_detector: SoftPatch, small_pictures: Path) -> None:
    asked = []

    def pictures() -> Iterator[Path]:
        for index in range(10_000):
            asked.append(index)
            yield small_pictures / "0.png"

    predictions = small_detector.predict(pictures())
    assert asked == []
    for _ in range(3):
        next(predictions)
    assert len(asked) < 50
    predictions.close()


def test_empty_collection_gives_no_predictions(small_detector: SoftPatch) -> None:
    assert list(small_detector.predict([])) == []


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_are_a_dataset_error(count: int, small_pictures: Path) -> None:
    pictures = sorted(small_pictures.iterdir())[:count]
    for kind in DETECTORS:
        with pytest.raises(DatasetError, match=f"^{count} readable training pictures.*at least 2"):
            kind(**SMALL).fit(pictures)


# --- unreadable pictures -------------------------------------------------------------------------


def test_unreadable_pictures_are_skipped_with_a_warning(small_pictures: Path) -> None:
    pictures = [small_pictures / "0.png", "none.png", small_pictures / "1.png", np.zeros(3)]
    detector = SoftPatch(**SMALL)
    with pytest.warns(UnreadableImageWarning) as caught:
        detector.fit(pictures)
    words = ["skipped none.png: no such file", "skipped image 3: shape (3,)"]
    for warning, text in zip(caught, words, strict=True):
        assert str(warning.message).startswith(text)
    assert [error.name for error in detector.skipped_] == ["none.png", "image 3"]
    assert detector.image_names_ == [str(small_pictures / "0.png"), str(small_pictures / "1.png")]
    with pytest.warns(UnreadableImageWarning, match="none.png"):
        names = [prediction.name for prediction in detector.predict(pictures[:3])]
    assert names == detector.image_names_


def test_skipped_is_of_the_last_fit(small_pictures: Path) -> None:
    detector = SoftPatch(**SMALL)
    with pytest.warns(UnreadableImageWarning):
        detector.fit([*sorted(small_pictures.iterdir()), "none.png"])
    detector.fit(small_pictures)
    assert detector.skipped_ == []


def test_strict_stops_at_the_first(small_pictures: Path, small_detector: SoftPatch) -> None:
    pictures = [small_pictures / "0.png", "none.png", small_pictures / "1.png"]
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        SoftPatch(**SMALL).fit(pictures, on_unreadable=fail_unreadable)
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        list(small_detector.predict(pictures, on_unreadable=fail_unreadable))


def test_failed_fit_leaves_no_half_fitted_detector(small_pictures: Path) -> None:
    """After a second fit that fails, the pictures' names must not be another model's."""
    detector = SoftPatch(**SMALL).fit(small_pictures)
    with pytest.raises(ImageError):
        detector.fit([small_pictures / "0.png", "none.png"], on_unreadable=fail_unreadable)
    try:
        suspects = detector.suspects()
    except NotFittedError:
        return
    assert len(suspects) == len(detector.image_names_) == 8


def test_single_unreadable_picture_is_always_an_error(small_detector: SoftPatch) -> None:
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        small_detector.predict("none.png")
    with pytest.raises(ImageError, match="image 0: int32"):
        small_detector.predict(np.zeros((4, 4), np.int32))


def test_progress_is_told_in_order(small_pictures: Path) -> None:
    told: list[tuple[str, int, int]] = []
    SoftPatch(**SMALL).fit(small_pictures, progress=lambda *step: told.append(step))
    steps = list(dict.fromkeys(step for step, _, _ in told))
    assert steps == ["embed", "coreset", "support", "hold out"]
    for step in steps:
        done = [(done, total) for name, done, total in told if name == step]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1] > 0
