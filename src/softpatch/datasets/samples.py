"""Samples and categories, into which every data set is read, and their masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from softpatch.datasets.annotations import is_annotations, read_annotated
from softpatch.datasets.names import GOOD as GOOD
from softpatch.errors import DatasetError
from softpatch.images.masks import read_marks


@dataclass(frozen=True)
class Sample:
    """One picture of a data set.

    Attributes:
        path: of the picture.
        kind: ``good`` or the defect's name.
        masks: files whose union marks the defective pixels, images or what an annotation tool has
            exported; empty if unknown.
        mask_threshold: grey value, 0 to 255, above which a mask's pixel is defective. Most sets
            draw in white and blur the edges; sets that store a defect's number have 0.
    """

    path: Path
    kind: str
    masks: tuple[Path, ...] = ()
    mask_threshold: int = 127

    @property
    def defective(self) -> bool:
        """Whether the picture shows a defect."""
        return self.kind != GOOD


@dataclass(frozen=True)
class Category:
    """One product: good training pictures, and good and defective test pictures.

    Attributes:
        name: as in ``Dataset.categories``.
        folder: all pictures are below it.
        train: good pictures.
        test: good and defective pictures.
        unused: files left out because their counterpart is missing: a mask without its picture, or
            a picture without the label that says whether it is good.
        passed_over: folders of pictures that are neither good nor a kind of defect by their names.
        unmatched: what annotation tools have exported that is of no use, a line each.
    """

    name: str
    folder: Path
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    unused: tuple[Path, ...] = ()
    passed_over: tuple[Path, ...] = ()
    unmatched: tuple[str, ...] = ()

    @property
    def defects(self) -> tuple[Sample, ...]:
        """The defective test pictures."""
        return tuple(sample for sample in self.test if sample.defective)


def marks_in(path: Path, sample: Sample) -> npt.NDArray[np.bool_]:
    """``(h, w)`` bool, what one of a sample's masks marks.

    Raises:
        ImageError: it cannot be read.
        DatasetError: it is of an annotation tool, and damaged.
        MissingExtraError: it is of an annotation tool, and what reads it is not installed.
    """
    if not is_annotations(path):
        return read_marks(path, str(path), sample.mask_threshold)
    marked = read_annotated(path, sample.path)
    if marked is None:
        raise DatasetError(f"{path}: does not mark {sample.path.name} any more")
    return marked


def read_mask(sample: Sample, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """``(H, W)`` bool, the defective pixels of a picture of that size: the union of its masks.

    See ``softpatch.images.masks``. Without masks no pixel is defective.

    Raises:
        ImageError: a mask cannot be read.
        DatasetError: a mask's size is not its picture's, or annotations are damaged.
        MissingExtraError: what reads annotations is not installed.
    """
    defective = np.zeros(size, dtype=bool)
    for path in sample.masks:
        mask = marks_in(path, sample)
        if mask.shape != size:
            raise misfit(path, mask.shape, size)
        defective |= mask
    return defective


def misfit(path: Path, shape: tuple[int, ...], size: tuple[int, int]) -> DatasetError:
    """The error of a mask whose size is not its picture's."""
    return DatasetError(f"{path}: is {shape} pixels, its picture {size} (height, width)")
