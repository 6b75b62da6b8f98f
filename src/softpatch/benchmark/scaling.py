"""Time and peak memory of each step against pictures, their size and the bank's size.

Each measurement runs in a process of its own, on pictures that are made when asked for, and without
the feature cache: it is what a first fit costs.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from softpatch.benchmark.grid import Grid, Method, listed, whole_numbers
from softpatch.benchmark.grown import GrownPictures
from softpatch.benchmark.machine import machine, reset_peak
from softpatch.benchmark.plan import categories, code_hash, fingerprint, options_json, read_category
from softpatch.benchmark.results import FAILED, OK, CellStore, Row
from softpatch.benchmark.step_clock import StepClock
from softpatch.detectors import make_detector
from softpatch.detectors.patchcore import MemoryBankDetector
from softpatch.errors import UsageError
from softpatch.evaluation.protocol import peak_memory_mb

PREDICTED = 20  # pictures
AXES = {"images": "images", "image_sizes": "image_size", "bank_sizes": "bank_size"}
STEPS = ("embed", "discriminate", "coreset", "gaussians")  # as progress calls them
MEASURED = {
    **{f"{step}_seconds": step for step in STEPS},
    "other_seconds": "rest of the fit",
    "fit_seconds": "whole fit",
    "predict_seconds_per_image": "predict a picture",
    "peak_memory_mb": "peak memory",
}
COLUMNS = (
    "category", "method", "options", "axis", "value", *AXES.values(), "status", "reason",
    *MEASURED, "bank_vectors", "device", "threads", "processor", "cores", "versions",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """What a measurement is made at; image size in pixels a side, bank size in vectors at most."""

    images: int
    image_size: int
    bank_size: int


@dataclass(frozen=True)
class Scaling:
    """Which sizes to measure.

    Attributes:
        axes: name of a field of ``Size`` -> its values.
        base: what the other fields are meanwhile.
    """

    axes: Mapping[str, tuple[int, ...]]
    base: Size = field(default_factory=lambda: Size(250, 224, 20_000))

    def sizes(self) -> Iterator[tuple[str, Size]]:
        """Every axis with every size on it."""
        for axis, values in self.axes.items():
            for value in values:
                yield axis, Size(**{**asdict(self.base), axis: value})


@dataclass(frozen=True)
class ScalingRun:
    """One fit of one method at one size."""

    root: str
    layout: str | None
    category: str
    method: Method
    size: Size
    device: str
    memory_limit: int | None
    threads: int

    @property
    def key(self) -> str:
        """What the result is kept under."""
        pictures = fingerprint(read_category(self.root, self.layout, self.category))
        deciding = [code_hash(), torch.__version__, pictures, machine(), repr(self)]
        return hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:32]


def read_scaling(content: Any) -> Scaling:
    """Check the ``scaling`` key of a grid.

    Raises:
        UsageError: a key or value that does not exist.
    """
    known = (*AXES, "base")
    if not isinstance(content, Mapping) or not set(content) <= set(known):
        raise UsageError(f"scaling: expected {', '.join(known)}, got {content!r}")
    axes = {
        AXES[key]: tuple(whole_numbers(key, value))
        for key, value in content.items()
        if key != "base" and listed(value)
    }
    base = content.get("base") or {}
    if not isinstance(base, Mapping) or not set(base) <= set(AXES.values()):
        raise UsageError(f"scaling: base has {', '.join(AXES.values())}, got {base!r}")
    values = {key: next(whole_numbers(key, value)) for key, value in base.items()}
    scaling = Scaling(axes, Size(**{**asdict(Scaling({}).base), **values}))
    for _, size in scaling.sizes():
        if size.images < 2 or min(size.image_size, size.bank_size) < 1:
            raise UsageError("scaling: at least 2 images, sizes and banks of at least 1")
    return scaling


def plan_scaling(
    grid: Grid, scaling: Scaling, *, device: str, memory_limit: int | None, threads: int
) -> list[tuple[str, ScalingRun]]:
    """Every method at every size, with the axis it belongs to.

    Args:
        grid: its methods, and the category whose pictures are repeated.
        scaling: the sizes.
        device: see ``Settings`` of ``run``.
        memory_limit: likewise.
        threads: likewise.

    Raises:
        UsageError: more than one category.
    """
    source = grid.data[0]
    names = categories(source)
    if len(grid.data) > 1 or len(names) > 1:
        raise UsageError(
            f"scaling repeats one category's pictures: name it with --categories, one of "
            f"{', '.join(names)}"
        )
    place = (source.root, source.layout, names[0])
    return [
        (axis, ScalingRun(*place, method, size, device, memory_limit, threads))
        for method in grid.methods
        for axis, size in scaling.sizes()
    ]


def run_scaling(
    work: Sequence[tuple[str, ScalingRun]],
    output: Path,
    *,
    finished: Callable[[Sequence[Row]], None],
) -> list[Row]:
    """Measure what is not kept in ``output`` yet; one row for each entry of ``work``.

    ``finished`` is called with the rows that were kept, then with each new one.
    """
    store = CellStore(output / "cells")
    keys = {measurement: measurement.key for _, measurement in work}
    kept = {each: row for each, key in keys.items() if (row := store.get(key)) is not None}

    def row_of(axis: str, measurement: ScalingRun) -> Row:
        value = getattr(measurement.size, axis)
        return {"axis": axis, "value": value, **kept[measurement]}

    finished([row_of(*entry) for entry in work if entry[1] in kept])
    for axis, measurement in work:
        if measurement not in kept:
            kept[measurement] = _in_own_process(measurement)
            if kept[measurement]["status"] == OK:
                store.put(keys[measurement], kept[measurement])
            finished([row_of(axis, measurement)])
    return [row_of(*entry) for entry in work]


def _in_own_process(measurement: ScalingRun) -> Row:
    row: Row = {
        "category": measurement.category,
        "method": measurement.method.name,
        "options": options_json(dict(measurement.method.options)),
        **asdict(measurement.size),
    }
    # torch does not survive a fork, and memory must not be inherited.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return {**row, "status": OK, "reason": "", **pool.submit(measure, measurement).result()}
        except Exception as error:  # out of memory, most likely
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return {**row, "status": FAILED, "reason": reason}


def measure(measurement: ScalingRun) -> Row:
    """Fit and predict once in this process."""
    torch.set_num_threads(measurement.threads)
    size = measurement.size
    options = measurement.method.arguments
    options |= {"resize": size.image_size, "crop": size.image_size}
    if measurement.method.detector != "padim":  # which has no bank
        options["bank_size"] = size.bank_size
    detector = make_detector(
        measurement.method.detector, **options, device=measurement.device,
        memory_limit=measurement.memory_limit,
    )  # fmt: skip
    _ = detector.preprocessing  # loads the network
    category = read_category(measurement.root, measurement.layout, measurement.category)
    paths = [sample.path for sample in category.train]
    training = GrownPictures(paths, size.images, size.image_size)
    unseen = GrownPictures(paths, PREDICTED, size.image_size, first=size.images)
    test = [unseen[index] for index in range(PREDICTED)]
    reset_peak()
    clock = StepClock()
    started = time.perf_counter()
    detector.fit(training, progress=clock)
    fit_seconds = time.perf_counter() - started
    started = time.perf_counter()
    for _ in detector.predict(test):
        pass
    predict_seconds = time.perf_counter() - started
    steps = clock.seconds()
    other = fit_seconds - sum(steps.values())
    steps["embed"] -= training.seconds  # which is the benchmark's own doing
    return {
        **{f"{step}_seconds": steps.get(step) for step in STEPS},
        "other_seconds": other,
        "fit_seconds": fit_seconds - training.seconds,
        "predict_seconds_per_image": predict_seconds / PREDICTED,
        "peak_memory_mb": peak_memory_mb(),
        "bank_vectors": len(detector.bank) if isinstance(detector, MemoryBankDetector) else None,
        "device": str(detector.device),
        "threads": measurement.threads,
        **machine(),
    }


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """The exponent b of the power law y = a·x^b that fits best, by least squares of logarithms.

    None with fewer than two different x, or where a y is 0.
    """
    if len({x for x, _ in points}) < 2 or min(y for _, y in points) <= 0:
        return None
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread
