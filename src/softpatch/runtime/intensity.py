"""Which values of a picture of more than 8 bits are black and white.

Cameras of 10, 12 or 14 bits put them into 16, at the lower end or shifted to the upper one. Taken
as 16 bits, 12 are nearly black.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

LARGEST = 65535
FEWEST_BITS = 8


class Intensity(NamedTuple):
    """The values of a picture of more than 8 bits that are black and white, the same for all.

    Those of 8 bits and of floats have a white of their own, 255 and 1.
    """

    low: int = 0
    high: int = LARGEST

    def __str__(self) -> str:
        """As ``--intensity`` takes it."""
        return f"{self.low}:{self.high}"

    @classmethod
    def of_bits(cls, bits: int) -> Self:
        """The range of a camera by the bits that are set in any value of its pictures.

        Cameras have 8, 10, 12, 14 or 16 bits: a darker set that leaves out the highest one is
        taken for what it is. Lower bits that are never set are none of the camera's.
        """
        if not bits:
            return cls()
        depth = max(FEWEST_BITS, bits.bit_length() + bits.bit_length() % 2)
        unset = (bits & -bits).bit_length() - 1
        shift = min(unset - unset % 2, depth - FEWEST_BITS)
        return cls(0, (1 << depth) - (1 << shift))

    def apply(
        self, values: npt.NDArray[np.uint16]
    ) -> tuple[npt.NDArray[np.uint8] | npt.NDArray[np.float32], str | None]:
        """Values from 0 to 1, and a remark if some lie outside, which are black or white then.

        As uint8 if 8 bits hold the same: a picture scores the same in 8 bits and in 16.
        """
        span = self.high - self.low
        least, most = int(values.min()), int(values.max())
        remark = None
        if least < self.low or most > self.high:
            remark = f"has values from {least} to {most}, and the model's range is {self}"
            values = values.clip(self.low, self.high)
        levels = (values.astype(np.uint32) - np.uint32(self.low)) * np.uint32(255)
        if not (levels[:1] % span).any() and not (levels % span).any():
            return (levels // span).astype(np.uint8), remark
        return (values - np.float32(self.low)) / np.float32(span), remark


FULL = Intensity()  # of 16 bits; and of models that name none
