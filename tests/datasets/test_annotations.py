"""Masks as annotation tools export them: the same defect from each, by the same convention."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from softpatch.datasets import find_problems
from softpatch.datasets.folder import read
from softpatch.datasets.samples import Category, Sample, read_mask
from softpatch.errors import DatasetError, MissingExtraError
from softpatch.runtime.files import open_ordinary

SIZE = (20, 30)  # height and width
SQUARE = np.zeros(SIZE, dtype=bool)
SQUARE[6:10, 4:8] = True  # 4 x 4: from (4, 6) to (8, 10)
OUTLINE = [4, 6, 8, 6, 8, 10, 4, 10]
Write = Callable[[Path, str], None]


def coco(segmentation: Any, **more: Any) -> Write:
    def write(folder: Path, name: str) -> None:
        images = [
            {"id": 7, "file_name": "other.png", "height": 5, "width": 5},
            {"id": 3, "file_name": name, "height": SIZE[0], "width": SIZE[1]},
        ]
        one = {"id": 1, "image_id": 3, "category_id": 1, "segmentation": segmentation, **more}
        content = {"images": images, "annotations": [one], "categories": [{"id": 1, "name": "a"}]}
        (folder / "instances_default.json").write_text(json.dumps(content))

    return write


def runs(marks: Any) -> list[int]:
    """Lengths of runs in a row of bools, of those outside first."""
    ends = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]])))
    lengths: list[int] = np.diff(np.concatenate([[0], ends, [len(marks)]])).tolist()
    return lengths


def cvat(shape: str) -> Write:
    def write(folder: Path, name: str) -> None:
        image = f'<image id="0" name="{name}" width="{SIZE[1]}" height="{SIZE[0]}">{shape}</image>'
        text = f'<?xml version="1.0"?><annotations><version>1.1</version>{image}</annotations>'
        (folder / "annotations.xml").write_text(text)

    return write


def label_studio(kind: str, **value: Any) -> Write:
    def write(folder: Path, name: str) -> None:
        result = {
            "type": kind, "original_width": SIZE[1], "original_height": SIZE[0], "value": value,
        }  # fmt: skip
        choice = {"type": "choices", "value": {"choices": ["bad"]}}
        task = {
            "data": {"image": f"/data/upload/1/1f0c3a7e-{Path(name).name}", "line": 3},
            "annotations": [
                {"result": [choice, result]},
                {"was_cancelled": True, "result": [{**result, "value": {}}]},
            ],
        }
        (folder / "project-1.json").write_text(json.dumps([task]))

    return write


ACROSS, DOWN = 100 / SIZE[1], 100 / SIZE[0]
POINTS = [[x * ACROSS, y * DOWN] for x, y in zip(OUTLINE[::2], OUTLINE[1::2], strict=True)]
RECTANGLE = {"x": 4 * ACROSS, "y": 6 * DOWN, "width": 4 * ACROSS, "height": 4 * DOWN}
TOOLS: dict[str, Write] = {
    "COCO, outline": coco([OUTLINE]),
    "COCO, two outlines": coco([[4, 6, 6, 6, 6, 10, 4, 10], [6, 6, 8, 6, 8, 10, 6, 10]]),
    "COCO, run lengths": coco({"size": list(SIZE), "counts": runs(SQUARE.T.ravel())}),
    "COCO, compressed": coco({"size": list(SIZE), "counts": "f24`000000b="}),
    "COCO, box alone": coco([], bbox=[4, 6, 4, 4]),
    "CVAT, outline": cvat('<polygon points="4.00,6.00;8.00,6.00;8.00,10.00;4.00,10.00"/>'),
    "CVAT, box": cvat('<box label="a" xtl="4" ytl="6" xbr="8" ybr="10"/>'),
    "CVAT, box turned": cvat('<box xtl="4" ytl="6" xbr="8" ybr="10" rotation="90.0"/>'),
    "CVAT, mask": cvat('<mask rle="0,16" left="4" top="6" width="4" height="4"/>'),
    "CVAT, mask with a border": cvat(
        '<mask rle="7, 4, 2, 4, 2, 4, 2, 4, 1" left="3" top="5" width="6" height="5"/>'
    ),
    "CVAT, without an area": cvat(
        '<points points="1,1"/><box xtl="4" ytl="6" xbr="8" ybr="10"/><polyline points="1,1;9,9"/>'
    ),
    "Label Studio, outline": label_studio("polygonlabels", points=POINTS),
    "Label Studio, rectangle": label_studio("rectanglelabels", rotation=0, **RECTANGLE),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A category of eight pictures, one of which has a scratch; it has a folder for masks."""
    for place, count in (("good", 7), ("scratch", 1), ("masks", 0)):
        (tmp_path / "part" / place).mkdir(parents=True)
        for number in range(count):
            Image.new("L", SIZE[::-1]).save(tmp_path / "part" / place / f"{number}.png")
    return tmp_path / "part"


