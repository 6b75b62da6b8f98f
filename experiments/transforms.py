"""What is made of patch vectors before any distance is taken."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from experiments.pool import FEATURES, Pool
from softpatch.features import PatchExtractor
from softpatch.features.embedding import signed_root

TRANSFORMS = (
    "none", "rooted", "offset-root", "scaled", "scaled-rooted", "unit", "levelled", "by-noise",
    "by-noise-rooted",
)  # fmt: skip
NOISE_PICTURES = 32
OFFSET = 1  # half of the numbers are below 3.5


@torch.inference_mode()
def transformed(pool: Pool, kind: str, training: int) -> Pool:
    """The pool with other vectors.

    Args:
        pool: of the embedding ``neighbourhood`` where noise decides the scale.
        kind: one of ``TRANSFORMS``: the signed root; a root of x + 1, less 1, which is not steep
            at 0; by the deviation of each number over the training patches, less its mean, or over
            patches of noise; to length 1; less the picture's mean patch and by how far its patches
            lie from that.
        training: how many of the pictures are for training, the first ones.
    """
    if kind == "none":
        return pool
    if kind == "levelled":
        pictures = torch.split(pool.patches, torch.bincount(pool.image_index).tolist())
        return replace(pool, patches=torch.cat([levelled(picture) for picture in pictures]))
    if kind == "unit":
        return replace(pool, patches=torch.nn.functional.normalize(pool.patches))
    patches = pool.patches
    if kind == "offset-root":
        root = (patches.abs() + OFFSET).sqrt() - OFFSET**0.5
        return replace(pool, patches=root.copysign(patches))
    if kind.startswith("scaled"):
        learned = patches[pool.image_index < training]
        patches = (patches - learned.mean(dim=0)) / learned.std(dim=0)
    if kind.startswith("by-noise"):
        patches = patches / patches_of_noise(patches.device).std(dim=0)
    return replace(pool, patches=signed_root(patches) if kind.endswith("rooted") else patches)


def levelled(patches: Tensor) -> Tensor:
    """``(P, D)`` of a picture -> around 0, at a mean squared distance of 1 from it."""
    centred = patches - patches.mean(dim=0)
    return centred / centred.square().sum(dim=1).mean().sqrt()


def patches_of_noise(device: torch.device) -> Tensor:
    """``(n, D)`` of pictures whose spectrum falls as that of photographs does, nearly grey."""
    extractor = PatchExtractor(FEATURES, device)
    height, width = extractor.preprocessing.crop
    generator = torch.Generator().manual_seed(0)
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    frequency = (down.square() + across.square()).sqrt().clamp_min(1 / max(height, width))

    def white(channels: int) -> Tensor:
        shape = (NOISE_PICTURES, channels, *frequency.shape, 2)
        return torch.view_as_complex(torch.randn(shape, generator=generator))

    noise = torch.fft.irfft2((0.9 * white(1) + 0.3 * white(3)) / frequency, s=(height, width))
    every = (1, 2, 3)
    noise = (noise - noise.mean(dim=every, keepdim=True)) / noise.std(dim=every, keepdim=True)
    pictures = (0.5 + 0.2 * noise).clamp(0, 1)
    return extractor(torch.cat([extractor.preprocessing(one) for one in pictures])).flatten(0, 2)
