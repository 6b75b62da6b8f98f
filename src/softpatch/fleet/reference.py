"""A small detector that new pictures and training pictures can be compared by.

A model's own held-out scores will not do: its bank was picked among the patches of those pictures,
so that without their own vectors they lie further out than new pictures do. Of 60 new pictures of
bottle, none of them changed, the mean rank among 60 held-out scores was 0.15 instead of 0.5.
Here one half of the pictures fills the bank and the other half is as new to it as new ones are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from softpatch.compute.progress import Progress, silent
from softpatch.detectors import Detector, PatchCore
from softpatch.fleet.photographs import spread
from softpatch.images.sources import ignore_unreadable

PICTURES = 64  # of each half, at most
VECTORS = 512  # in the bank, at most
LEAST = 2  # pictures of each half


def make_reference(
    detector: Detector, pictures: Sequence[Path], progress: Progress = silent
) -> PatchCore | None:
    """Fit on every other picture; ``held_out_`` becomes what it makes of the rest.

    Args:
        detector: whose features to use.
        pictures: readable ones.
        progress: told of the steps of the fit.

    Returns:
        None of fewer than four pictures.
    """
    chosen = spread(pictures, 2 * PICTURES)
    if len(chosen) < 2 * LEAST:
        return None
    small = PatchCore(
        **vars(detector.features),
        roi=None if detector.roi is None else detector.roi.mask,
        bank_size=VECTORS,
        seed=detector.seed,
        device=str(detector.device),
        batch_size=detector.batch_size,
        memory_limit=detector.memory_limit,
    )
    small.share_extractor(detector._get_extractor())
    small.fit(chosen[::2], on_unreadable=ignore_unreadable, progress=progress)
    small.held_out_ = torch.from_numpy(unlikeness(small, chosen[1::2], progress))
    return small


def unlikeness(
    reference: PatchCore, pictures: Sequence[Path], progress: Progress = silent
) -> npt.NDArray[np.float32]:
    """How far each readable picture lies from those the reference was fitted on; ``(n,)``.

    The mean over the picture: a defect hardly moves it, light, focus or another part do.
    """
    found: list[float] = []
    for prediction in reference.predict(pictures, on_unreadable=ignore_unreadable):
        found.append(float(prediction.anomaly_map.mean()))
        progress("predict", len(found), len(pictures))
    return np.array(found, dtype=np.float32)
