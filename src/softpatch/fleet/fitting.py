"""Fits one camera, unless there is no need to or its new pictures look different."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softpatch.calling.contamination import LIKELY, estimate_contamination
from softpatch.calling.threshold import Threshold
from softpatch.compute.progress import Progress, silent
from softpatch.detectors import Detector, PatchCore, make_detector
from softpatch.detectors.calibration import Calibration
from softpatch.detectors.load import load
from softpatch.errors import (
    DatasetError,
    ModelFileError,
    OutOfMemoryError,
    SoftPatchError,
    is_out_of_memory,
    memory_needed,
)
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import FeatureConfig
from softpatch.fleet.cameras import Camera
from softpatch.fleet.drift import Drift, drift, make_reference
from softpatch.fleet.fit_record import (
    SUFFIX,
    FitRecord,
    is_record,
    new_among,
    read_record,
    states,
)
from softpatch.fleet.photographs import photographs
from softpatch.images.sources import fail_unreadable, ignore_unreadable
from softpatch.runtime.intensity import FULL, Intensity
from softpatch.runtime.targets import check_target
from softpatch.storage import model_file
from softpatch.storage.lock import changing
from softpatch.storage.targets import is_model
from softpatch.storage.versions import lineage_of, versions_folder, write_version

MODEL = ".softpatch"
REFERENCE = ".drift"  # also a model file, see ``make_reference``

FITTED = "fitted"
UNCHANGED = "unchanged"  # nothing to do
KEPT = "kept"  # the old model, as new pictures look different
CHECKED = "checked"  # only, as asked for
FAILED = "failed"
GONE = "gone"  # there is a model but no pictures any more


@dataclass(frozen=True)
class Learned:
    """Facts about a fitted model, from its file.

    Attributes:
        pictures: number of training pictures.
        contamination: estimated share of bad ones among them, with its 95 % ``interval``; None
            where the scores do not tell.
        suspects: paths of pictures more likely bad than good, most suspicious first; None for
            methods that do not rank pictures.
        threshold: None without one.
        promise: how the threshold was chosen without labels; None if it was set by hand or labels.
        intensity: which values of pictures of more than 8 bits are black and white.
    """

    pictures: int
    contamination: float | None
    interval: tuple[float, float] | None
    suspects: tuple[str, ...] | None
    threshold: float | None
    promise: Threshold | None
    intensity: Intensity = FULL

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "promise": self.promise and vars(self.promise)}

    @classmethod
    def of(cls, header: Mapping[str, Any], state: Mapping[str, Tensor]) -> Learned:
        """From the content of a model file."""
        names = header["images"]
        contamination, interval, suspects = None, None, None
        if "suspicion" in state:
            suspicion = state["suspicion"].double().numpy()
            estimate = estimate_contamination(suspicion, header["parameters"]["seed"])
            contamination, interval = estimate.rate, estimate.interval
            order = suspicion.argsort(kind="stable")[::-1].tolist()
            suspects = tuple(names[row] for row in order if estimate.confidence[row] > LIKELY)
        calibration = Calibration.restored(header, state)
        promise = calibration.promise(header["parameters"].get("max_false_alarms"))
        return cls(
            len(names), contamination, interval, suspects, calibration.threshold, promise,
            Intensity(*header["preprocessing"].get("intensity", FULL)),
        )  # fmt: skip


@dataclass(frozen=True)
class Visit:
    """What was done for one camera."""

    camera: str  # its name
    folder: Path  # of its pictures
    model: Path  # its file, which need not exist
    outcome: str  # FITTED and the like
    error: str | None = None  # why it failed
    learned: Learned | None = None  # from its model file; None if that cannot be read
    unreadable: tuple[tuple[str, str], ...] = ()  # path and reason
    drift: Drift | None = None  # None without new pictures or a model to compare with


@dataclass(frozen=True)
class FleetSettings:
    """How cameras are fitted, see ``fit_many``."""

    output: Path
    method: str
    options: Mapping[str, Any]
    check: bool
    force: bool
    strict: bool

    def model(self, camera: Camera) -> Path:
        """The file of a camera's model."""
        return self.output / f"{camera.name}{MODEL}"

    def detector(self) -> Detector:
        """A new detector; all of a process share a backbone."""
        detector = make_detector(self.method, **self.options)
        detector.share_extractor(_extractor(detector.features, detector.device))
        return detector

    def load(self, model: Path) -> Detector:
        """Load a model with the options of this run."""
        running = {"device", "weights", "batch_size"} & self.options.keys()
        detector: Detector = load(model, **{name: self.options[name] for name in running})
        return detector


@cache
def _extractor(config: FeatureConfig, device: torch.device) -> PatchExtractor:
    return PatchExtractor(config, device)


