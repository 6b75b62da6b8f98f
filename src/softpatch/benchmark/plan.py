"""From a grid to its cells, and to the fits that serve them.

Cells share a fit when they train on the same images: both policies of a draw, every kind at noise
0, and the oracle, which trains without the injected images, at every noise.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

import softpatch
from softpatch.benchmark.grid import Grid, Method, Source
from softpatch.benchmark.results import ORACLE
from softpatch.datasets import Category, Dataset, open_dataset
from softpatch.errors import UsageError

CLEAN = "clean"  # the kind of a training set without injected images


@dataclass(frozen=True)
class Fit:
    """One training: a detector, and the images it learns from."""

    root: str
    layout: str | None
    category: str
    method: Method
    kind: str
    noise: float
    seed: int


@dataclass(frozen=True)
class Cell(Fit):
    """One row of the results."""

    policy: str
    pixel_at: str

    @property
    def dataset(self) -> str:
        """The name of the data set's folder."""
        return Path(self.root).resolve().name

    @property
    def fit(self) -> Fit:
        """The training that serves this cell."""
        clean = self.noise == 0 or self.method.name == ORACLE
        kind, noise = (CLEAN, 0.0) if clean else (self.kind, self.noise)
        method = Method(self.method.detector, self.method.options)
        return Fit(self.root, self.layout, self.category, method, kind, noise, self.seed)

    @property
    def overlap(self) -> bool:
        """Whether the injected images stay in the test set."""
        return self.policy == "overlap"

    @property
    def command(self) -> str:
        """The command that repeats this cell alone."""
        words = ["softpatch", "benchmark", "--data", self.root]
        words += ["--layout", self.layout] if self.layout else []
        words += ["--categories", self.category, "--methods", self.method.name]
        words += ["--noise", f"{self.noise:g}", "--policy", self.policy, "--kinds", self.kind]
        words += ["--seeds", str(self.seed), "--pixel-at", self.pixel_at]
        for name, value in self.method.options:
            text = value if isinstance(value, str) else json.dumps(value)
            words += ["--set", f"{name}={text}"]
        return shlex.join([*words, "-o", "OUT"])

    def key(self, fingerprint: str, device: str) -> str:
        """The key of its result, which changes with images, weights and code."""
        deciding = {
            "code": [code_hash(), torch.__version__, device],
            "pictures": fingerprint,
            "category": self.category,
            "method": self.method.name,
            "options": [
                [name, [value, _stamp(Path(value))] if name == "weights" else value]
                for name, value in self.method.options
            ],
            "draw": [self.kind, self.noise, self.policy, self.seed, self.pixel_at],
        }
        return hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:32]


def plan(grid: Grid) -> list[Cell]:
    """Every cell of the grid, in the order of the results.

    DatasetError for a folder that is no data set, UsageError for a category that is not there.
    """
    axes = (grid.methods, grid.kinds, grid.noise, grid.policies, grid.seeds)
    cells = (
        Cell(source.root, source.layout, category, method, kind, noise, seed, policy, grid.pixel_at)
        for source in grid.data
        for category in categories(source)
        for method, kind, noise, policy, seed in itertools.product(*axes)
    )
    return list(dict.fromkeys(cells))


def categories(source: Source) -> tuple[str, ...]:
    """The categories wanted of a source, or all that are there."""
    there = dataset(source.root, source.layout).categories
    if missing := [name for name in source.categories if name not in there]:
        raise UsageError(
            f"{source.root}: has no category {missing[0]!r}; it has {', '.join(there)}"
        )
    return source.categories or there


@cache
def dataset(root: str, layout: str | None) -> Dataset:
    """The data set of a root, opened once per process."""
    return open_dataset(Path(root), layout)


@cache
def read_category(root: str, layout: str | None, name: str) -> Category:
    """A category, read once per process."""
    return dataset(root, layout).read(name)


def fingerprint(category: Category) -> str:
    """Changes when an image or mask is added, removed or rewritten; opens none of them."""
    digest = hashlib.sha256()
    for sample in (*category.train, *category.test):
        for path in (sample.path, *sample.masks):
            name = os.path.relpath(path, category.folder)
            digest.update(repr((name, sample.kind, _stamp(path))).encode())
    return digest.hexdigest()


@cache
def code_hash() -> str:
    """A hash of all code of this package that results depend on."""
    digest = hashlib.sha256()
    package = Path(softpatch.__file__).parent
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name.parts[0] not in ("benchmark", "cli"):
            digest.update(name.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of writing; None where there is no such file."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns
