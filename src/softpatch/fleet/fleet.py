"""The fleet: every camera of a plant, kept up with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from softpatch.compute.processes import worker_processes
from softpatch.compute.progress import Progress, silent
from softpatch.errors import UsageError
from softpatch.fleet.advice import CODES, OK, Advice, advise
from softpatch.fleet.cameras import Camera, find_cameras
from softpatch.fleet.fitting import MODEL, FleetSettings, look_up, visit
from softpatch.fleet.record import SUFFIX
from softpatch.fleet.visit import FAILED, GONE, Visit

Finished = Callable[[Sequence[Visit], int], None]


@dataclass(frozen=True)
class CameraReport:
    """One camera in the report.

    Attributes:
        visit: what has become of it.
        advice: what it needs, most urgent first.
    """

    visit: Visit
    advice: tuple[Advice, ...]

    @property
    def attention(self) -> str:
        """The most urgent thing; ``ok`` if there is none."""
        return self.advice[0].code if self.advice else OK


@dataclass(frozen=True)
class Fleet:
    """A plant's cameras.

    Attributes:
        plant: their folder.
        output: folder of their models.
        lines: those that need attention first.
    """

    plant: Path
    output: Path
    lines: tuple[CameraReport, ...]

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
    progress: Progress = silent,
    **options: Any,
) -> Fleet:
    """Fit one detector a camera, and say which cameras need attention.

    A camera is not fitted again while its pictures (names, sizes, times), the options and the
    backbone's weights are the same, nor if its new pictures look different to the model that it
    has. What goes wrong with one camera does not stop the others. Models are written whole or not
    at all; stopped anywhere, the same call goes on.

    Args:
        plant: folder of the cameras.
        output: where models go, as ``output/CAMERA.softpatch``; made if need be.
        method: as the command line names it.
        depth: see ``find_cameras``.
        only: names of the cameras to look at; all of them if empty.
        check: fit nothing, only compare new pictures with the models that there are.
        force: fit again whatever has or has not changed.
        strict: a camera with an unreadable picture fails.
        jobs: cameras at a time, each in a process of its own.
        command: that repeats this, for the report's advice.
        finished: called with the cameras that have just been done and the number of all; first
            with those that there was nothing to do for.
        progress: told of the steps of the camera that is being fitted; with several jobs, nothing.
        options: of the method. Without ``max_false_alarms`` there is neither a threshold nor a
            comparison of scores.

    Raises:
        DatasetError: no such folder, or no camera in it.
        UsageError: options that do not fit, or no camera of that name.
        BackboneError: the backbone's weights cannot be had.
    """
    if jobs < 1:
        raise UsageError(f"jobs must be at least 1, got {jobs}")
    plant, output = Path(plant), Path(output)
    settings = FleetSettings(output, method, options, check, force, strict)
    cameras = find_cameras(plant, depth)
    names = {camera.name for camera in cameras}
    wanted = {name.rstrip("/") for name in only}
    for name in sorted(wanted - names):
        raise UsageError(f"no camera is called {name!r} in {plant}")
    chosen = [camera for camera in cameras if not only or camera.name in wanted]
    if not check:
        settings.detector()  # wrong options are no camera's fault
        output.mkdir(parents=True, exist_ok=True)
    visits = [] if only else _gone(plant, output, names)
    total = len(chosen) + len(visits)
    waiting = []
    for camera in chosen:
        done = look_up(camera, settings)
        if done is None:
            waiting.append(camera)
        else:
            visits.append(done)
    if finished is not None:
        finished(visits, total)
    for done in _visits(waiting, settings, jobs, progress):
        visits.append(done)
        if finished is not None:
            finished([done], total)
    again = command or f"softpatch fit-many {plant} -o {output}"
    lines = [CameraReport(done, tuple(advise(done, again))) for done in visits]
    return Fleet(plant, output, tuple(sorted(lines, key=_urgency)))


def _visits(
    cameras: Sequence[Camera], settings: FleetSettings, jobs: int, progress: Progress
) -> Iterator[Visit]:
    """Camera by camera as they are done, in this process or in several."""
    if jobs == 1:
        for camera in cameras:
            yield visit(camera, settings, progress)
        return
    with worker_processes(jobs, torch.get_num_threads()) as pool:
        waiting = {pool.submit(visit, camera, settings): camera for camera in cameras}
        for future in as_completed(waiting):
            error = future.exception()
            if error is None:
                yield future.result()
            else:  # the process died: out of memory, most likely
                camera = waiting[future]
                model = settings.output / f"{camera.name}{MODEL}"
                yield Visit(camera.name, camera.folder, model, FAILED, error=str(error))


def _gone(plant: Path, output: Path, names: set[str]) -> list[Visit]:
    """Cameras that were fitted once and have no pictures now."""
    found = []
    for record in sorted(output.rglob(f"*{SUFFIX}")):
        name = record.relative_to(output).as_posix().removesuffix(SUFFIX)
        model = output / f"{name}{MODEL}"
        if name not in names and model.is_file():
            found.append(Visit(name, plant / name, model, GONE))
    return found


def _urgency(line: CameraReport) -> tuple[int, float, str]:
    said = line.visit.learned
    bad = said.contamination if said is not None else None
    order = [*CODES, OK]
    return order.index(line.attention), -(bad or 0.0), line.visit.camera
