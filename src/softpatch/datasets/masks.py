"""Ground truth: which pixels of a picture are defective."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from softpatch.datasets.samples import Sample
from softpatch.errors import DatasetError
from softpatch.images.decode import read_image


def read_mask(sample: Sample, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The defective pixels of one picture: the union of its masks.

    Each is cut at ``sample.mask_threshold``: masks may be grey at their edges.

    Args:
        sample: whose masks; without any, no pixel is defective.
        size: (height, width) of the picture.

    Returns:
        ``(H, W)`` bool.

    Raises:
        ImageError: a mask that cannot be read.
        DatasetError: a mask of another size than its picture.
    """
    defective = np.zeros(size, dtype=bool)
    for path in sample.masks:
        mask = read_image(path, str(path))[0].numpy()  # (3, H, W), grey: all channels are alike
        if mask.shape != size:
            raise DatasetError(
                f"{path}: is {mask.shape} pixels, its picture {size} (height, width)"
            )
        defective |= mask > sample.mask_threshold / 255
    return defective
