"""What a detector says about one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .intensity import FULL, Intensity
from .verdict import Floats, Verdict, p_value, rarity, verdict_of

MOST_OF_PEAK = 0.9
Remark = tuple[str, str]  # an image's name, and what is odd about it


@dataclass(frozen=True)
class Prediction:
    """One image's result.

    Attributes:
        name: the path as given, or ``image <index>`` for in-memory images.
        score: at least 0; larger is more anomalous. Comparable between images scored by the
            same model, not between models.
        anomaly_map: ``(h, w)`` float32, at least 0, at the network's input size.
        size: (height, width) of the image in pixels.
        box: (left, top, right, bottom) of the part the map covers, in pixels of the image.
        threshold: the model's, or None if it has none.
        remark: what is odd about the image, so that the score may mean less; None if nothing is.
        intensity: which of its values are black and white, for drawing it.
        look: the model's look limit, or None if it has none.
        reference: ``(n,)`` held-out scores of good training images, ascending; None if the model
            has none.
    """

    name: str
    score: float
    anomaly_map: npt.NDArray[np.float32]
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    threshold: float | None = None
    remark: str | None = None
    intensity: Intensity = FULL
    look: float | None = None
    reference: Floats | None = field(default=None, repr=False)

    @property
    def anomalous(self) -> bool | None:
        """Whether the score exceeds the threshold; None without one."""
        return None if self.threshold is None else self.score > self.threshold

    @property
    def verdict(self) -> Verdict | None:
        """``good``, ``look`` (people should look at it) or ``bad``; None without a threshold."""
        return verdict_of(self.score, self.threshold, self.look)

    @property
    def p_value(self) -> float | None:
        """Of good images about the share that scores at least as high; None if nothing tells.

        By the held-out scores of the training images that are no suspects. If good images to come
        are exchangeable with these, at most a share a of them has a p-value of a or less. Bad ones
        among these, and few of them, make it larger.
        """
        return None if self.reference is None else p_value(self.score, self.reference)

    @property
    def rarity(self) -> str | None:
        """``p_value`` in words: of 1,000 good pictures about 16 score this high."""
        if self.reference is None:
            return None
        return rarity(p_value(self.score, self.reference), len(self.reference))

    @property
    def level(self) -> float | None:
        """The score as a number from 0 to 1 that is 0.5 at the threshold; None without one."""
        if self.threshold is None:
            return None
        both = self.score + self.threshold
        return self.score / both if both > 0 else 0.5

    @property
    def pixel_threshold(self) -> float | None:
        """The map's value from which a pixel counts as defective; None if the image is not bad.

        The share of the map's peak that the threshold is of the score, as the map is blurred and
        its peak is not the score: where heat maps turn orange. But not more than ``MOST_OF_PEAK``,
        so that there is a spot to see where the score is hardly above the threshold.
        """
        if self.threshold is None or not self.anomalous:
            return None
        return min(self.threshold / self.score, MOST_OF_PEAK) * float(self.anomaly_map.max())

    @property
    def defect_mask(self) -> npt.NDArray[np.bool_]:
        """``(h, w)``, the defective pixels of the map; none where the image is not bad."""
        level = self.pixel_threshold
        if level is None:
            return np.zeros(self.anomaly_map.shape, dtype=bool)
        return self.anomaly_map > level


def odd_ones(found: Sequence[Remark]) -> str | None:
    """A line about images with a remark: the first one's, and how many more; None of none."""
    if not found:
        return None
    name, remark = found[0]
    more = f"; so with {len(found) - 1} more picture(s)" if len(found) > 1 else ""
    return f"{name}: {remark}{more}"
