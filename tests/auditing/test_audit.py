"""The audit as a whole: ranking, regions, reasons, and what goes in and comes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import softpatch
from softpatch import (
    Audit,
    DatasetError,
    ImageError,
    SoftPatch,
    UnreadableImageWarning,
    UsageError,
    audit,
)
from softpatch.auditing.audit import LocalBackend
from softpatch.auditing.evidence import Evidence, gather
from softpatch.auditing.image_quality import ImageFacts, measure_images
from softpatch.auditing.report import summary, write_report
from softpatch.compute.progress import Progress, silent
from softpatch.detectors.embedder import Embedder
from softpatch.images.image_source import ImageSource
from softpatch.images.sources import OnUnreadable, fail_unreadable, image_sources
from softpatch.noise.discriminators import DISCRIMINATORS
from softpatch.runtime.intensity import FULL, Intensity
from tests.auditing.pictures import part, parts

pytestmark = pytest.mark.usefixtures("one_backbone")

SMALL: dict[str, Any] = {"resize": 64, "crop": 64, "dimension": 64}
SPOT = (slice(30, 60), slice(90, 120))  # rows, columns


def defective(seed: int) -> Image.Image:
    array = part(seed)
    array[SPOT] = np.random.default_rng(seed).integers(0, 255, (30, 30, 3))
    return Image.fromarray(array)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty good pictures, a defective one with its copy, and a broken file."""
    folder = tmp_path_factory.mktemp("audit") / "parts"
    parts(folder)
    (folder / "sub").mkdir()
    defective(50).save(folder / "sub" / "bad.png")
    defective(50).save(folder / "sub" / "copy.jpg", quality=90)
    (folder / "broken.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Audit:
    with pytest.warns(UnreadableImageWarning, match="broken.png") as caught:
        result = audit(folder, **SMALL)
    assert len(caught) == 1  # not once for each pass over the pictures
    return result


def test_defective_pictures_come_first_with_their_place(found: Audit) -> None:
    assert [Path(image.path).name for image in found.images[:2]] in (
        ["bad.png", "copy.jpg"], ["copy.jpg", "bad.png"],
    )  # fmt: skip
    for image in found.images[:2]:
        assert image.confidence > 0.5
        left, top, right, bottom = image.region
        assert left < 105 < right
        assert top < 45 < bottom
        assert (right - left) * (bottom - top) < 160 * 160 / 4


def test_ranking_is_complete_and_in_order(found: Audit, folder: Path) -> None:
    assert [image.rank for image in found.images] == list(range(1, 23))
    scores = [image.score for image in found.images]
    assert scores == sorted(scores, reverse=True)
    confidences = [image.confidence for image in found.images]
    assert confidences == sorted(confidences, reverse=True)
    assert {image.path for image in found.images} == {
        str(path) for path in folder.rglob("*.*") if path.name != "broken.png"
    }
    assert [error.name for error in found.unreadable] == [str(folder / "broken.png")]
    assert (found.contamination, found.interval) == (None, None)  # two do not tell how many are bad
    assert found.called.startswith("2 of 22 pictures stand out; how many are bad cannot be told")
    assert found.look_first == 12


def test_copies_of_a_defect_are_named(found: Audit) -> None:
    [group] = found.near_duplicates
    assert [Path(path).name for path in group] == ["bad.png", "copy.jpg"]
    assert found.duplicates == []
    for image in found.images[:2]:
        codes = [reason.code for reason in image.reasons]
        assert codes == ["outlier", "near-duplicate", "repeated-defect"]


@pytest.mark.parametrize("name", ["lof-distance", "lof"])
def test_suspicion_at_places_is_that_of_a_fit(name: str, folder: Path) -> None:
    readable = sorted(path for path in folder.rglob("*.*") if path.name != "broken.png")
    found = audit(readable, discriminator=name, **SMALL)
    detector = SoftPatch(discriminator=name, **SMALL).fit(readable)
    assert found.discriminator == name
    assert found.why == DISCRIMINATORS[name].words
    assert detector.suspects() == [(image.path, image.score) for image in found.images]
    own = detector.contamination()
    assert (own.rate, own.interval) == (found.contamination, found.interval)
    confidence = {image.path: image.confidence for image in found.images}
    assert own.confidence.tolist() == [confidence[name] for name in detector.image_names_]


def test_everything_but_the_maps_goes_through_json(found: Audit, folder: Path) -> None:
    content = json.loads(json.dumps(found.as_dict()))
    assert list(content) == [
        "images", "contamination", "interval", "called", "look_first", "discriminator", "why",
        "duplicates", "near_duplicates", "groups", "unreadable", "intensity",
        "limit_rests_on",
    ]  # fmt: skip
    assert list(content["images"][0]) == [
        "path", "rank", "score", "confidence", "reasons", "region", "group",
    ]  # fmt: skip
    assert list(content["images"][0]["reasons"][0]) == ["code", "text"]
    [unreadable] = content["unreadable"]
    assert unreadable == {
        "path": str(folder / "broken.png"), "reason": "the file is empty (0 bytes)",
    }  # fmt: skip
    assert len(found.rows()) == 22
    assert found.rows()[0]["reasons"] == "outlier near-duplicate repeated-defect"


def test_what_recurs_is_said_and_told_from_the_rest(tmp_path: Path) -> None:
    """The same kind of flaw, each time another one at another place."""
    folder = tmp_path / "parts"
    parts(folder, 24)
    for number in range(5):
        array = part(60 + number)
        top, left = 20 + 20 * number, 110 - 15 * number
        array[top : top + 24, left : left + 24] = (200, 30 + number, 20)
        Image.fromarray(array).save(folder / f"bad {number}.png")
    found = audit(folder, **{**SMALL, "resize": 128, "crop": 128})
    [group] = [paths for paths in found.groups.values() if "bad" in paths[0]]
    assert sorted(Path(path).name for path in group) == [f"bad {number}.png" for number in range(5)]
    of = found.images[0].group
    assert of is not None
    assert found.groups[of] == group == found.as_dict()["groups"][of - 1]
    assert [row["group"] for row in found.rows()].count(of) == 5
    assert f"5 of the first 5 show one kind of thing where they are oddest (group {of})" in (
        " ".join(summary(found))
    )


def test_report_is_written_whole(found: Audit, folder: Path, tmp_path: Path) -> None:
    written = write_report(found, folder, tmp_path / "out")
    assert [path.name for path in written] == ["audit.csv", "audit.json", "audit.html"]
    assert json.loads(written[1].read_text("utf-8")) == json.loads(json.dumps(found.as_dict()))
    assert written[0].read_text("utf-8").count("\n") == 23
    page = written[2].read_text("utf-8")
    assert page.count("data:image/jpeg") == page.count("data:image/png") == 22
    assert "sub/bad.png" in page
    assert "broken.png" in page


def test_only_the_most_suspicious_get_thumbnails(
    found: Audit, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softpatch.pages.review.THUMBNAILS", 5)
    page = write_report(found, folder, tmp_path)[2].read_text("utf-8")
    assert page.count("data:image/jpeg") == 5
    assert "Only the first 5 pictures have thumbnails" in page


def test_pictures_in_memory_can_be_audited(found: Audit) -> None:
    arrays = [part(number) for number in range(8)]
    from_list = audit(arrays, **SMALL)

    def one_by_one() -> Iterator[np.ndarray]:
        yield from arrays

    assert from_list.images == audit(one_by_one(), **SMALL).images
    assert {image.path for image in from_list.images} == {f"image {at}" for at in range(8)}


@pytest.mark.parametrize("name", ["lof-distance", "position-free"])
def test_maps_cover_tiled_pictures_and_regions(name: str, folder: Path) -> None:
    good = list(image_sources(sorted(folder.glob("0*.png"))[:6]))

    def found(**options: Any) -> Evidence:
        detector = SoftPatch(discriminator=name, **{**SMALL, **options})
        return gather(detector, good, Embedder.collect, fail_unreadable, silent)

    whole = found()
    side = 64 // 8
    assert {heat.shape for heat in whole.maps} == {(side, side)}
    assert all(heat.dtype == np.float32 for heat in whole.maps)
    tiled = found(tile=100)
    assert len(tiled.maps) == len(tiled.suspicion) == 6
    [shape] = {heat.shape for heat in tiled.maps}
    assert shape == (round(160 / 100 * side),) * 2
    assert set(tiled.boxes) == {(0, 0, 160, 160)}
    assert set(tiled.sizes) == {(160, 160)}

    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[:, 5:] = True
    right = found(roi=mask)
    for heat in right.maps:
        assert heat.shape == (side, side)
        assert (heat[:, : side // 2] == heat.min()).all()
        assert (heat[:, side // 2 :] > heat.min()).any()


def test_what_makes_a_picture_suspicious_is_said(found: Audit) -> None:
    assert found.discriminator == "held-out"
    assert "the other pictures" in found.why


def test_what_an_audit_does_not_take(folder: Path) -> None:
    names = "lof, nearest, gaussian, lof-distance, position-free"
    with pytest.raises(UsageError, match=f"discriminator 'median' is none of {names}"):
        audit(folder, discriminator="median")
    with pytest.raises(TypeError, match="no option 'kk'"):
        audit(folder, kk=3)


def test_too_few_pictures_are_an_error(folder: Path) -> None:
    with pytest.raises(DatasetError, match="1 readable training pictures"):
        audit([folder / "000.png"], **SMALL)


def test_audit_is_the_function() -> None:
    assert softpatch.audit is audit  # importing the package has not hidden it


def test_pictures_that_come_and_go_meanwhile_are_passed_over(tmp_path: Path) -> None:
    paths = parts(tmp_path, 6)
    content = paths[1].read_bytes()
    paths[1].unlink()

    class Camera(LocalBackend):
        @staticmethod
        def measure_images(
            sources: Iterable[ImageSource],
            on_unreadable: OnUnreadable,
            progress: Progress,
            intensity: Intensity = FULL,
        ) -> list[ImageFacts]:
            found = measure_images(sources, on_unreadable, progress, intensity)
            paths[0].unlink()
            paths[1].write_bytes(content)
            return found

    errors: list[ImageError] = []
    found = audit(paths, backend=Camera(), on_unreadable=errors.append, **SMALL)
    assert {image.path for image in found.images} == set(map(str, paths[2:]))
    assert [error.name for error in errors] == [str(paths[1]), str(paths[0])]
    paths[2].unlink()
    write_report(found, tmp_path, tmp_path / "report")
    assert (tmp_path / "report" / "audit.html").is_file()
