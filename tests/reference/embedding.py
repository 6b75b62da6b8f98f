"""METHOD 1, the long way: unfold, upsample, pool each layer, stack, pool again. Float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def unfolded(layer: Tensor) -> Tensor:
    """``(B, C, h, w)`` -> ``(B, C * 9, h, w)``: every position's 3x3 surroundings, zero-padded."""
    batch, channels, height, width = layer.shape
    columns = F.unfold(layer, kernel_size=3, padding=1)  # (B, C * 9, h * w), channel-major
    return columns.view(batch, channels * 9, height, width)


def upsampled(layer: Tensor, grid: Sequence[int]) -> Tensor:
    """Bilinear, corners not aligned."""
    return F.interpolate(layer, size=tuple(grid), mode="bilinear", align_corners=False)


def neighbourhood(maps: Sequence[Tensor], dimension: int) -> Tensor:
    """The paper's patch vectors, ``(B, h, w, dimension)`` float64."""
    grid = maps[0].shape[-2:]
    layers = []
    for layer in maps:
        numbers = upsampled(unfolded(layer.double()), grid)  # (B, C * 9, h, w)
        numbers = numbers.permute(0, 2, 3, 1).flatten(0, 2)  # (B * h * w, C * 9)
        layers.append(F.adaptive_avg_pool1d(numbers, dimension))
    stacked = torch.stack(layers, dim=1)  # (B * h * w, L, dimension)
    pooled = F.adaptive_avg_pool1d(stacked.flatten(1), dimension)
    return pooled.view(len(maps[0]), *grid, dimension)


def rooted(maps: Sequence[Tensor], dimension: int) -> Tensor:
    """Signed square roots of these."""
    patches = neighbourhood(maps, dimension)
    return patches.sign() * patches.abs().sqrt()


def average(maps: Sequence[Tensor]) -> Tensor:
    """Mean of every channel's surroundings, ``(B, h, w, sum of C)`` float64."""
    grid = maps[0].shape[-2:]
    layers = []
    for layer in maps:
        batch, channels, height, width = layer.shape
        means = unfolded(layer.double()).view(batch, channels, 9, height, width).mean(dim=2)
        layers.append(upsampled(means, grid))
    return torch.cat(layers, dim=1).permute(0, 2, 3, 1)


def concatenated(maps: Sequence[Tensor]) -> Tensor:
    """The channels as they are, ``(B, h, w, sum of C)`` float64."""
    grid = maps[0].shape[-2:]
    layers = [upsampled(layer.double(), grid) for layer in maps]
    return torch.cat(layers, dim=1).permute(0, 2, 3, 1)
