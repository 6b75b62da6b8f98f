"""Fitting one camera, unless there is no need to or its new pictures look different."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from softpatch.compute.progress import Progress, silent
from softpatch.detectors import Detector, PatchCore, make_detector
from softpatch.detectors.load import load
from softpatch.errors import DatasetError, ModelFileError, SoftPatchError
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import FeatureConfig
from softpatch.fleet.cameras import Camera
from softpatch.fleet.drift import Drift, drift
from softpatch.fleet.photographs import photographs
from softpatch.fleet.record import SUFFIX, Record, new_among, read_record, states
from softpatch.fleet.reference import make_reference
from softpatch.fleet.visit import CHECKED, FAILED, FITTED, KEPT, UNCHANGED, Visit, learned
from softpatch.images.sources import fail_unreadable, ignore_unreadable
from softpatch.storage import model_file

MODEL = ".softpatch"
REFERENCE = ".drift"  # a model, too; see ``make_reference``


@dataclass(frozen=True)
class FleetSettings:
    """How cameras are fitted.

    Attributes:
        output: folder of the models.
        method, options: see ``make_detector``.
        check: fit nothing.
        force: fit whatever has or has not changed.
        strict: a camera with an unreadable picture fails.
    """

    output: Path
    method: str
    options: Mapping[str, Any]
    check: bool
    force: bool
    strict: bool

    def detector(self) -> Detector:
        """Not yet fitted; in one process all share a backbone."""
        detector = make_detector(self.method, **self.options)
        detector.share_extractor(_extractor(detector.features, detector.device))
        return detector

    def load(self, model: Path) -> Detector:
        """As ``softpatch.load``, with the options of this run."""
        run = {
            name: self.options[name]
            for name in ("device", "weights", "batch_size")
            if name in self.options
        }
        return load(model, **run)


@cache
def _extractor(config: FeatureConfig, device: torch.device) -> PatchExtractor:
    return PatchExtractor(config, device)


def look_up(camera: Camera, settings: FleetSettings) -> Visit | None:
    """A camera that needs no work; None if it does."""
    model, record = _files(camera, settings)
    fitted_on = read_record(record)
    if settings.force or camera.error is not None or fitted_on is None:
        return None
    if states(camera.folder, camera.pictures) != fitted_on.pictures:
        return None
    if settings.strict and fitted_on.unreadable:
        return None
    try:
        header, state = model_file.read(model)
        if not settings.check and not _made_as(settings.detector(), header, state):
            return None
        said = learned(header, state)
    except (ModelFileError, LookupError, TypeError, ValueError):  # damaged
        return None
    return Visit(
        camera.name, camera.folder, model, UNCHANGED, learned=said, unreadable=fitted_on.unreadable
    )


def visit(camera: Camera, settings: FleetSettings, progress: Progress = silent) -> Visit:
    """Do what a camera needs; whatever goes wrong with it is told in the result."""
    model, _ = _files(camera, settings)
    try:
        return _visit(camera, settings, progress)
    except Exception as error:
        words = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError):
            words = "out of memory; use a smaller --coreset-ratio or --resize"
        elif not isinstance(error, SoftPatchError):
            words = f"{type(error).__name__}: {words}"
        return Visit(camera.name, camera.folder, model, FAILED, error=words)


def _visit(camera: Camera, settings: FleetSettings, progress: Progress) -> Visit:
    if camera.error is not None:
        raise DatasetError(camera.error)
    model, record = _files(camera, settings)
    fitted_on = read_record(record)
    found = None
    if fitted_on is not None:
        try:
            found = _drift(camera, model, fitted_on, settings, progress)
        except ModelFileError:  # the very model that it is fitted again to replace
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
    return Visit(
        camera.name, camera.folder, model, outcome, learned=learned(*model_file.read(model)),
        unreadable=fitted_on.unreadable, drift=found,
    )  # fmt: skip


def _drift(
    camera: Camera, model: Path, fitted_on: Record, settings: FleetSettings, progress: Progress
) -> Drift | None:
    now = states(camera.folder, camera.pictures)
    new = [camera.folder / name for name in new_among(now, fitted_on.pictures)]
    if not new:
        return None
    path = _reference(model)
    reference = settings.load(path) if path.is_file() else None
    return drift(
        settings.load(model),
        reference if isinstance(reference, PatchCore) else None,
        fitted_on.photographs,
        new,
        progress,
    )


def _fit(camera: Camera, settings: FleetSettings, progress: Progress) -> Record:
    model, record = _files(camera, settings)
    before = states(camera.folder, camera.pictures)  # what changes meanwhile is new next time
    detector = settings.detector()
    detector.fit(
        camera.pictures,
        on_unreadable=fail_unreadable if settings.strict else ignore_unreadable,
        progress=progress,
    )
    readable = [Path(name) for name in detector.image_names_]
    fitted_on = Record(
        before,
        tuple((error.name, error.reason) for error in detector.skipped_),
        photographs(readable, progress),
    )
    reference = make_reference(detector, readable, progress)
    model.parent.mkdir(parents=True, exist_ok=True)
    detector.save(model)
    if reference is not None:
        reference.save(_reference(model))
    else:
        _reference(model).unlink(missing_ok=True)
    # At last: before it, a kill leaves a camera that is fitted again.
    fitted_on.write(record)
    return fitted_on


def _made_as(detector: Detector, header: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """Whether a fit of this detector would write such a header."""
    ours = {
        "method": detector.method,
        "features": vars(detector.features),
        "parameters": {"seed": detector.seed, **detector._parameters()},
    }
    backbone = detector._get_extractor().backbone
    roi = None if detector.roi is None else detector.roi.mask
    stored = state.get("roi")
    return (
        json.loads(json.dumps(ours)) == {key: header[key] for key in ours}
        and header["backbone"]["sha256"] == backbone.weights_hash
        and (roi is stored if roi is None or stored is None else torch.equal(roi.cpu(), stored))
    )


def _reference(model: Path) -> Path:
    return model.with_name(model.name.removesuffix(MODEL) + REFERENCE)


def _files(camera: Camera, settings: FleetSettings) -> tuple[Path, Path]:
    """The model and what it was fitted on."""
    return (
        settings.output / f"{camera.name}{MODEL}",
        settings.output / f"{camera.name}{SUFFIX}",
    )
