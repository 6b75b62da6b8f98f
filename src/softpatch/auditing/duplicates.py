"""Pictures that are there twice: the same pixels, or the same photograph in other clothes.

Pictures of one product line all look alike, so that likeness alone means nothing. A copy is told
by being far more like its original than even the most similar other pictures are like each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from softpatch.auditing.image_quality import GREYS, Picture

CANDIDATES = 6  # most similar pictures, in coarse grey, that a picture is compared with
COARSE = 4  # pixels of ``Picture.greys`` to one of those
NEIGHBOUR = 5  # the nearest neighbours up to this one may be copies
# Of the distance to that neighbour. Bottle: JPEG at quality 60, half the size, 3 % brighter and a
# shift by a pixel both ways come to 0.01 to 0.14; one compressed, brighter and shifted by
# two to 0.19, one shifted by three both ways to 0.31; different bottles to 0.43 at the least.
NEAR = 0.25
SHIFT = 4  # pixels of ``Picture.greys`` that a copy may be shifted by


def exact_duplicates(pictures: Sequence[Picture]) -> list[list[int]]:
    """Groups of pictures with the same pixels."""
    same = defaultdict(list)
    for at, picture in enumerate(pictures):
        same[picture.pixels].append(at)
    return [group for group in same.values() if len(group) > 1]


def near_duplicates(pictures: Sequence[Picture]) -> list[list[int]]:
    """Groups of pictures that show the same, through compression, scaling, light or a small shift.

    Pictures with the same pixels stand for each other: only the first is in a group.
    """
    known: set[bytes] = set()
    first = []
    for at, picture in enumerate(pictures):
        if picture.contrast > 0 and picture.pixels not in known:
            known.add(picture.pixels)
            first.append(at)
    if len(first) < 3:
        return []
    greys = _standardised(torch.stack([pictures[at].greys for at in first]))
    distances: dict[tuple[int, int], float] = {}
    for one, others in enumerate(_candidates(greys)):
        for other in others:
            pair = min(one, other), max(one, other)
            if pair not in distances:
                distances[pair] = _distance(greys[pair[0]], greys[pair[1]])
    limit = NEAR * _usual(distances, len(first))
    return [
        [first[at] for at in group]
        for group in _connected(pair for pair, distance in distances.items() if distance < limit)
    ]


def _standardised(greys: Tensor) -> Tensor:
    """``(N, h, w)`` -> each with mean 0 and norm 1."""
    greys = greys - greys.mean(dim=(1, 2), keepdim=True)
    return F.normalize(greys.flatten(1)).view_as(greys)


def _candidates(greys: Tensor) -> list[list[int]]:
    """For each picture the most similar others, so coarsely that small shifts do not matter."""
    coarse = _standardised(F.avg_pool2d(greys, COARSE)).flatten(1)
    count = min(CANDIDATES, len(coarse) - 1)
    found = []
    for at, one in enumerate(coarse):
        likeness = coarse @ one
        likeness[at] = -2  # below any
        found.append(likeness.topk(count).indices.tolist())
    return found


def _distance(one: Tensor, other: Tensor) -> float:
    """What of either picture the other does not explain, as a share of its standard deviation.

    Explained is what a shift, a change of brightness and a change of contrast make of a picture.
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
    """Residual of ``other`` over ``one``, its slopes (a shift by less than a pixel) and 1."""
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
    """Median over the pictures of the distance to the ``NEIGHBOUR``-th nearest."""
    of_each: list[list[float]] = [[] for _ in range(count)]
    for pair, distance in distances.items():
        for at in pair:
            of_each[at].append(distance)
    nth = [sorted(found)[: min(NEIGHBOUR, count - 1)][-1] for found in of_each]
    return float(torch.tensor(nth).median())


def _connected(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups of numbers that the pairs link."""
    groups: dict[int, set[int]] = {}
    for pair in pairs:
        merged = set(pair).union(*(groups.get(at, ()) for at in pair))
        groups |= dict.fromkeys(merged, merged)
    return sorted(sorted(group) for group in set(map(frozenset, groups.values())))
