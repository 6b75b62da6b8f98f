"""Patch embedding: backbone maps -> one vector per grid position (METHOD: patch features).

The paper unfolds every 3x3 neighbourhood to C*9 numbers, upsamples coarse maps to the finest grid,
pools each layer to 1024 numbers and the stack to 1024 again. Every step is linear and the
pooling does not depend on the position, so pooling commutes with upsampling: the whole embedding is
one 3x3 convolution per layer at that layer's own resolution, then an upsampling. For
wide_resnet50_2 the convolution is depthwise and the unfold route's 1 s on top of a 1 s backbone
(8 images, 2 cores) all but vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from softpatch.ranges.table import check_all

Embedding = Literal["neighbourhood", "rooted", "average", "concat"]
NEIGHBOURS = 9  # a 3x3 neighbourhood


class PatchEmbedding(nn.Module):
    """Turn a list of maps into a grid of patch vectors.

    ``neighbourhood``  the paper's: 3x3 structure kept, pooled to ``dimension`` numbers.
    ``rooted``         the same, then the signed square root of every number (the power
                       normalisation of Perronnin et al. 2010): the few that are large everywhere
                       no longer outweigh faint ones. Pixel AP on clean bottle is 0.79 instead of
                       0.76, see docs/robust.md.
    ``average``        plain 3x3 averages of all channels (sum of C numbers): cheap, often
                       better on textures.
    ``concat``         the channels as they are (sum of C numbers), as PaDiM uses them.

    Attributes:
        coarsest: where a patch vector has the features of the coarsest layer.
    """

    def __init__(self, channels: Sequence[int], kind: Embedding, dimension: int) -> None:
        """Prepare the convolutions for maps of these channels, the finest first.

        ``dimension`` is the length of a patch vector (``neighbourhood`` and ``rooted`` only).
        """
        super().__init__()
        check_all(embedding=kind, dimension=dimension)
        self.kind = kind
        self.channels = tuple(channels)
        self.pooled = kind in ("neighbourhood", "rooted")
        self.dimension = dimension if self.pooled else sum(channels)
        if self.pooled:
            pooled = [_LayerPooling(i, self.channels, dimension) for i in range(len(channels))]
            self.pooling = nn.ModuleList(pooled)
        first = pooled[-1].first if self.pooled else self.dimension - channels[-1]
        self.coarsest = slice(first, self.dimension)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """``(B, C_l, h_l, w_l)`` per layer -> ``(B, h, w, dimension)`` on the finest grid."""
        grid = maps[0].shape[-2:]
        if self.pooled:
            patches = maps[0].new_zeros(maps[0].shape[0], self.dimension, *grid)
            for layer, pooling in zip(maps, self.pooling, strict=True):
                # Two layers may share an output number where the last pooling straddles them.
                patches[:, pooling.first : pooling.last] += _upsample(pooling(layer), grid)
        else:
            if self.kind == "average":
                maps = [F.avg_pool2d(layer, 3, stride=1, padding=1) for layer in maps]
            patches = torch.cat([_upsample(layer, grid) for layer in maps], dim=1)
        if self.kind == "rooted":
            patches = signed_root(patches)
        return patches.permute(0, 2, 3, 1)  # (B, D, h, w) -> (B, h, w, D)


def signed_root(numbers: Tensor) -> Tensor:
    """Square roots of absolute values, with the signs kept: -4 -> -2, 9 -> 3."""
    return numbers.sign() * numbers.abs().sqrt()


class _LayerPooling(nn.Module):
    """One layer's share of the embedding, as a grouped 3x3 convolution."""

    kernel: Tensor

    def __init__(self, layer: int, channels: tuple[int, ...], dimension: int) -> None:
        super().__init__()
        matrix = pooling_matrix(layer, channels, dimension)  # (dimension, C * 9)
        used = matrix.abs().sum(dim=1).nonzero()
        self.first, self.last = int(used[0]), int(used[-1]) + 1
        matrix = matrix[self.first : self.last]
        self.groups = _block_count(matrix, channels[layer])
        rows = len(matrix) // self.groups
        blocks = matrix.view(self.groups, rows, self.groups, -1)
        blocks = torch.diagonal(blocks, dim1=0, dim2=2).permute(2, 0, 1)  # (groups, rows, C/g * 9)
        kernel = blocks.reshape(len(matrix), channels[layer] // self.groups, 3, 3)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, layer: Tensor) -> Tensor:
        """``(B, C, h, w)`` -> ``(B, last - first, h, w)``."""
        return F.conv2d(layer, self.kernel, padding=1, groups=self.groups)


def pooling_matrix(layer: int, channels: Sequence[int], dimension: int) -> Tensor:
    """``(dimension, C * 9)``: what the paper's two poolings do to one layer's neighbourhood.

    Found by pushing the identity through them, the other layers being zero.
    """
    length = channels[layer] * NEIGHBOURS
    pooled = F.adaptive_avg_pool1d(torch.eye(length), dimension)  # (C*9, dimension)
    stacked = torch.zeros(length, len(channels), dimension)
    stacked[:, layer] = pooled
    return F.adaptive_avg_pool1d(stacked.reshape(length, -1), dimension).T.contiguous()


def _block_count(matrix: Tensor, channels: int) -> int:
    """Into how many equal diagonal blocks the matrix falls: the groups of the convolution."""
    blocks = gcd(len(matrix), channels)
    split = matrix.view(blocks, len(matrix) // blocks, blocks, -1).abs().sum(dim=(1, 3))
    return blocks if torch.equal(split, torch.diag(split.diagonal())) else 1


def _upsample(layer: Tensor, grid: Sequence[int]) -> Tensor:
    if layer.shape[-2:] == tuple(grid):
        return layer
    return F.interpolate(layer, size=tuple(grid), mode="bilinear", align_corners=False)
