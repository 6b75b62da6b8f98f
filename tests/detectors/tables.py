"""Detectors that learn from patches, without images or a network."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors import Detector
from softpatch.detectors.patch_table import LocalPatches
from softpatch.detectors.run import Run

D = TypeVar("D", bound=Detector)


def table_of(patches: Tensor, image_index: Tensor | None = None) -> LocalPatches:
    """``(N, h, w, D)`` patches of images, or ``(M, P, D)`` of tiles with the image of each."""
    grid = (patches.shape[1], patches.shape[2]) if patches.ndim == 4 else (1, patches.shape[1])
    flat = patches.flatten(1, 2) if patches.ndim == 4 else patches
    if image_index is None:
        image_index = torch.arange(len(flat), device=flat.device)
    names = [str(index) for index in range(int(image_index[-1]) + 1)]
    return LocalPatches(flat, image_index, names, [], [], grid)


def learn(detector: D, patches: Tensor, image_index: Tensor | None = None) -> D:
    """``fit`` from ``table_of`` these."""
    with torch.inference_mode():
        run = Run(ScratchSpace(device=patches.device))
        detector._learned = detector._learn(table_of(patches, image_index), run)
    return detector


def found_in(vectors: Tensor, patches: Tensor) -> Tensor:
    """``(..., D)`` -> ``(...)`` which of ``(n, D)`` patches, all different, each of these is."""
    place = {patch.numpy().tobytes(): index for index, patch in enumerate(patches)}
    found = [place[vector.numpy().tobytes()] for vector in vectors.flatten(0, -2)]
    return torch.tensor(found).view(vectors.shape[:-1])
