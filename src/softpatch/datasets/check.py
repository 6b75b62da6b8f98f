"""Finds problems of a data set on disk before anything is measured on it."""

from __future__ import annotations

import warnings
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softpatch.compute.progress import Progress, silent
from softpatch.datasets.dataset import Dataset
from softpatch.datasets.samples import Category, Sample, marks_in, misfit
from softpatch.errors import DatasetError, ImageError
from softpatch.images.masks import OddMaskWarning
from softpatch.runtime.errors import printable
from softpatch.runtime.files import file_digest
from softpatch.runtime.images import file_size
from softpatch.runtime.listing import LINKED, NOT_READ, OWN, SYSTEM, LeftOut, walk

NAMED = 5  # files that a finding lists; the others are counted
COUNTS = ("train", "good", "defective", "masked")

# Of 392 magnetic tiles with defects 4 have masks that mark nothing; where more have, masks are
# rather read in another way than they were meant.
FEW_EMPTY = 50
BLANK, WHOLE = "mask(s) of defective pictures mark no pixel", "mask(s) mark every pixel"


def survey(dataset: Dataset, progress: Progress = silent) -> dict[str, Any]:
    """What a data set holds and what is wrong with it, for JSON.

    Returns:
        ``root``, ``layout`` and ``categories``: of each the name as ``category``, the number of
        images by ``COUNTS`` and ``problems``. A category that cannot be read has None for each
        number, and the reason as its problem.
    """
    categories: list[dict[str, Any]] = []
    for done, name in enumerate(dataset.categories, start=1):
        numbers: Sequence[int | None] = [None] * len(COUNTS)
        try:
            category = dataset.read(name)
            problems, defects = find_problems(category), category.defects
            masked = sum(bool(sample.masks) for sample in defects)
            good = len(category.test) - len(defects)
            numbers = (len(category.train), good, len(defects), masked)
        except DatasetError as error:
            problems = [str(error)]
        counts = dict(zip(COUNTS, numbers, strict=True))
        categories.append({"category": name, **counts, "problems": problems})
        progress("checking", done, len(dataset.categories))
    return {"root": str(dataset.root), "layout": dataset.layout.name, "categories": categories}


def find_problems(category: Category) -> list[str]:
    """Everything about a category that makes measurements on it less reliable, one line each.

    Masks are decoded; pictures are not, but files of the same size are compared byte for byte.
    """
    samples = (*category.train, *category.test)
    gone = [sample.path for sample in samples if not sample.path.is_file()]
    return [
        *remarks(category),
        *_listed(category, "file(s) missing", gone),
        *_without_mask(category),
        *_listed(category, "file(s) left out, their counterpart is missing", category.unused),
        *odd_masks(category).lines(),
        *_in_both_halves(category),
    ]


def remarks(category: Category) -> list[str]:
    """What is left out of a category, or missing, by the names of its folders and files."""
    left_out = LeftOut()
    deque(walk(category.folder, left_out, locked=lambda *_: None), maxlen=0)
    unread = left_out.only(NOT_READ, OWN, SYSTEM, LINKED)
    return [
        *_halves(category),
        *_listed(category, "folder(s) left out, no kind of defect", category.passed_over),
        *category.unmatched,
        *([f"left out: {unread}"] if unread else []),
    ]


def _halves(category: Category) -> list[str]:
    defective = len(category.defects)
    if not defective:
        return ["no defective pictures to test on"]
    if defective < len(category.test):
        return []
    kinds = sorted({sample.kind for sample in category.defects})
    shown = ", ".join(kinds[:NAMED]) + (", ..." if len(kinds) > NAMED else "")
    return [f"no good pictures to test on: by their folders, all are defects ({shown})"]


def _without_mask(category: Category) -> list[str]:
    unmasked = [sample.path for sample in category.defects if not sample.masks]
    if unmasked and len(unmasked) == len(category.defects):
        return ["no masks: nothing can be measured by pixel"]
    return _listed(category, "defective picture(s) without a mask", unmasked)


