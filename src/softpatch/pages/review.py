"""A page on which people decide about pictures by keyboard, in a single file."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from softpatch.compute.progress import Progress
from softpatch.images.decode import Picture, to_unit
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import ignore_unreadable, prefetch
from softpatch.pages.localize import Box
from softpatch.pages.render import fill
from softpatch.runtime.heatmap import FULL_COLOUR, as_layer, colourise, png_bytes
from softpatch.runtime.intensity import Intensity
from softpatch.runtime.verdict import Verdict

THUMBNAILS = 500  # at most: at some 15 kB each they are nearly all of the page
LONGEST_SIDE = 320  # pixels of a thumbnail
ENLARGED = 50  # pictures that can be looked at larger, at some 100 kB each,
LARGE_SIDE = 1024  # with so many pixels
QUALITY = 80  # of its JPEG


@dataclass(frozen=True)
class Reason:
    """One finding about a picture.

    Attributes:
        code: for programs: ``anomalous``, ``look``, ``outlier``, ``duplicate``,
            ``near-duplicate``, ``repeated-defect``, ``limit``, ``other-size``, ``other-mode``,
            ``blank``, ``blurred``, ``too-dark`` or ``too-bright``.
        text: for people.
    """

    code: str
    text: str


@dataclass(frozen=True)
class Card:
    """One picture on the page.

    Attributes:
        path: relative to the folder, with slashes; key of the exported decisions.
        rank: 1 comes first; None is not ranked.
        score, confidence: shown unless None.
        reasons: shown, and filters.
        group: number of the pictures that are decided about together, if there are others.
        region, box: (left, top, right, bottom) of the odd region and of the heat map, as shares of
            the picture's sides.
        thumb, large, heat: data URIs of a thumbnail, of a larger one, and of the heat map.
        sha256: of the file.
        verdict: shown unless None.
    """

    path: str
    rank: int | None = None
    score: float | None = None
    confidence: float | None = None
    reasons: Sequence[Reason] = ()
    group: int | None = None
    region: Box | None = None
    box: Box | None = None
    thumb: str | None = None
    large: str | None = None
    heat: str | None = None
    sha256: str | None = None
    verdict: Verdict | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {"reasons": [vars(reason) for reason in self.reasons]}


def render(
    title: str, summary: Sequence[str], folder: str, cards: Sequence[Card], after: str | None = None
) -> bytes:
    """The page as HTML.

    Args:
        title: of the page.
        summary: lines below the title.
        folder: base of the paths, for the exported decisions.
        cards: in the order to be shown.
        after: what to do with the exported decisions.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    content = [card.as_dict() for card in cards]
    if len(cards) > THUMBNAILS:
        summary = [*summary, f"Only the first {THUMBNAILS} pictures have thumbnails here."]
    # Decisions are remembered for exactly these files, wherever the page is, in any order.
    known = json.dumps([folder, sorted((card.path, card.sha256 or "") for card in cards)])
    data = {
        "folder": folder,
        "key": hashlib.sha256(known.encode()).hexdigest()[:16],
        "cards": content,
        "after": after,
    }
    return fill("pages/review.html.jinja", title=title, summary=summary, data=data)


def thumbnails(shown: Mapping[str, Intensity], progress: Progress) -> dict[str, str]:
    """Path -> ``thumbnail`` of the readable ones among the first ``THUMBNAILS``.

    Args:
        shown: paths, most important first, and which values of them are black and white.
        progress: called with the step ``draw``.
    """
    return _drawn(dict(islice(shown.items(), THUMBNAILS)), LONGEST_SIDE, progress)


def enlarged(shown: Mapping[str, Intensity], progress: Progress) -> dict[str, str]:
    """The same of the first ``ENLARGED``, with ``LARGE_SIDE`` pixels at most."""
    return _drawn(dict(islice(shown.items(), ENLARGED)), LARGE_SIDE, progress)


def _drawn(first: dict[str, Intensity], longest: int, progress: Progress) -> dict[str, str]:
    drawn = {}

    def draw(picture: Picture) -> str:
        return thumbnail(picture.image, longest)

    for intensity in dict.fromkeys(first.values()):
        sources = [ImageSource(path, Path(path)) for path in first if first[path] == intensity]
        for one in prefetch(sources, draw, ignore_unreadable, 2 * longest, intensity):
            drawn[one.source.name] = one.content
            progress("draw", len(drawn), len(first))
    return drawn


def thumbnail(picture: Tensor, longest: int = LONGEST_SIDE) -> str:
    """``(3, H, W)`` uint8 or float in [0, 1] -> data URI of at most ``longest`` pixels a side."""
    height, width = picture.shape[1:]
    shrink = min(1.0, longest / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    small = F.interpolate(to_unit(picture)[None], size=size, mode="bilinear", antialias=True)[0]
    canvas = (small.permute(1, 2, 0).numpy() * 255).round().clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, format="JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def heat_layer(heat: npt.NDArray[np.float32], calm: float, strong: float) -> str:
    """``(h, w)`` scores -> data URI of an image of that size, transparent up to ``calm``."""
    level = ((heat - calm) / max(strong - calm, 1e-12)).clip(0, 1).astype(np.float32)
    return png_uri(as_layer(*colourise(1 + (FULL_COLOUR - 1) * level, 1.0)))


def png_uri(layer: npt.NDArray[np.uint8]) -> str:
    """An ``(h, w, 4)`` image as the data URI of a PNG."""
    return f"data:image/png;base64,{base64.b64encode(png_bytes(Image.fromarray(layer))).decode()}"


def as_shares(box: Box, size: tuple[int, int]) -> Box:
    """A box in pixels of a picture of (height, width) as shares of its sides, 0..1."""
    height, width = size
    left, top, right, bottom = box
    return left / width, top / height, right / width, bottom / height
