"""What every data set is read into: categories of samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One picture of a data set.

    Attributes:
        path: of the picture.
        kind: ``good`` or the defect's name.
        masks: pictures of the defective pixels, which are their union; empty where none is known.
        mask_threshold: a mask marks its pixels above this grey value (of 0 to 255). Most sets
            draw in white and blur the edges; those that write a defect's number have 0.
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
    """One product: clean training pictures, and test pictures good and defective.

    Attributes:
        name: as in ``Dataset.categories``.
        folder: that all pictures lie below.
        train: good pictures.
        test: good and defective pictures.
        unused: files left out since their other half is missing: a mask's picture, or the label
            that says whether a picture is good.
    """

    name: str
    folder: Path
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    unused: tuple[Path, ...] = ()

    @property
    def defects(self) -> tuple[Sample, ...]:
        """The defective test pictures."""
        return tuple(sample for sample in self.test if sample.defective)