def visit_unchanged(camera: Camera, settings: FleetSettings) -> Visit | None:
    """The visit of a camera that needs no work; None if it needs some."""
    model = settings.model(camera)
    fitted_on = read_record(_beside(model, SUFFIX))
    if settings.force or camera.error is not None or fitted_on is None:
        return None
    changed = states(camera.folder, camera.pictures) != fitted_on.pictures
    if changed or (settings.strict and fitted_on.unreadable):
        return None
    try:
        header, state = model_file.read(model)
        if not settings.check and not _made_as(settings.detector(), header, state):
            return None
        learned = Learned.of(header, state)
    except (ModelFileError, OutOfMemoryError, LookupError, TypeError, ValueError):
        return None  # damaged, or the visit says what is missing
    unreadable = fitted_on.unreadable
    return Visit(camera.name, camera.folder, model, UNCHANGED, None, learned, unreadable)


def visit(camera: Camera, settings: FleetSettings, progress: Progress = silent) -> Visit:
    """Compare and fit a camera as needed; anything that goes wrong becomes its error."""
    try:
        model = settings.model(camera)
        reads_only = settings.check or not model.parent.is_dir()  # there can be no model yet
        with nullcontext() if reads_only else changing(model):
            return _visit(camera, settings, progress)
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        if is_out_of_memory(error) and not isinstance(error, SoftPatchError):
            needed = memory_needed(error)
            words = f"out of memory{needed}; use a smaller --coreset-ratio or --resize"
        elif not isinstance(error, SoftPatchError):
            words = f"{type(error).__name__}: {words}"
        return Visit(camera.name, camera.folder, settings.model(camera), FAILED, error=words)


def _visit(camera: Camera, settings: FleetSettings, progress: Progress) -> Visit:
    if camera.error is not None:
        raise DatasetError(camera.error)
    model = settings.model(camera)
    fitted_on = read_record(_beside(model, SUFFIX))
    found = None
    if fitted_on is not None:
        try:
            found = _drift(camera, model, fitted_on, settings, progress)
        except ModelFileError:  # a damaged model, which the fit replaces
            if settings.check:
                raise
    if settings.check and fitted_on is not None:
        outcome = CHECKED
    elif settings.check:
        raise ModelFileError(f"{model}: not fitted by softpatch fit-many yet")
    elif fitted_on is not None and found is not None and found.drifted and not settings.force:
        outcome = KEPT
    else:
        fitted_on = _fit(camera, settings, progress)
        outcome = FITTED
    learned, unreadable = Learned.of(*model_file.read(model)), fitted_on.unreadable
    return Visit(camera.name, camera.folder, model, outcome, None, learned, unreadable, found)


def _drift(
    camera: Camera, model: Path, fitted_on: FitRecord, settings: FleetSettings, progress: Progress
) -> Drift | None:
    now = states(camera.folder, camera.pictures)
    new = [camera.folder / name for name in new_among(now, fitted_on.pictures)]
    if not new:
        return None
    path = _beside(model, REFERENCE)
    reference = settings.load(path) if path.is_file() else None
    if not isinstance(reference, PatchCore):
        reference = None
    return drift(settings.load(model), reference, fitted_on.photographs, new, progress)


def _fit(camera: Camera, settings: FleetSettings, progress: Progress) -> FitRecord:
    model = settings.model(camera)
    check_target(model, is_model)
    check_target(_beside(model, REFERENCE), is_model)
    check_target(_beside(model, SUFFIX), is_record)
    before = states(camera.folder, camera.pictures)  # so changes during the fit count as new
    detector = settings.detector()
    detector.fit(
        camera.pictures,
        on_unreadable=fail_unreadable if settings.strict else ignore_unreadable,
        progress=progress,
    )
    readable = [Path(name) for name in detector.image_names_]
    unreadable = tuple((error.name, error.reason) for error in detector.skipped_)
    fitted_on = FitRecord(
        before, unreadable, photographs(readable, detector.features.intensity, progress)
    )
    reference = make_reference(detector, readable, progress)
    model.parent.mkdir(parents=True, exist_ok=True)
    if versions_folder(model).is_dir() and _readable(model):  # after softpatch update
        write_version(detector, model)
    else:
        detector.save(model)
    if reference is not None:
        reference.save(_beside(model, REFERENCE))
    else:
        _beside(model, REFERENCE).unlink(missing_ok=True)
    # Written last: after a kill before it, the camera is fitted again.
    fitted_on.write(_beside(model, SUFFIX))
    return fitted_on


def _readable(model: Path) -> bool:
    """Whether a file is a model that can be kept; a damaged one is replaced."""
    try:
        lineage_of(model)
    except ModelFileError:
        return False
    return True


def _made_as(detector: Detector, header: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """Whether the model file was fitted with this detector's options, backbone and region."""
    ours, theirs = (
        {
            **about,
            "features": {
                name: one
                for name, one in about["features"].items()
                if name not in detector.chosen_by_fit
            },
        }
        for about in (detector.described(), header)
    )
    backbone = detector.extractor.backbone
    roi = None if detector.roi is None else detector.roi.mask
    stored = state.get("roi")
    return (
        json.loads(json.dumps(ours)) == {key: theirs[key] for key in ours}
        and header["backbone"]["sha256"] == backbone.weights_hash
        and (roi is stored if roi is None or stored is None else torch.equal(roi.cpu(), stored))
    )


def _beside(model: Path, suffix: str) -> Path:
    return model.with_name(model.name.removesuffix(MODEL) + suffix)
