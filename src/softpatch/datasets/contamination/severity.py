"""How bad a defect looks: its size times its contrast."""

from __future__ import annotations

from functools import cache

import numpy as np

from softpatch.datasets.masks import read_mask
from softpatch.datasets.samples import Sample
from softpatch.images.decode import read_image

MARGIN = 0.05  # around a defect's bounding box, of the picture's shorter side


@cache  # a grid asks again for every cell, and reading 63 bottles takes seconds
def severity(sample: Sample) -> float:
    """Share of the picture that is defective, times the contrast to what surrounds it.

    What surrounds it is the rest of the mask's bounding box, widened by a margin. Contrast is how
    far defective pixels lie from its mean colour, averaged over pixels and colours: a difference
    of mean colours would call a scratch with one bright and one dark edge invisible. Where
    nothing surrounds the defect it is 1.

    Returns:
        in [0, 1]; 0 where no pixel is marked.
    """
    picture = read_image(sample.path).numpy()  # (3, H, W)
    mask = read_mask(sample, picture.shape[1:])  # (H, W)
    if not mask.any():
        return 0.0
    share = float(mask.mean())
    margin = round(MARGIN * min(mask.shape))
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )
    mask, picture = mask[box], picture[:, *box]
    if mask.all():
        return share
    surrounding = picture[:, ~mask].mean(axis=1, keepdims=True)  # (3, 1)
    return share * float(np.abs(picture[:, mask] - surrounding).mean())
