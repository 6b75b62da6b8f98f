"""Adds bad pictures to a clean training set (METHOD: contamination)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from softpatch.datasets.contamination import kinds
from softpatch.datasets.contamination.pictures import augmented, badly_taken, fault_of
from softpatch.datasets.samples import Category, Sample
from softpatch.errors import DatasetError, UsageError
from softpatch.images.image_source import ImageSource
from softpatch.ranges.table import check
from softpatch.runtime.files import write_atomically
from softpatch.runtime.intensity import Intensity
from softpatch.runtime.targets import check_target
from softpatch.storage.targets import is_manifest


@dataclass(frozen=True)
class Contamination:
    """A training set with known bad pictures in it, and the pictures left to test on.

    Attributes:
        category: the clean data.
        noise: injected pictures as a share of the clean ones.
        overlap: whether injected test pictures stay in the test set: the hard case, as the same
            defect recurs.
        seed: of the draw.
        injected: the bad pictures added to ``category.train``; the ``kind`` of each says what is
            wrong with it: its defect, its own category or its capture fault.
        augment: whether injected pictures are randomly rotated, shifted, scaled and flipped.
        kind: of contamination, one of ``KINDS``.
    """

    category: Category
    noise: float
    overlap: bool
    seed: int
    injected: tuple[Sample, ...]
    augment: bool = False
    kind: str = "defects"

    @property
    def policy(self) -> str:
        """``overlap`` or ``no-overlap``."""
        return "overlap" if self.overlap else "no-overlap"

    @property
    def test(self) -> tuple[Sample, ...]:
        """The test pictures under the policy."""
        if self.overlap:
            return self.category.test
        injected = {sample.path for sample in self.injected}
        return tuple(sample for sample in self.category.test if sample.path not in injected)

    @property
    def train(self) -> list[ImageSource]:
        """All training pictures, the injected ones last; no two have the same name."""
        clean = [ImageSource(str(sample.path), sample.path) for sample in self.category.train]
        return clean + [self._source(*entry) for entry in enumerate(self.injected)]

    @property
    def injected_names(self) -> tuple[str, ...]:
        """Names of the injected pictures in ``train``; those of changed pictures say how."""
        return tuple(source.name for source in self.train[len(self.category.train) :])

    def write_manifest(self, path: Path) -> None:
        """Write the draw to a file, so that ``read_manifest`` can repeat it anywhere.

        Raises:
            UsageError: something else than a manifest is there.
            OSError: it cannot be written.
        """
        check_target(path, is_manifest)
        manifest = {
            "category": self.category.name,
            "noise": self.noise,
            "policy": self.policy,
            "seed": self.seed,
            "augment": self.augment,
            "kind": self.kind,
            "n_clean": len(self.category.train),
            "injected": [_portable(sample, self.category) for sample in self.injected],
        }
        write_atomically(path, (json.dumps(manifest, indent=2) + "\n").encode())

    def _source(self, index: int, sample: Sample) -> ImageSource:
        path = sample.path
        if self.kind == "capture-faults":
            taken = partial(badly_taken, path, sample.kind, self.seed, index, self._intensity)
            return ImageSource(f"{path} ({sample.kind})", taken)
        if self.kind == "near-duplicates" or self.augment:
            how = f"copy {index}" if self.kind == "near-duplicates" else "augmented"
            made = partial(augmented, path, self.seed, index, self._intensity)
            return ImageSource(f"{path} ({how})", made)
        return ImageSource(str(path), path)

    @cached_property
    def _intensity(self) -> Intensity:
        """What a fit on the clean pictures takes for black and white: changed ones have 8 bits."""
        # Only here: it needs torch, and looking at data sets does not.
        from softpatch.images.value_range import seen_intensity

        return seen_intensity([ImageSource(str(one.path), one.path) for one in self.category.train])


def contaminate(
    category: Category,
    noise: float,
    *,
    overlap: bool,
    seed: int,
    augment: bool = False,
    kind: str = "defects",
    others: Sequence[Category] = (),
    difficulty: Mapping[Path, float] | None = None,
) -> Contamination:
    """Draw ``int(noise * N_clean)`` bad pictures.

    Args:
        category: its training set is contaminated.
        noise: injected pictures as a share of the clean ones.
        overlap: keep injected test pictures in the test set.
        seed: of the draw and of the changes to pictures.
        augment: change injected pictures a little.
        kind: one of ``KINDS``; docs/contamination.md describes them.
        others: for ``other-category``: categories to draw from, except the category itself.
        difficulty: for ``difficult``: how hard each defective picture is to tell from good ones,
            larger is harder; from ``evaluation.difficulty.rate_difficulty``.

    Raises:
        UsageError: a noise ratio below 0, an unknown kind, or a kind whose argument is missing.
        DatasetError: fewer pictures than needed; the message names the largest ratio.
    """
    noise, seed = check("noise", noise), check("seed", seed)
    if kind == "difficult" and difficulty is None:
        raise UsageError("contamination kind 'difficult' needs the pictures' difficulty")
    if kind == "capture-faults" and augment:
        raise UsageError("contamination kind 'capture-faults' cannot be augmented as well")
    clean = len(category.train)
    count = int(noise * clean + 1e-9)  # 0.29 * 100 is 28.999999999999996
    choice = kinds.pools(category, kind, others, difficulty)
    most = kinds.largest_count(kind, choice)
    if count > most:
        raise DatasetError(
            f"{category.name}: noise {noise:g} needs {count} {kinds.NOUNS[kind]} of {most:g}; "
            f"the largest possible ratio is {_ratio(most, clean):g}"
        )
    injected = _labelled(kind, kinds.pick(kind, choice, count, seed), seed)
    return Contamination(category, noise, overlap, seed, injected, augment, kind)


def largest_noise(category: Category, kind: str, others: Sequence[Category] = ()) -> float:
    """The largest noise ratio ``contaminate`` can draw; infinite for copies of one picture.

    ``mild`` reads the defective pictures and masks, once a process. ``difficult`` assumes that
    every defective picture is rated.

    Raises:
        UsageError: no kind has that name.
    """
    return _ratio(
        kinds.largest_count(kind, kinds.pools(category, kind, others)), len(category.train)
    )


def read_manifest(path: Path, category: Category, others: Sequence[Category] = ()) -> Contamination:
    """Repeat a draw from its manifest.

    Args:
        path: of the manifest.
        category: the one it was drawn for; its folder may have moved.
        others: as given to ``contaminate``.

    Raises:
        DatasetError: the manifest is damaged, or belongs to another data set.
    """
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        names, clean = manifest["injected"], manifest["n_clean"]
        noise, seed = float(manifest["noise"]), int(manifest["seed"])
        overlap = {"overlap": True, "no-overlap": False}[manifest["policy"]]
        augment, kind = bool(manifest["augment"]), manifest.get("kind", "defects")
        if kind not in kinds.KINDS:
            raise ValueError(f"no contamination kind is called {kind!r}")
        distinct = len(set(names)) == len(names) or kind == "near-duplicates"
        if not all(isinstance(name, str) for name in names) or not distinct:
            raise ValueError("injected pictures must be names, each once")
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such manifest") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{path}: not a contamination manifest ({error!r})") from error
    known = {
        _portable(sample, category): sample for sample in kinds.candidates(category, kind, others)
    }
    if missing := [name for name in names if name not in known]:
        place = "none of the other categories" if kind == "other-category" else category.folder
        raise DatasetError(f"{path}: names {missing[0]}, which {place} does not have")
    if clean != len(category.train):
        raise DatasetError(
            f"{path}: was drawn for {clean} clean pictures, {category.folder} has "
            f"{len(category.train)}"
        )
    injected = _labelled(kind, tuple(known[name] for name in names), seed)
    return Contamination(category, noise, overlap, seed, injected, augment, kind)


def _labelled(kind: str, injected: tuple[Sample, ...], seed: int) -> tuple[Sample, ...]:
    """For ``capture-faults``, the pictures with their fault as kind."""
    if kind != "capture-faults":
        return injected
    return tuple(
        Sample(sample.path, fault_of(seed, index)) for index, sample in enumerate(injected)
    )


def _portable(sample: Sample, category: Category) -> str:
    """The picture's path relative to the category's folder, even if it is outside it."""
    return Path(os.path.relpath(sample.path, category.folder)).as_posix()


def _ratio(count: float, clean: int) -> float:
    """The ratio rounded down to four digits, so that it can be drawn."""
    return float(np.floor(count / clean * 1e4) / 1e4)
