"""Filling in the cells: one fit at a time, each serving all cells that train on its images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from softpatch.benchmark.grid import Method, Options
from softpatch.benchmark.machine import machine, reset_peak
from softpatch.benchmark.plan import Cell, Fit, dataset, fingerprint, read_category
from softpatch.benchmark.results import (
    CELLS,
    FAILED,
    IMPOSSIBLE,
    MANIFESTS,
    OK,
    CellStore,
    Row,
    write_tables,
)
from softpatch.compute.processes import in_processes
from softpatch.compute.progress import Progress, silent
from softpatch.datasets import Category, Contamination, contaminate
from softpatch.datasets.check import odd_masks
from softpatch.detectors import Detector, PaDiM, make_detector
from softpatch.errors import DatasetError, ImageError
from softpatch.evaluation.difficulty import rate_difficulty
from softpatch.evaluation.measurement import Measurement
from softpatch.evaluation.protocol import fit_and_predict, measure
from softpatch.features.cache import CachedExtractor, MapFolder
from softpatch.features.presets import FeatureConfig
from softpatch.runtime.prediction import Prediction


@dataclass(frozen=True)
class RunSettings:
    """How a grid is run; its results do not depend on it, but for the device."""

    output: Path  # folder of the results
    features: Path | None  # folder of the feature cache; None does without
    features_limit: int  # bytes it may hold
    device: str  # see ``CommonOptions``
    memory_limit: int | None  # likewise
    jobs: int  # fits at a time, each in a process of its own
    threads: int  # of torch, for all of them together
    allow_empty_masks: bool = False  # see ``require_marks``


Finished = Callable[[Sequence[Row]], None]
# The cells of each fit -> their rows, fit by fit as they finish; ``run_fits``, or on a cluster.
Runner = Callable[[Sequence[Sequence[Cell]], RunSettings, Progress], Iterator[Mapping[Cell, Row]]]


def run_fits(
    work: Sequence[Sequence[Cell]], settings: RunSettings, progress: Progress
) -> Iterator[Mapping[Cell, Row]]:
    """Fill in the cells in this process or, with several jobs, in processes of their own."""
    if settings.jobs == 1:
        return (run_fit(cells, settings, progress) for cells in work)

    def without_result(cells: Sequence[Cell], error: BaseException) -> dict[Cell, Row]:
        return {cell: lost(cell, error) for cell in cells}

    fit = partial(run_fit, settings=settings)
    return in_processes(fit, work, settings.jobs, settings.threads, without_result)


def run_cells(
    cells: Sequence[Cell],
    settings: RunSettings,
    *,
    finished: Finished,
    progress: Progress = silent,
    runner: Runner = run_fits,
) -> list[Row]:
    """Fill in every cell, reusing those kept in ``settings.output``, and write the tables.

    ``finished`` is called with the rows of each fit, those that were kept first; ``progress`` with
    the steps of the fit that is running, with several jobs never.

    Returns:
        one row per cell, in order; a cell that could not be filled in says why.

    Raises:
        DatasetError: masks that mark nothing, see ``require_marks``.
        MissingExtraError: what reads annotations is not installed.
    """
    store = CellStore(settings.output / CELLS)
    keys = {cell: cell.key(_fingerprint(cell), settings.device) for cell in cells}
    rows = {cell: row for cell in cells if (row := store.get(keys[cell])) is not None}
    missing = [cell for cell in cells if cell not in rows]
    for place in dict.fromkeys((cell.root, cell.layout, cell.category) for cell in missing):
        try:
            category = read_category(*place)
        except DatasetError:  # its cells say so
            continue
        odd = odd_masks(category)
        if odd.fault is None:
            odd.require_marks(settings.allow_empty_masks)
        else:
            at_fault = [
                cell for cell in missing if (cell.root, cell.layout, cell.category) == place
            ]
            rows |= {cell: lost(cell, odd.fault) for cell in at_fault}
    finished(list(rows.values()))
    pending: dict[Fit, list[Cell]] = {}
    for cell in (cell for cell in missing if cell not in rows):
        pending.setdefault(cell.fit, []).append(cell)
    try:
        for served in runner(list(pending.values()), settings, progress):
            for cell, row in served.items():
                rows[cell] = row
                if row["status"] == OK:  # the others are tried again next time
                    store.put(keys[cell], row)
            finished(list(served.values()))
    finally:  # when stopped, too
        write_tables(settings.output, [rows[cell] for cell in cells if cell in rows])
    return [rows[cell] for cell in cells]


def run_fit(
    cells: Sequence[Cell], settings: RunSettings, progress: Progress = silent
) -> dict[Cell, Row]:
    """Fit once and fill in all cells served by it; errors become rows."""
    rows: dict[Cell, Row] = {}
    draws: dict[Cell, Contamination] = {}
    for cell in cells:
        try:
            draws[cell] = _draw(cell, settings)
        except Exception as error:
            rows[cell] = lost(cell, error)
    if draws:
        try:
            rows |= _fit_and_measure(draws, settings, progress)
        except Exception as error:
            rows |= {cell: lost(cell, error) for cell in draws}
    return rows


def _fit_and_measure(
    draws: Mapping[Cell, Contamination], settings: RunSettings, progress: Progress
) -> dict[Cell, Row]:
    fit = next(iter(draws)).fit
    category = read_category(fit.root, fit.layout, fit.category)
    detector = _detector(fit.method, fit.seed, settings)
    training = next(iter(draws.values())).train[: None if fit.noise else len(category.train)]
    # The whole test set for all cells: the last bits of scores depend on what else is scored.
    tested = [sample.path for sample in category.test]
    measurements = {
        cell: Measurement(detector, draw.test, cell.pixel_at) for cell, draw in draws.items()
    }

    def take(prediction: Prediction) -> None:
        for measurement in measurements.values():
            measurement.add(prediction)

    skipped: list[ImageError] = []
    reset_peak()
    computed = _computed(detector)
    costs = fit_and_predict(
        detector, training, tested, take, on_unreadable=skipped.append, progress=progress
    )
    about = {
        "fit_shared_by": len(draws),
        "pictures_embedded": _computed(detector) - computed,
        "device": str(detector.device),
        "threads": torch.get_num_threads(),
        **machine(),
    }
    return {
        cell: {
            **_identity(cell),
            "status": OK,
            "reason": "; ".join(_notes(draw, skipped)),
            **measure(cell.method.name, detector, draw, measurements[cell], costs).as_dict(),
            "manifest": _manifest(cell),
            **about,
            "command": cell.command,
        }
        for cell, draw in draws.items()
    }


def _draw(cell: Cell, settings: RunSettings) -> Contamination:
    """The cell's contamination, written down as its manifest."""
    category = read_category(cell.root, cell.layout, cell.category)
    draw = contaminate(
        category, cell.noise, overlap=cell.overlap, seed=cell.seed, kind=cell.kind,
        others=_others(cell), difficulty=_difficulty(cell, settings),
    )  # fmt: skip
    path = settings.output / _manifest(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw.write_manifest(path)
    return draw


def _difficulty(cell: Cell, settings: RunSettings) -> Mapping[Path, float] | None:
    """How hard each defective image is, for the one kind that needs it; as in ``evaluate``."""
    if cell.kind != "difficult":
        return None
    taken = {name: value for name, value in cell.method.options if name in PaDiM.option_names()}
    return _rate(cell.root, cell.layout, cell.category, tuple(taken.items()), cell.seed, settings)


@cache
def _rate(
    root: str, layout: str | None, category: str, options: Options, seed: int, settings: RunSettings
) -> Mapping[Path, float]:
    detector = _detector(Method("padim", options), seed, settings)
    unreadable: list[ImageError] = []  # the cell's own fit names them
    return rate_difficulty(
        read_category(root, layout, category), detector, on_unreadable=unreadable.append
    )


def _detector(method: Method, seed: int, settings: RunSettings) -> Detector:
    """Unfitted, with the extractor that all detectors of the same features share."""
    detector = make_detector(
        method.detector, **method.arguments, seed=seed,
        device=settings.device,
        memory_limit=settings.memory_limit,
    )  # fmt: skip
    detector.share_extractor(_extractor(detector.features, detector.device, settings))
    return detector


def _computed(detector: Detector) -> int:
    """How many images its network has seen, at the shape it is shown them."""
    extractor = detector.extractor
    assert isinstance(extractor, CachedExtractor)
    return extractor.computed


def _others(cell: Cell) -> list[Category]:
    if cell.kind != "other-category":
        return []
    names = dataset(cell.root, cell.layout).categories
    return [read_category(cell.root, cell.layout, name) for name in names if name != cell.category]


def _manifest(cell: Cell) -> str:
    """Where the cell's draw is written down, below the results."""
    name = f"{cell.kind}-{cell.noise:g}-{cell.policy}-seed{cell.seed}.json"
    return f"{MANIFESTS}/{cell.dataset}/{cell.category}/{name}"


@cache
def _extractor(
    config: FeatureConfig, device: torch.device, settings: RunSettings
) -> CachedExtractor:
    features = settings.features
    kept = MapFolder(features, settings.features_limit) if features is not None else None
    return CachedExtractor(config, device, kept, settings.threads)


def _notes(draw: Contamination, skipped: Sequence[ImageError]) -> Iterator[str]:
    """What a reader of the row should know."""
    defects = [sample for sample in draw.test if sample.defective]
    unmasked = sum(not sample.masks for sample in defects)
    if not defects:
        yield "no defective pictures are left in the test set"
    if unmasked:
        yield f"pixel metrics leave out {unmasked} defective pictures without a mask"
    if skipped:
        yield f"skipped {len(skipped)} unreadable pictures, the first of them {skipped[0]}"


def lost(cell: Cell, error: BaseException) -> Row:
    """The row of a cell that could not be filled in: ``impossible`` where the data is at fault."""
    reason = " ".join(str(error).split()) or type(error).__name__
    status = IMPOSSIBLE if isinstance(error, DatasetError | ImageError) else FAILED
    if status == FAILED:
        reason = f"{type(error).__name__}: {reason}"
    return {**_identity(cell), "status": status, "reason": reason, "command": cell.command}


def _identity(cell: Cell) -> dict[str, Any]:
    return {
        "dataset": cell.dataset,
        "category": cell.category,
        "method": cell.method.name,
        "options": json.dumps(dict(cell.method.options), ensure_ascii=False),
        "kind": cell.kind,
        "noise": cell.noise,
        "policy": cell.policy,
        "seed": cell.seed,
        "pixel_at": cell.pixel_at,
    }


def _fingerprint(cell: Cell) -> str:
    """A hash of the cell's images; empty where they cannot be read, which the cell's row says."""
    try:
        others = [fingerprint(other) for other in _others(cell)]
        return _category_fingerprint(cell.root, cell.layout, cell.category) + "".join(others)
    except (DatasetError, OSError):
        return ""


@cache
def _category_fingerprint(root: str, layout: str | None, name: str) -> str:
    return fingerprint(read_category(root, layout, name))