@dataclass
class OddMasks:
    """Masks of a category's defective test pictures, by what is wrong with them.

    Attributes:
        category: theirs.
        unreadable: files that cannot be read.
        misfit: of another size than their picture.
        blank: of pictures of which they mark nothing.
        whole: that mark every pixel.
        fault: why the first that cannot be used cannot.
    """

    category: Category
    unreadable: list[Path] = field(default_factory=list)
    misfit: list[Path] = field(default_factory=list)
    blank: list[Path] = field(default_factory=list)
    whole: list[Path] = field(default_factory=list)
    fault: DatasetError | ImageError | None = None

    def lines(self) -> Iterator[str]:
        """One a finding."""
        yield from _listed(self.category, "mask(s) cannot be read", self.unreadable)
        misfit = "mask(s) of another size than their picture"
        yield from _listed(self.category, misfit, self.misfit)
        yield from _listed(self.category, BLANK, self.blank)
        yield from _listed(self.category, WHOLE, self.whole)

    def require_marks(self, allow_empty: bool) -> None:
        """Warn of masks that mark all or nothing; DatasetError where too many mark nothing."""
        name, folder = self.category.name, self.category.folder
        for line in _listed(self.category, WHOLE, self.whole):
            warnings.warn(printable(f"{name}: {line}"), OddMaskWarning, stacklevel=3)
        few = allow_empty or FEW_EMPTY * len(self.blank) <= len(self.category.defects)
        for line in _listed(self.category, BLANK, self.blank):
            if not few:
                raise DatasetError(
                    f"{folder}: {line}; mend them, or go on with --allow-empty-masks"
                )
            warnings.warn(printable(f"{name}: {line}"), OddMaskWarning, stacklevel=3)


def odd_masks(category: Category) -> OddMasks:
    """Read all masks of the defective test pictures.

    Raises:
        MissingExtraError: what reads annotations is not installed.
    """
    odd = OddMasks(category)
    for sample in category.defects:
        marked = False
        size = None
        with suppress(ImageError):
            size = file_size(sample.path, str(sample.path))
        for path in sample.masks:
            fault: DatasetError | ImageError | None = None
            try:
                mask = marks_in(path, sample)
            except (ImageError, DatasetError) as error:
                odd.unreadable.append(path)
                marked = True  # perhaps
                fault = error
            else:
                marked |= bool(mask.any())
                if mask.all():
                    odd.whole.append(path)
                if size and size != mask.shape:
                    odd.misfit.append(path)
                    marked = True  # perhaps, in the mask that it was to be
                    fault = misfit(path, mask.shape, size)
            if size:  # nothing is measured on a picture that cannot be read
                odd.fault = odd.fault or fault
        if sample.masks and not marked:
            odd.blank += sample.masks
    return odd


def require_marks(category: Category, allow_empty: bool = False) -> None:
    """Read the masks of defective pictures before anything is measured by them.

    Warns of those that mark every pixel, and of one in ``FEW_EMPTY`` that marks nothing.

    Args:
        category: of which the test pictures count.
        allow_empty: go on where masks of more defective pictures mark nothing.

    Raises:
        DatasetError, ImageError: one cannot be used, or they mark nothing.
        MissingExtraError: what reads annotations is not installed.
    """
    odd = odd_masks(category)
    if odd.fault is not None:
        raise odd.fault
    odd.require_marks(allow_empty)


def _in_both_halves(category: Category) -> list[str]:
    train, test = _by_size(category.train), _by_size(category.test)
    twins = []
    for size in train.keys() & test.keys():
        known = {file_digest(path) for path in train[size]}
        twins += [path for path in test[size] if file_digest(path) in known]
    return _listed(category, "test picture(s) also in training, byte for byte", sorted(twins))


def _by_size(samples: Sequence[Sample]) -> dict[int, list[Path]]:
    """Existing files by their size in bytes."""
    groups = defaultdict(list)
    for sample in samples:
        if sample.path.is_file():
            groups[sample.path.stat().st_size].append(sample.path)
    return groups


def _listed(category: Category, what: str, paths: Sequence[Path]) -> list[str]:
    """One finding that lists the first files; empty without files."""
    if not paths:
        return []
    names = [path.relative_to(category.folder).as_posix() for path in paths[:NAMED]]
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return [f"{len(paths)} {what}: {', '.join(names)}{more}"]
