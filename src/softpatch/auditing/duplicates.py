"""Duplicate images: the same pixels, or the same photograph compressed, scaled or shifted.

Images of one product line are all similar, so similarity alone means nothing. A copy is far more
similar to its original than even the most similar other images are to each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from softpatch.auditing.image_quality import GREYS, ImageFacts

CANDIDATES = 6  # most similar images, in coarse grey, with which an image is compared
COARSE = 4  # pixels of ``ImageFacts.greys`` averaged into one of coarse grey
NEIGHBOUR = 5  # rank of the neighbour whose distance is usual; nearer ones may be copies
# Share of the usual distance below which two images are duplicates. Bottle: JPEG at quality 60,
# half the size, 3 % brighter or a shift by a pixel both ways: 0.01 to 0.14; compressed, brighter
# and shifted by two: 0.19; shifted by three both ways: 0.31; different bottles: at least 0.43.
NEAR = 0.25
SHIFT = 4  # pixels of ``ImageFacts.greys`` by which a copy may be shifted


def exact_duplicates(images: Sequence[ImageFacts]) -> list[list[int]]:
    """Groups of indices of images with the same pixels."""
    same = defaultdict(list)
    for index, image in enumerate(images):
        same[image.pixels].append(index)
    return [group for group in same.values() if len(group) > 1]


def near_duplicates(images: Sequence[ImageFacts]) -> list[list[int]]:
    """Groups of indices of images that differ by compression, scaling, light or a small shift.

    Of several images with the same pixels only the first is in a group.
    """
    known: set[bytes] = set()
    first = []
    for index, image in enumerate(images):
        if image.contrast > 0 and image.pixels not in known:
            known.add(image.pixels)
            first.append(index)
    if len(first) < 3:
        return []
    greys = _standardised(torch.stack([images[index].greys for index in first]))
    distances: dict[tuple[int, int], float] = {}
    for one, others in enumerate(_candidates(greys)):
        for other in others:
            pair = min(one, other), max(one, other)
            if pair not in distances:
                distances[pair] = _distance(greys[pair[0]], greys[pair[1]])
    limit = NEAR * _usual(distances, len(first))
    groups = _connected(pair for pair, distance in distances.items() if distance < limit)
    return [[first[index] for index in group] for group in groups]


def _standardised(greys: Tensor) -> Tensor:
    """``(N, h, w)``, each shifted to mean 0 and scaled to norm 1."""
    greys = greys - greys.mean(dim=(1, 2), keepdim=True)
    return F.normalize(greys.flatten(1)).view_as(greys)


def _candidates(greys: Tensor) -> list[list[int]]:
    """The most similar other images of each, compared too coarsely for small shifts to matter."""
    coarse = _standardised(F.avg_pool2d(greys, COARSE)).flatten(1)
    count = min(CANDIDATES, len(coarse) - 1)
    found = []
    for index, one in enumerate(coarse):
        similarity = coarse @ one
        similarity[index] = -2  # below any correlation
        found.append(similarity.topk(count).indices.tolist())
    return found


def _distance(one: Tensor, other: Tensor) -> float:
    """The part of either image that the other does not explain, in its standard deviations.

    An image explains another up to a shift, a change of brightness and a change of contrast.
    """
    down, right = _shift(one, other)
    one = one[_overlap(-down), _overlap(-right)]
    other = other[_overlap(down), _overlap(right)]
    return max(_unexplained(one, other), _unexplained(other, one))


def _shift(one: Tensor, other: Tensor) -> tuple[int, int]:
    """(down, right) by which ``other`` is shifted, by phase correlation."""
    window = torch.hann_window(GREYS, periodic=False)
    window = window[:, None] * window
    spectrum = torch.fft.rfft2(one * window).conj() * torch.fft.rfft2(other * window)
    peaks = torch.fft.irfft2(spectrum / (spectrum.abs() + 1e-12), s=(GREYS, GREYS))
    near = peaks.roll((SHIFT, SHIFT), (0, 1))[: 2 * SHIFT + 1, : 2 * SHIFT + 1]
    down, right = divmod(int(near.argmax()), near.shape[1])
    return down - SHIFT, right - SHIFT


def _overlap(shift: int) -> slice:
    return slice(max(0, shift), GREYS - max(0, -shift))


def _unexplained(one: Tensor, other: Tensor) -> float:
    """Residual of regressing ``other`` on ``one``, its slopes (a subpixel shift) and 1."""
    inner = one[1:-1, 1:-1]
    down = (one[2:, 1:-1] - one[:-2, 1:-1]) / 2
    right = (one[1:-1, 2:] - one[1:-1, :-2]) / 2
    columns = [inner, down, right, torch.ones_like(inner)]
    explaining = torch.stack([column.flatten() for column in columns], dim=1).double()
    basis = torch.linalg.qr(explaining).Q  # (pixels, 4)
    target = other[1:-1, 1:-1].flatten().double()
    target -= target.mean()
    residual = target - basis @ (basis.T @ target)
    return float(residual.norm() / target.norm().clamp(min=1e-12))


def _usual(distances: dict[tuple[int, int], float], count: int) -> float:
    """Median over the images of the distance to the ``NEIGHBOUR``-th nearest."""
    by_image: list[list[float]] = [[] for _ in range(count)]
    for pair, distance in distances.items():
        for index in pair:
            by_image[index].append(distance)
    nth = [sorted(found)[: min(NEIGHBOUR, count - 1)][-1] for found in by_image]
    return float(torch.tensor(nth).median())


def _connected(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Connected components of the graph whose edges are the pairs."""
    groups: dict[int, set[int]] = {}
    for pair in pairs:
        merged = set(pair).union(*(groups.get(index, ()) for index in pair))
        groups |= dict.fromkeys(merged, merged)
    return sorted(sorted(group) for group in set(map(frozenset, groups.values())))