def scratch(category: Category) -> Sample:
    [sample] = category.defects
    return sample


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("place", ["", "masks"])
@pytest.mark.parametrize("name", ["0.png", "scratch/0.png", r"part\scratch\0.png"])
def test_a_square_of_four_by_four_is_sixteen_pixels_from_every_tool(
    tool: str, place: str, name: str, folder: Path
) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    TOOLS[tool](folder / place, name)
    category = read("part", folder)
    assert read_mask(scratch(category), SIZE).sum() == 16
    np.testing.assert_array_equal(read_mask(scratch(category), SIZE), SQUARE)
    assert not [line for line in find_problems(category) if "mask" in line]


def test_what_was_brushed(folder: Path) -> None:
    pytest.importorskip("label_studio_sdk", reason="needs softpatch[labelstudio]")
    from label_studio_sdk.converter.brush import mask2rle

    brushed = label_studio("brushlabels", format="rle", rle=mask2rle(SQUARE.astype(np.uint8) * 255))
    brushed(folder, "0.png")
    np.testing.assert_array_equal(read_mask(scratch(read("part", folder)), SIZE), SQUARE)


def test_an_ellipse_has_about_its_area(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    cvat('<ellipse cx="15" cy="10" rx="10" ry="5" rotation="90"/>')(folder, "0.png")
    marks = read_mask(scratch(read("part", folder)), SIZE)
    assert marks.sum() == pytest.approx(np.pi * 10 * 5, rel=0.05)
    assert marks.any(axis=1).sum() == 20  # turned, it stands


def test_masks_and_names_that_two_kinds_have_come_first(folder: Path) -> None:
    TOOLS["COCO, outline"](folder, "0.png")
    (folder / "dent").mkdir()
    Image.new("L", SIZE[::-1]).save(folder / "dent" / "0.png")
    assert [sample.masks for sample in read("part", folder).defects] == [(), ()]
    TOOLS["COCO, outline"](folder, "dent/0.png")
    dent, of_scratch = read("part", folder).defects
    assert (dent.kind, len(dent.masks), len(of_scratch.masks)) == ("dent", 1, 0)
    Image.fromarray(SQUARE).save(folder / "masks" / "0_mask.png")
    (folder / "dent" / "0.png").unlink()
    assert [path.name for path in scratch(read("part", folder)).masks] == ["0_mask.png"]


def test_other_files_of_these_kinds_mark_nothing(folder: Path) -> None:
    (folder / "settings.json").write_text('{"a": 1}')
    (folder / "list.json").write_text("[1, 2]")
    (folder / "page.xml").write_text("<html/>")
    (folder / ".hidden.json").write_text("{")
    assert scratch(read("part", folder)).masks == ()


def test_of_no_picture_that_is_there_is_told(folder: Path) -> None:
    TOOLS["COCO, outline"](folder, "0.jpg")
    told = "1 file(s) left out, their counterpart is missing: instances_default.json"
    assert told in find_problems(read("part", folder))
    TOOLS["COCO, outline"](folder, "good/3.png")  # which needs none
    assert not [line for line in find_problems(read("part", folder)) if "counterpart" in line]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"), ("a.json", '{"images": [{}], "annotations": []}'),
        ("a.json", '{"images": [], "annotations": 3}'), ("a.xml", "<annotations>"),
        ("a.json", "[" * 100_000),
        ("a.xml", '<annotations><image name="a"/></annotations>'),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "b">]><annotations/>'),
    ],
)  # fmt: skip
def test_damaged_annotations_are_one_line(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(DatasetError, match=rf"{name}: damaged annotations \("):
        read("part", folder)


def size_of(height: float, width: float) -> Write:
    def write(folder: Path, name: str) -> None:
        image = {"id": 3, "file_name": name, "height": height, "width": width}
        one = {"image_id": 3, "segmentation": [OUTLINE]}
        content = {"images": [image], "annotations": [one]}
        (folder / "instances_default.json").write_text(json.dumps(content))

    return write


@pytest.mark.parametrize(
    "write",
    [
        # Of the first five pycocotools crashes, with the process.
        coco([[float("nan"), 6, 8, 6, 8, 10]]), coco([[1e300, 6, 8, 6, 8, 10]]),
        coco([[4, 6, 1e9, 6, 8, 10]]), cvat('<polygon points="nan,6;8,6;8,10"/>'),
        cvat('<ellipse cx="inf" cy="1" rx="1" ry="1"/>'),
        label_studio("rectanglelabels", **{**RECTANGLE, "x": float("nan")}),
        coco([[4, 6, 8, 6]]), coco([[]]), coco([["a", 6, 8, 6, 8, 10]]), coco([OUTLINE[:-1]]),
        coco([None]),
        coco({"size": list(SIZE), "counts": [5, 5]}), coco({"size": [5, 2], "counts": [5, 5]}),
        coco({"size": list(SIZE), "counts": [5, 2**40]}),
        coco({"size": list(SIZE), "counts": [-5, 605]}),
        coco({"size": list(SIZE), "counts": "f24"}), coco({"size": list(SIZE), "counts": "\t~"}),
        coco({"size": list(SIZE), "counts": []}),
        cvat('<mask rle="0,16" left="28" top="6" width="4" height="4"/>'),
        cvat('<mask rle="0,16" left="-8" top="6" width="4" height="4"/>'),
        cvat('<mask rle="0,99999999999999" left="4" top="6" width="4" height="4"/>'),
        size_of(10**9, 10**9), size_of(10**30, 1), size_of(-20, 30), size_of(0, 0),
    ],
)  # fmt: skip
def test_shapes_that_cannot_be_drawn_are_one_line(write: Write, folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    write(folder, "0.png")
    category = read("part", folder)
    with pytest.raises(DatasetError, match=r"(json|xml): damaged annotations of 0\.png \(.+\)$"):
        read_mask(scratch(category), SIZE)
    assert [line for line in find_problems(category) if "cannot be read" in line]


def test_a_file_for_each_picture_is_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):  # more than are kept
        Image.new("L", SIZE[::-1]).save(folder / "scratch" / f"{number}.png")
        TOOLS["COCO, outline"](folder, f"{number}.png")
        (folder / "instances_default.json").rename(folder / f"{number}.json")
    opened: list[Path] = []

    def counting(path: Path) -> Any:
        opened.append(path)
        return open_ordinary(path)

    monkeypatch.setattr("softpatch.datasets.annotations.open_ordinary", counting)
    category = read("part", folder)
    assert {sample.masks[0].stem == sample.path.stem for sample in category.defects} == {True}
    assert len(opened) == 20


def test_a_changed_file_is_read_again(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    TOOLS["COCO, outline"](folder, "0.png")
    sample = scratch(read("part", folder))
    coco([[0, 0, 2, 0, 2, 3, 0, 3]])(folder, "0.png")
    assert read_mask(sample, SIZE).sum() == 6
    TOOLS["COCO, outline"](folder, "gone.png")
    with pytest.raises(DatasetError, match=r"does not mark 0\.png any more"):
        read_mask(sample, SIZE)


def test_of_another_size_than_the_picture(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    TOOLS["COCO, outline"](folder, "0.png")
    Image.new("L", (8, 8)).save(folder / "scratch" / "0.png")
    [problem] = [line for line in find_problems(read("part", folder)) if "size" in line]
    assert problem.startswith(
        "1 mask(s) of another size than their picture: instances_default.json"
    )


@pytest.mark.parametrize(
    ("module", "write", "extra"),
    [
        ("pycocotools", TOOLS["COCO, outline"], "annotations"),
        ("label_studio_sdk.converter.brush", label_studio("brushlabels", rle=[]), "labelstudio"),
    ],
)
def test_a_missing_extra_is_named(
    module: str, write: Write, extra: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "0.png")
    monkeypatch.setitem(sys.modules, module, None)
    for ask in (
        lambda sample: read_mask(sample, SIZE),
        lambda _: find_problems(read("part", folder)),
    ):
        with pytest.raises(MissingExtraError, match=rf"pip install 'softpatch\[{extra}\]'"):
            ask(scratch(read("part", folder)))
