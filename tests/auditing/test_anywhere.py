"""Evidence from anywhere: against a slow re-statement, and whatever way the parts lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from softpatch import SoftPatch, UsageError, audit
from softpatch.auditing.anywhere import SAMPLE, LoosePicture, alignment, loose_pictures, unlikeness
from softpatch.errors import DatasetError
from softpatch.features.extractor import PatchExtractor
from softpatch.images import fail_unreadable, image_sources
from tests.auditing.pictures import lit, part

SMALL: dict[str, Any] = {"resize": 64, "crop": 64, "dimension": 64}


def loose(patches: torch.Tensor, views: int = 1) -> LoosePicture:
    """A picture of the given ``(n, C)`` patches; nothing here looks at its layout."""
    whole = SoftPatch(**SMALL).preprocessing.layout(64, 64)
    count = len(patches) // views
    return LoosePicture(
        "a picture", whole, (1, count), patches,
        torch.arange(views).repeat_interleave(count), torch.arange(count).repeat(views),
    )  # fmt: skip


def naive(pictures: list[torch.Tensor]) -> list[torch.Tensor]:
    """To every other picture the distance of its nearest patch; of these the second smallest."""
    found = []
    for index, own in enumerate(pictures):
        others = [torch.cdist(own.double(), other.double()).amin(dim=1)
                  for at, other in enumerate(pictures) if at != index]  # fmt: skip
        found.append(torch.stack(others).sort(dim=0).values[min(1, len(others) - 1)])
    usual = torch.cat(found).float().median()
    return [scores.float() / usual for scores in found]


@pytest.mark.usefixtures("one_backbone")
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16), count=st.integers(2, 7), views=st.integers(1, 3),
    shift=st.sampled_from([0.0, 1000.0]),
)  # fmt: skip
def test_unlikeness_is_the_second_nearest_picture(
    seed: int, count: int, views: int, shift: float
) -> None:
    random = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, SAMPLE // 4, (count,), generator=random)
    patches = [torch.randn(int(size) * views, 5, generator=random) + shift for size in sizes]
    found = unlikeness([loose(one, views) for one in patches], seed=seed)
    for scores, expected in zip(found, naive(patches), strict=True):
        torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("one_backbone")
def test_the_order_of_pictures_changes_nothing() -> None:
    random = torch.Generator().manual_seed(0)
    pictures = [loose(torch.randn(100, 5, generator=random)) for _ in range(6)]
    there = unlikeness(pictures)
    back = unlikeness(pictures[::-1])[::-1]
    for one, other in zip(there, back, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.usefixtures("one_backbone")
def test_copies_are_like_each_other() -> None:
    patches = torch.randn(30, 5, generator=torch.Generator().manual_seed(1))
    assert all(scores.max() < 1e-3 for scores in unlikeness([loose(patches)] * 3))


def pictures_of(arrays: list[np.ndarray], **options: Any) -> list[LoosePicture]:
    detector = SoftPatch(**{**SMALL, **options})
    extractor = PatchExtractor(detector.features, detector.device)
    sources = list(image_sources(arrays))
    return loose_pictures(extractor, detector.roi, sources, fail_unreadable)


@pytest.mark.usefixtures("one_backbone")
def test_aspect_is_kept_and_nothing_cropped() -> None:
    [tall, wide] = pictures_of(
        [np.zeros((400, 100, 3), np.uint8), np.zeros((90, 160, 3), np.uint8)]
    )
    assert tall.grid == (8, 2)  # 128 x 32 pixels: 64 x 64 in all, in steps of 16
    assert wide.grid == (3, 5)
    assert tall.layout.box == (0, 0, 100, 400)
    assert len(tall.patches) == 16


@pytest.mark.usefixtures("one_backbone")
def test_alignment_tells_places_apart() -> None:
    finer = {"resize": 128, "crop": 128}
    still = [lit(number) for number in range(8)]
    assert alignment(pictures_of(still, **finer)) > 0.9
    turned = [np.rot90(array, number).copy() for number, array in enumerate(still)]
    assert alignment(pictures_of(turned, **finer)) < 0.8
    strips = [array[:, : 80 + 80 * (number % 2)] for number, array in enumerate(still)]
    assert alignment(pictures_of(strips)) == 0


@pytest.mark.usefixtures("one_backbone")
def test_a_defect_is_found_however_the_parts_lie(tmp_path: Path) -> None:
    for number in range(16):
        array = part(number)
        if number == 11:
            array[30:60, 90:120] = np.random.default_rng(0).integers(0, 255, (30, 30, 3))
        Image.fromarray(np.rot90(array, number)).save(tmp_path / f"{number:02}.png")
    found = audit(tmp_path, rule="anywhere", **SMALL)
    assert Path(found.images[0].path).name == "11.png"
    left, top, right, bottom = found.images[0].region
    # By three quarter turns: row and column (45, 105) come to (105, 115).
    assert left < 115 < right
    assert top < 105 < bottom


@pytest.mark.usefixtures("one_backbone")
def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(DatasetError, match="1 readable training pictures"):
        pictures_of([part(0)])
    nowhere = torch.zeros(200, 200, dtype=torch.bool)
    nowhere[0, 0] = True
    with pytest.raises(UsageError, match="covers no patch"):
        pictures_of([part(0), part(1)], roi=nowhere)
