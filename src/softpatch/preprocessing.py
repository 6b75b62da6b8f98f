"""From a picture of any size to the network's input, and back to the picture's coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from softpatch.errors import UsageError
from softpatch.images import to_unit


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop, normalise: one record, kept with the model.

    The whole picture is resized to ``resize`` whatever its shape (a tall strip is squashed; give
    ``resize`` its aspect to keep it), as anti-aliased bilinear. METHOD: 256 -> 224.

    Attributes:
        resize: (height, width) in pixels.
        crop: (height, width) of the centre crop, at most ``resize``.
        mean: per channel, in [0, 1] units.
        std: per channel, in [0, 1] units.
    """

    resize: tuple[int, int]
    crop: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if min(self.crop) < 1 or self.crop[0] > self.resize[0] or self.crop[1] > self.resize[1]:
            raise UsageError(f"crop {self.crop} must lie within resize {self.resize}")

    @property
    def offset(self) -> tuple[int, int]:
        """Top and left edge of the crop in the resized picture."""
        return (
            round((self.resize[0] - self.crop[0]) / 2),
            round((self.resize[1] - self.crop[1]) / 2),
        )

    def __call__(self, image: Tensor) -> Tensor:
        """``(3, H, W)`` uint8, or float in [0, 1] -> ``(3, *crop)`` float32, normalised."""
        mean = torch.tensor(self.mean).view(3, 1, 1)
        std = torch.tensor(self.std).view(3, 1, 1)
        return (self.frame(image) - mean) / std

    def frame(self, image: Tensor) -> Tensor:
        """``(C, H, W)`` -> ``(C, *crop)`` in [0, 1]: what the network sees of the picture."""
        resized = F.interpolate(
            image.unsqueeze(0), size=self.resize, mode="bilinear", antialias=True
        )[0]
        top, left = self.offset
        return to_unit(resized[:, top : top + self.crop[0], left : left + self.crop[1]])

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of what the network sees, in pixels of the picture."""
        top, left = self.offset
        y, x = height / self.resize[0], width / self.resize[1]
        return left * x, top * y, (left + self.crop[1]) * x, (top + self.crop[0]) * y
