"""The fleet: one model for every camera of a plant, kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from softpatch.compute.processes import in_processes
from softpatch.compute.progress import Progress, silent
from softpatch.errors import UsageError
from softpatch.fleet.advice import CODES, OK, Advice, advise
from softpatch.fleet.cameras import Camera, find_cameras
from softpatch.fleet.fit_record import SUFFIX
from softpatch.fleet.fitting import (
    FAILED,
    GONE,
    MODEL,
    FleetSettings,
    Visit,
    visit,
    visit_unchanged,
)
from softpatch.ranges.table import check_all
from softpatch.runtime.listing import LeftOut
from softpatch.runtime.targets import check_folder
from softpatch.storage.lock import changing

Finished = Callable[[Sequence[Visit], int], None]


@dataclass(frozen=True)
class CameraReport:
    """One camera in the report."""

    visit: Visit
    advice: tuple[Advice, ...]  # most urgent first

    @property
    def attention(self) -> str:
        """The most urgent thing; ``ok`` if there is none."""
        return self.advice[0].code if self.advice else OK


@dataclass(frozen=True)
class Fleet:
    """A plant's cameras."""

    plant: Path  # their folder
    output: Path  # folder of their models
    lines: tuple[CameraReport, ...]  # those that need attention come first

    @property
    def failed(self) -> bool:
        """Whether any camera has failed."""
        return any(line.visit.outcome == FAILED for line in self.lines)


def fit_many(
    plant: str | Path,
    output: str | Path,
    *,
    method: str = "softpatch",
    depth: int | None = None,
    only: Sequence[str] = (),
    check: bool = False,
    force: bool = False,
    strict: bool = False,
    jobs: int = 1,
    command: str | None = None,
    finished: Finished | None = None,
    left_out: LeftOut | None = None,
    progress: Progress = silent,
    **options: Any,
) -> Fleet:
    """Fit one detector a camera, and say which cameras need attention.

    A camera is not fitted again while its pictures (names, sizes, times), the options and the
    backbone's weights are the same, nor if its new pictures look different from those its model was
    fitted on. A camera that fails does not stop the others. Models are written whole or not at all;
    after a kill, the same call continues.

    Args:
        plant: folder of the cameras.
        output: folder of the models, ``output/CAMERA.softpatch``; made if need be.
        method: its name on the command line.
        depth: see ``find_cameras``.
        only: names of cameras to do; all if empty.
        check: fit nothing, only compare new pictures with the existing models.
        force: fit even if nothing has changed, or the new pictures look different.
        strict: a camera with an unreadable picture fails.
        jobs: cameras at a time, each in its own process.
        command: the command that repeats this, for the report's advice.
        finished: called with the visits just done and the number of all cameras; first with those
            that needed no work.
        left_out: takes what is no camera's picture, and why.
        progress: called with the steps of the camera being fitted; never with several jobs.
        options: of the method. Without ``max_false_alarms`` there is no threshold and no
            comparison of scores.

    Raises:
        DatasetError: no such folder, or no camera in it.
        UsageError: options that do not fit, no camera of that name, or ``output`` is no folder.
        BackboneError: the backbone's weights are not available.
        BusyError: another process is fitting this fleet.
    """
    check_all(jobs=jobs, depth=depth)
    plant, output = Path(plant), Path(output)
    check_folder(output)
    settings = FleetSettings(output, method, options, check, force, strict)
    cameras = find_cameras(plant, depth, left_out)
    names = {camera.name for camera in cameras}
    wanted = {name.rstrip("/") for name in only}
    for name in sorted(wanted - names):
        raise UsageError(f"no camera is called {name!r} in {plant}")
    chosen = [camera for camera in cameras if not only or camera.name in wanted]
    if not check:
        settings.detector()  # wrong options are no camera's fault
        output.mkdir(parents=True, exist_ok=True)
    with nullcontext() if check else changing(output):
        visits = [] if only else _gone(plant, output, names)
        total = len(chosen) + len(visits)
        unchanged = {camera: visit_unchanged(camera, settings) for camera in chosen}
        finished = finished or (lambda *_: None)
        visits += [done for done in unchanged.values() if done is not None]
        finished(visits, total)
        waiting = [camera for camera, done in unchanged.items() if done is None]
        for done in _visits(waiting, settings, jobs, progress):
            visits.append(done)
            finished([done], total)
    again = command or f"softpatch fit-many {plant} -o {output}"
    lines = [CameraReport(done, tuple(advise(done, again))) for done in visits]
    return Fleet(plant, output, tuple(sorted(lines, key=_urgency)))


def _visits(
    cameras: Sequence[Camera], settings: FleetSettings, jobs: int, progress: Progress
) -> Iterator[Visit]:
    """Visit cameras, in this process or in several; yields each as it is done."""
    if jobs == 1:
        return (visit(camera, settings, progress) for camera in cameras)

    def without_result(camera: Camera, error: BaseException) -> Visit:
        model = settings.model(camera)
        return Visit(camera.name, camera.folder, model, FAILED, error=str(error))

    one = partial(visit, settings=settings)
    return in_processes(one, cameras, jobs, torch.get_num_threads(), without_result)


def _gone(plant: Path, output: Path, names: set[str]) -> list[Visit]:
    """Visits of cameras that have a model but no pictures any more."""
    found = []
    for record in sorted(output.rglob(f"*{SUFFIX}")):
        name = record.relative_to(output).as_posix().removesuffix(SUFFIX)
        model = output / f"{name}{MODEL}"
        if name not in names and model.is_file():
            found.append(Visit(name, plant / name, model, GONE))
    return found


def _urgency(line: CameraReport) -> tuple[int, float, str]:
    learned = line.visit.learned
    bad = learned.contamination if learned is not None else None
    order = [*CODES, OK]
    return order.index(line.attention), -(bad or 0.0), line.visit.camera
