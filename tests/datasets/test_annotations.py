"""Masks as annotation tools export them: the same defect from each, by the same convention."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from softpatch.datasets import find_problems, read_category
from softpatch.datasets.check import require_marks
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


def label_me(kind: str | None, points: Any, **more: Any) -> Write:
    def write(folder: Path, name: str) -> None:
        shape = {"label": "a", "points": points, "shape_type": kind, **more}
        point = {"label": "b", "points": [[1, 1]], "shape_type": "point"}
        line = {"label": "b", "points": [[1, 1], [9, 9]], "shape_type": "linestrip"}
        content = {
            "version": "5.2.1", "shapes": [point, shape, line], "imagePath": name,
            "imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1],
        }  # fmt: skip
        (folder / f"{name[-5]}.json").write_text(json.dumps(content))

    return write


def voc_with(shape: str) -> Write:
    def write(folder: Path, name: str) -> None:
        size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height><depth>3</depth></size>"
        place = f"<folder>images</folder><filename>{name}</filename>"
        one = f"<object><name>a</name><attributes><a>1</a></attributes>{shape}</object>"
        (folder / f"{name[-5]}.xml").write_text(f"<annotation>{place}{size}{one}</annotation>")

    return write


voc = voc_with("<bndbox><xmin>4</xmin><ymin>6</ymin><xmax>8</xmax><ymax>10</ymax></bndbox>")


def in_text(marks: Any) -> str:
    content = io.BytesIO()
    Image.fromarray(marks).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


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
CORNERS = [list(pair) for pair in zip(OUTLINE[::2], OUTLINE[1::2], strict=True)]
POINTS = [[x * ACROSS, y * DOWN] for x, y in CORNERS]
RECTANGLE = {"x": 4 * ACROSS, "y": 6 * DOWN, "width": 4 * ACROSS, "height": 4 * DOWN}
TOOLS: dict[str, Write] = {
    "COCO, outline": coco([OUTLINE]),
    "COCO, two outlines": coco([[4, 6, 6, 6, 6, 10, 4, 10], [6, 6, 8, 6, 8, 10, 6, 10]]),
    "COCO, run lengths": coco({"size": list(SIZE), "counts": runs(SQUARE.T.ravel())}),
    "COCO, compressed": coco({"size": list(SIZE), "counts": "f24`000000b="}),
    "COCO, box alone": coco([], bbox=[4, 6, 4, 4]),
    "COCO, box and no outlines": coco(None, bbox=[4, 6, 4, 4]),
    "COCO, box and an outline of nothing": coco([[]], bbox=[4, 6, 4, 4]),
    "COCO, box and an outline of two points": coco([[4, 6, 8, 10]], bbox=[4, 6, 4, 4]),
    "COCO, box and numbers in no outline": coco(OUTLINE, bbox=[4, 6, 4, 4]),
    "COCO, outline and a line": coco([OUTLINE, [0, 0, 9, 9]]),
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
    "Label Me, outline": label_me("polygon", CORNERS),
    "Label Me of before": label_me(None, CORNERS),
    "Label Me, rectangle": label_me("rectangle", [[8, 10], [4, 6]]),
    "Label Me, turned rectangle": label_me("oriented_rectangle", CORNERS),
    "Label Me, mask": label_me("mask", [[4, 6], [7, 9]], mask=in_text(SQUARE[6:10, 4:8])),
    "Label Me, rectangle by its corners": label_me("rectangle", CORNERS),
    "Pascal VOC": voc,
    "Pascal VOC, turned box": voc_with(
        "<robndbox><cx>6</cx><cy>8</cy><w>4</w><h>4</h><angle>1.5707963</angle></robndbox>"
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
@pytest.mark.parametrize("place", ["", "masks", "masks/scratch", "scratch"])
@pytest.mark.parametrize("name", ["0.png", "scratch/0.png", r"part\scratch\0.png"])
def test_a_square_of_four_by_four_is_sixteen_pixels_from_every_tool(
    tool: str, place: str, name: str, folder: Path
) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    (folder / place).mkdir(exist_ok=True)
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


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("0.png", "0.PNG"), ("Teil.png", "teil.png"), ("0.png", "SCRATCH/0.png"),
        ("0.png", r"C:\Pictures\Scratch\0.Png"), ("0.png", "../part/scratch/0.png"),
        ("a b.png", "a%20b.png"), ("ä.png", "%C3%A4.png"), ("100%.png", "100%.png"),
        ("a[1].png", "a[1].png"), ("a#1.png", "a#1.png"), ("a?.png", "a?.png"),
        ("\u00e4.png", "a\u0308.png"), ("a\u0308.png", "\u00c4.png"),
        ("0.png", "images/1f0c3a7e-0.png"), ("1f0c3a7e-0.png", "1f0c3a7e-0.png"),
        ("0.png", "/data/local-files/?d=scratch/0.png"),
        ("0.png", "https://store/parts/scratch/0.png?signature=a/b.png"),
        ("0.png", "s3://store/0.png"), ("Teil 1 (3).png", "1f0c3a7e-Teil_1_3.png"),
    ],
)  # fmt: skip
def test_names_as_tools_and_systems_change_them(name: str, told: str, folder: Path) -> None:
    (folder / "scratch" / "0.png").rename(folder / "scratch" / name)
    coco([OUTLINE])(folder, told)
    category = read("part", folder)
    assert len(scratch(category).masks) == 1
    assert category.unmatched == ()
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    np.testing.assert_array_equal(read_mask(scratch(category), SIZE), SQUARE)


def entries(*names: str) -> Write:
    """Each with a square of its own: the first 1 x 1 pixel, the second 2 x 2."""

    def write(folder: Path, name: str) -> None:
        images = [
            {"id": number, "file_name": one, "height": SIZE[0], "width": SIZE[1]}
            for number, one in enumerate(names, start=1)
        ]
        marks = [
            {"image_id": side, "segmentation": [[0, 0, side, 0, side, side, 0, side]]}
            for side in range(1, len(names) + 1)
        ]
        content = {"images": images, "annotations": marks}
        (folder / name).write_text(json.dumps(content))

    return write


def pixels(category: Category) -> dict[str, int]:
    """How many are marked of each defective picture."""
    return {
        f"{sample.kind}/{sample.path.name}": int(read_mask(sample, SIZE).sum())
        for sample in category.defects
    }


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("L", SIZE[::-1]).save(folder / name)


def test_the_name_as_it_is_comes_before_its_case_and_the_folder_before_both(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    put(folder, "scratch/a.png", "scratch/A.png", "dent/0.PNG", "dent/b.png")
    names = "scratch/A.png", "scratch/a.png", "scratch/0.PNG", "images/B.png", "part2/dent/0.PNG"
    entries(*names)(folder, "a.json")
    category = read("part", folder)
    assert pixels(category) == {
        "dent/0.PNG": 25, "dent/b.png": 16, "scratch/0.png": 9, "scratch/A.png": 1,
        "scratch/a.png": 4,
    }  # fmt: skip
    assert category.unmatched == ()


def test_of_other_categories_is_not_of_this_one(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    entries("other/scratch/0.png", "part/scratch/0.png", "scratch/9.png")(folder, "a.json")
    category = read("part", folder)
    assert pixels(category) == {"scratch/0.png": 4}
    [told] = category.unmatched
    assert told == (
        "2 picture(s) marked that are not here: scratch/9.png of a.json and others "
        "(yours are called like scratch/0.png)"
    )


@pytest.mark.parametrize(
    ("pictures", "names", "told"),
    [
        (["scratch/A.png", "scratch/a.PNG"], ["a.png"], r"a\.png may be A\.png or a\.PNG of"),
        ([], ["0.PNG", "0.Png"], r"0\.PNG and 0\.Png may both be .*scratch/0\.png"),
        ([], ["new/0.png", "old/0.png"], r"new/0\.png and old/0\.png may both be"),
    ],
)
def test_names_that_may_be_this_or_that_are_an_error(
    folder: Path, pictures: list[str], names: list[str], told: str
) -> None:
    put(folder, *pictures)
    entries(*names)(folder, "a.json")
    with pytest.raises(DatasetError, match=rf"a\.json: {told}.*; rename one of them$"):
        read("part", folder)


def test_marks_of_a_picture_that_is_gone_go_to_none_of_its_name_elsewhere(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    put(folder, "dent/1.png", "scratch/9.png")
    entries("dent/0.png", "good/9.png", "images/0.png")(folder, "a.json")
    TOOLS["Label Me, outline"](folder / "dent", "9.png")
    category = read("part", folder)
    assert pixels(category) == {"dent/1.png": 0, "scratch/0.png": 9, "scratch/9.png": 0}
    [told] = category.unmatched
    assert told.startswith("3 picture(s) marked that are not here: dent/0.png of a.json and others")


def test_a_category_that_is_called_as_one_of_its_kinds(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    folder = folder.rename(folder.with_name("scratch"))
    put(folder, "dent/0.png", "dent/1.png")
    entries("0.png", "1.png")(folder, "a.json")
    category = read("scratch", folder)
    assert pixels(category) == {"dent/0.png": 0, "dent/1.png": 4, "scratch/0.png": 0}
    assert "whose names several kinds have: 0.png of a.json" in str(category.unmatched)


def test_pictures_without_marks_cannot_be_mistaken(folder: Path) -> None:
    entries("0.PNG", "0.Png")(folder, "a.json")
    content = json.loads((folder / "a.json").read_text())
    content["annotations"].pop()
    (folder / "a.json").write_text(json.dumps(content))
    assert len(scratch(read("part", folder)).masks) == 1


def test_one_picture_marked_twice_has_both_marks(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    entries("0.png", "0.png")(folder, "a.json")
    cvat('<box xtl="4" ytl="6" xbr="8" ybr="10"/>')(folder, "0.png")
    assert pixels(read("part", folder)) == {"scratch/0.png": 4 + 16}


def test_names_that_several_kinds_have_are_told(folder: Path) -> None:
    put(folder, "dent/0.png", "dent/1.png")
    entries("0.png", "1.png")(folder, "a.json")
    category = read("part", folder)
    [told] = category.unmatched
    assert told == "1 picture(s) marked whose names several kinds have: 0.png of a.json"
    assert {sample.path.name for sample in category.defects if sample.masks} == {"1.png"}
    assert told in find_problems(category)


def test_what_is_marked_of_pictures_that_are_not_here_is_told(folder: Path) -> None:
    entries("0.png", "8.png", "9.png")(folder, "a.json")
    content = json.loads((folder / "a.json").read_text())
    content["images"].pop()  # now its number is unknown
    content["images"].append({"id": 9, "file_name": "unmarked.png", "height": 4, "width": 4})
    (folder / "a.json").write_text(json.dumps(content))
    [told] = read("part", folder).unmatched
    assert told.startswith("2 picture(s) marked that are not here: 8.png of a.json and others (")
    content["images"].pop(1)
    (folder / "a.json").write_text(json.dumps(content))
    [told] = read("part", folder).unmatched
    assert told.startswith("2 picture(s) marked that are not here: image_id 2 of a.json and oth")


@pytest.mark.parametrize("name", ["0.jpg", "gone/x.png"])
def test_where_nothing_is_marked_that_is_here_it_is_an_error(folder: Path, name: str) -> None:
    TOOLS["COCO, outline"](folder, name)
    told = rf"part: no masks: 1 picture\(s\) marked that are not here: {name} of instances_default"
    with pytest.raises(DatasetError, match=told):
        read("part", folder)
    Image.fromarray(SQUARE).save(folder / "masks" / "0_mask.png")  # not needed any more
    [told] = read("part", folder).unmatched
    assert told in find_problems(read("part", folder))
    TOOLS["COCO, outline"](folder, "good/3.png")  # which needs none
    assert read("part", folder).unmatched == ()


@pytest.mark.parametrize("tool", ["Label Me, outline", "Pascal VOC"])
def test_a_file_for_a_picture_that_was_renamed_is_known_by_its_own_name(
    tool: str, folder: Path
) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    put(folder, "dent/0.png")
    TOOLS[tool](folder / "scratch", "IMG_7.png")
    [file] = (folder / "scratch").glob("7.*[ln]")
    file.rename(file.with_stem("0"))
    assert pixels(read("part", folder)) == {"dent/0.png": 0, "scratch/0.png": 16}


def test_a_circle_reaches_from_its_centre_to_the_other_point(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    label_me("circle", [[10, 10], [10, 4]])(folder, "0.png")
    marks = read_mask(scratch(read("part", folder)), SIZE)
    assert marks.sum() == pytest.approx(np.pi * 36, rel=0.05)
    assert marks.any(axis=1).sum() == 12


@pytest.mark.parametrize("told", [None, 0])
def test_where_the_tool_knows_no_size_it_is_the_pictures(told: int | None, folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    TOOLS["Label Me, outline"](folder, "0.png")
    content = json.loads((folder / "0.json").read_text())
    content["imageHeight"] = content["imageWidth"] = told
    (folder / "0.json").write_text(json.dumps(content))
    np.testing.assert_array_equal(read_mask(scratch(read("part", folder)), SIZE), SQUARE)


FRAME = '<box frame="0" outside="0" xtl="4" ytl="6" xbr="8" ybr="10"/>'


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "a.xml", f'<annotations><track id="0" label="a">{FRAME}</track></annotations>',
            "CVAT for video is not read: export it as CVAT for images",
        ),
        (
            "a.json", '[{"image": "0.png", "annotation_id": 1, "annotator": 1, "label": []}]',
            "JSON-MIN of Label Studio is not read: export it as JSON",
        ),
        (
            "a.json", '{"_via_settings": {}, "_via_img_metadata": {"0.png1": {"regions": []}}}',
            "a project of VIA is not read: export it as COCO",
        ),
    ],
)  # fmt: skip
def test_a_form_that_is_not_read_is_named_with_what_to_export_instead(
    name: str, content: str, told: str, folder: Path
) -> None:
    (folder / name).write_text(content)
    name = Path(name).name
    with pytest.raises(DatasetError, match=rf"part: no masks: {name}: {told}"):
        read("part", folder)
    Image.fromarray(SQUARE).save(folder / "masks" / "0_mask.png")
    [line] = read("part", folder).unmatched
    assert line.startswith(f"{name}: {told}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scratch/0.txt", "0 0.2 0.4 0.1 0.2\n\n12 1 0 .5 1.0 0.25 1e-3\n"),
        ("masks/0.TXT", "3 0.2 0.4 0.1 0.2"),
    ],
)
def test_labels_of_yolo_are_named_and_the_pictures_measured_without(
    name: str, content: str, folder: Path
) -> None:
    (folder / name).write_text(content)
    found = read("part", folder)
    assert not any(sample.masks for sample in found.test)
    told = f"{Path(name).name}: labels of YOLO are not read: export them as COCO"
    assert told in found.unmatched


def test_files_that_are_not_read_are_told_in_one_line(folder: Path) -> None:
    for number in range(3):
        Image.new("L", SIZE[::-1]).save(folder / "scratch" / f"{number}.png")
        (folder / "scratch" / f"{number}.txt").write_text("0 0.2 0.4 0.1 0.2")
    Image.fromarray(SQUARE).save(folder / "masks" / "0_mask.png")
    [line] = read("part", folder).unmatched
    assert line == "0.txt and others: labels of YOLO are not read: export them as COCO"


@pytest.mark.parametrize("place", ["", "masks", "scratch"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("0.txt", b""), ("0.txt", b"\n"), ("0.txt", b"a scratch at 3 4"), ("0.txt", b"1 2 3 4 5"),
        ("0.txt", b"0 0.2 0.4 0.1"), ("0.txt", b"0 0.2 0.4 0.1 nan"), ("0.txt", b"\xff\xfe0\x00"),
        ("0.txt", b"-1 0.2 0.4 0.1 0.1"), ("0.txt", b"0 0.2 0.4 0.1 0.1\nfrom the left"),
        ("classes.txt", b"scratch"), ("readme.txt", b"0 0.2 0.4 0.1 0.2"),
    ],
)  # fmt: skip
def test_other_text_is_of_no_tool(folder: Path, place: str, name: str, content: bytes) -> None:
    (folder / place / name).write_bytes(content)
    category = read("part", folder)
    assert (scratch(category).masks, category.unmatched) == ((), ())


@pytest.mark.parametrize("place", ["", "masks", "scratch"])
def test_other_files_of_these_kinds_mark_nothing(folder: Path, place: str) -> None:
    for name, content in {
        "settings.json": '{"a": 1}', "list.json": "[1, 2]", "page.xml": "<html/>",
        "package.json": '{"name": "a", "images": []}', "broken page.xml": "<html><",
        "decisions.json": '{"decisions": {"0.png": "bad"}}', "tasks.json": '[{"data": {}}]',
        "java.xml": '<annotation name="Override"/>', "text.json": '"annotations"',
        "entity.xml": '<!DOCTYPE a [<!ENTITY b "b">]><a/>', ".hidden.json": "{",
    }.items():  # fmt: skip
        (folder / place / name).write_text(content)
    (folder / place / "folder.json").mkdir()
    category = read("part", folder)
    assert (scratch(category).masks, category.unmatched) == ((), ())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b""), ("a.xml", b""), ("a.json", b"{"), ("a.json", b"[" * 100_000),
        ("a.json", b'{"images": ['), ("a.xml", b"hello"), ("a.json", bytes(range(256))),
        ("a.xml", bytes(range(256))), ("a.json", b"\xff\xfe\x00"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_to_be_of_a_tool_is_passed_over_and_said(
    folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    category = read("part", folder)
    assert category.unmatched == (f"1 file(s) passed over, neither JSON nor XML: {name}",)
    TOOLS["Label Me, outline"](folder, "0.png")
    assert [path.name for path in scratch(read("part", folder)).masks] == ["0.json"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"images": [{}], "annotations": []}'),
        ("a.json", '{"images": [], "annotations": 3}'), ("a.xml", "<annotations>"),
        ("a.json", '{"images": [{"file_name": 3, "id": []}], "annotations": []}'),
        ("a.json", '{"shapes": 3, "imagePath": "0.png"}'),
        ("a.json", '{"shapes": [{"points": [[1, 2], [3]]}], "imagePath": "0.png"}'),
        ("a.json", '{"shapes": [], "imagePath": null}'),
        ("a.json", '[{"data": {"image": "0.png"}, "annotations": [3]}]'),
        ("a.xml", "<annotation><filename>0.png</filename><bndbox/></annotation>"),
        ("a.xml", '<annotations><image name="a"/></annotations>'),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "b">]><annotations/>'),
    ],
)  # fmt: skip
def test_damaged_annotations_are_one_line(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(DatasetError, match=rf"{name}: damaged annotations \("):
        read("part", folder)


@pytest.mark.parametrize(
    "tool",
    ["COCO, outline", "CVAT, outline", "Label Me, outline", "Pascal VOC", "Label Studio, outline"],
)
def test_annotations_that_are_cut_are_one_line(folder: Path, tool: str) -> None:
    TOOLS[tool](folder, "0.png")
    [file] = [path for path in folder.iterdir() if path.is_file()]
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 9 // 10])
    with pytest.raises(DatasetError, match=rf"{file.name}: damaged annotations \("):
        read("part", folder)


def vector(closed: bool) -> Write:
    corners = [{"x": x, "y": y} for x, y in POINTS]
    return label_studio("vectorlabels", vertices=corners, closed=closed)


@pytest.mark.parametrize(
    ("write", "kind", "instead"),
    [
        (cvat('<cuboid xtl1="1" ytl1="1"/>'), "cuboid", "draw it as a polygon"),
        (cvat('<blob at="1,1"/>'), "blob", "draw it as a polygon"),
        (label_studio("bitmask", imageDataURL="data:"), "bitmask", "draw it as a polygon"),
        (vector(closed=True), "vectorlabels", "draw it as a polygon"),
        (label_me("cube", CORNERS), "cube", "draw it as a polygon"),
        (voc_with("<polygon><x1>1</x1><y1>2</y1></polygon>"), "polygon", "export it as COCO"),
    ],
)
def test_shapes_that_are_not_read_are_named_with_what_to_do(
    write: Write, kind: str, instead: str, folder: Path
) -> None:
    write(folder, "0.png")
    told = rf"(json|xml): shape '{kind}' of 0\.png is not read: {instead}$"
    category = read("part", folder)
    with pytest.raises(DatasetError, match=told):
        read_mask(scratch(category), SIZE)
    with pytest.raises(DatasetError, match=told):
        require_marks(category)
    assert [line for line in find_problems(category) if "cannot be read" in line]


@pytest.mark.parametrize(
    "write",
    [
        cvat('<polyline points="1,1;9,9"/><points points="1,1"/><tag label="a"/><skeleton/>'),
        coco(None), coco(None, bbox=None), vector(closed=False), voc_with(""),
        voc_with("<point><x>1</x><y>1</y></point>"), label_me("points", CORNERS),
        label_studio("keypointlabels", x=1, y=1, width=1), label_studio("choices", choices=["a"]),
        label_studio("labels", **RECTANGLE), label_studio("textarea", text=["deep"], **RECTANGLE),
    ],
)  # fmt: skip
def test_classes_points_and_lines_mark_nothing(write: Write, folder: Path) -> None:
    write(folder, "0.png")
    category = read("part", folder)
    assert not read_mask(scratch(category), SIZE).any()
    assert category.unmatched == ()


def test_a_useless_shape_does_not_matter_to_other_pictures(folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    put(folder, "scratch/1.png")
    entries("1.png", "good/0.png", "0.png")(folder, "a.json")
    content = json.loads((folder / "a.json").read_text())
    content["annotations"][1] = {"image_id": 2, "segmentation": [[]], "bbox": []}
    content["annotations"].append({"image_id": 1, "category_id": 4})  # a class
    (folder / "a.json").write_text(json.dumps(content))
    assert pixels(read("part", folder)) == {"scratch/0.png": 9, "scratch/1.png": 1}


def test_one_number_of_two_pictures_is_an_error_if_it_is_marked(folder: Path) -> None:
    put(folder, "scratch/1.png")
    entries("0.png", "1.png", "2.png")(folder, "a.json")
    content = json.loads((folder / "a.json").read_text())
    content["images"][1]["id"] = 1
    (folder / "a.json").write_text(json.dumps(content))
    with pytest.raises(
        DatasetError, match=r"a\.json: .*id 1 is of two pictures, 0\.png and 1\.png"
    ):
        read("part", folder)
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] == 3]
    (folder / "a.json").write_text(json.dumps(content))
    assert len(read("part", folder).defects[0].masks) == 1


def task(data: dict[str, Any], *results: tuple[int, dict[str, Any]]) -> str:
    """With a square each, in the corner, of so many pixels a side."""
    marked = [
        {
            "type": "rectanglelabels", "original_width": SIZE[1], "original_height": SIZE[0],
            "value": {"x": 0, "y": 0, "width": side * ACROSS, "height": side * DOWN}, **more,
        }
        for side, more in results
    ]  # fmt: skip
    return json.dumps([{"id": 5, "data": data, "annotations": [{"result": marked}]}])


UPLOAD = "/data/upload/1/1f0c3a7e-"
LEFT, RIGHT = {"to_name": "left"}, {"to_name": "right"}


@pytest.mark.parametrize(
    ("content", "marked"),
    [
        (
            task({"left": f"{UPLOAD}0.png", "right": f"{UPLOAD}1.png"}, (2, LEFT), (3, RIGHT)),
            {"scratch/0.png": 4, "scratch/1.png": 9},
        ),
        (
            task({"reference": "good/3.png", "right": "0.png", "n": "1.png"}, (3, RIGHT)),
            {"scratch/0.png": 9},
        ),
        (task({"a": "http://b/?c=4", "right": "a comment", "i": "0.png"}, (3, LEFT)),
            {"scratch/0.png": 9}),
        (task({"b": "0.png", "a": "0.png"}, (3, LEFT)), {"scratch/0.png": 9}),
        (task({"pages": [f"{UPLOAD}0.png"]}, (2, {})), {"scratch/0.png": 4}),
        (
            task({"pages": ["0.png", "1.png"]}, (2, {"item_index": 1}), (3, {"item_index": 0})),
            {"scratch/0.png": 9, "scratch/1.png": 4},
        ),
        (
            task({"left": ["1.png", "0.png"], "b": "1.png"}, (2, {**LEFT, "item_index": 1})),
            {"scratch/0.png": 4},
        ),
    ],
)  # fmt: skip
def test_of_a_task_of_several_pictures_the_one_is_marked_that_is_named(
    content: str, marked: dict[str, int], folder: Path
) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    put(folder, "scratch/1.png")
    (folder / "l.json").write_text(content)
    category = read("part", folder)
    assert pixels(category) == {"scratch/0.png": 0, "scratch/1.png": 0, **marked}
    assert category.unmatched == ()


@pytest.mark.parametrize(
    "content",
    [
        task({"a": "0.png", "b": "1.png"}, (2, LEFT), (3, RIGHT)),
        task({"a": "0.png", "b": "1.png"}, (2, {})),
        task({"reference": "good/3.png", "image": "1.png"}, (2, LEFT)),
        task({"pages": ["0.png", "1.png"]}, (2, {})),
        task({"pages": ["0.png", "1.png"]}, (2, {"item_index": 2}), (3, {"item_index": -1})),
        task({"left": ["0.png", "1.png"], "b": "0.png"}, (2, LEFT)),
        task({"pages": [{"url": "0.png"}]}, (2, {})), task({"pages": []}, (2, {})),
        task({}, (2, {})),
    ],
)  # fmt: skip
def test_marks_of_one_or_another_picture_of_a_task_go_to_none(folder: Path, content: str) -> None:
    put(folder, "scratch/1.png")
    (folder / "l.json").write_text(content)
    told = "1 task(s) of which it cannot be told which picture is marked: task 5 of l.json"
    with pytest.raises(DatasetError, match=re.escape(f"part: no masks: {told}")):
        read("part", folder)
    Image.fromarray(SQUARE).save(folder / "masks" / "0_mask.png")
    category = read("part", folder)
    assert [len(sample.masks) for sample in category.defects] == [1, 0]
    assert category.unmatched == (told,)


def test_what_is_said_of_one_or_another_picture_of_a_task_does_not_matter(folder: Path) -> None:
    content = task({"a": "0.png", "b": "1.png"}, (2, {"type": "choices"}))
    (folder / "l.json").write_text(content)
    category = read("part", folder)
    assert (scratch(category).masks, category.unmatched) == ((), ())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
@pytest.mark.parametrize("tool", ["CVAT, box", "Pascal VOC", "COCO, outline"])
def test_how_a_file_is_encoded_does_not_matter(encoding: str, tool: str, folder: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    TOOLS[tool](folder, "0.png")
    [file] = [path for path in folder.iterdir() if path.is_file()]
    text = file.read_text()
    if file.suffix == ".xml":
        text = text.removeprefix('<?xml version="1.0"?>')
        declared = "utf-8" if encoding == "utf-8-sig" else "utf-16"
        text = f'<?xml version="1.0" encoding="{declared}"?>\n{text}'
    file.write_bytes(text.encode(encoding))
    category = read("part", folder)
    np.testing.assert_array_equal(read_mask(scratch(category), SIZE), SQUARE)
    if file.suffix == ".xml":
        text = text.replace("?>", '?><!DOCTYPE a [<!ENTITY b "b">]>')
        file.write_bytes(text.encode(encoding))
        with pytest.raises(DatasetError, match="defines entities"):
            read("part", folder)


@pytest.mark.parametrize("tool", ["COCO, outline", "CVAT, box", "Label Me, outline", "Pascal VOC"])
@pytest.mark.parametrize(
    "place", ["", "test", "test/scratch", "ground_truth", "ground_truth/scratch"]
)
@pytest.mark.parametrize("name", ["0.png", "scratch/0.png", "test/scratch/0.png"])
def test_a_tree_of_ones_own_in_halves_is_marked_likewise(
    tool: str, place: str, name: str, tmp_path: Path
) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    tree = in_halves(tmp_path)
    TOOLS[tool](tree / place, name)
    category = read_category(tree)
    assert pixels(category) == {"scratch/0.png": 16}
    assert (category.unmatched, len(category.test)) == ((), 2)


def in_halves(folder: Path) -> Path:
    for name in ("train/good", "test/good", "test/scratch", "ground_truth/scratch"):
        (folder / "part" / name).mkdir(parents=True)
    put(folder / "part", "train/good/0.png", "train/good/1.png", "test/good/0.png")
    put(folder / "part", "test/scratch/0.png")
    return folder / "part"


def test_in_halves_too_masks_come_first_and_what_is_of_no_use_is_told(tmp_path: Path) -> None:
    tree = in_halves(tmp_path)
    TOOLS["COCO, outline"](tree, "gone/x.png")
    with pytest.raises(DatasetError, match=r"part: no masks: 1 picture\(s\) marked that are not"):
        read_category(tree)
    Image.fromarray(SQUARE).save(tree / "ground_truth" / "scratch" / "0_mask.png")
    category = read_category(tree)
    assert [path.name for path in scratch(category).masks] == ["0_mask.png"]
    [told] = category.unmatched
    assert told in find_problems(category)
    TOOLS["COCO, outline"](tree, "test/scratch/0.png")
    category = read_category(tree)
    assert [path.name for path in scratch(category).masks] == ["0_mask.png"]
    assert category.unmatched == ()


@pytest.mark.parametrize("kind", ["scratch", "test/scratch"])
def test_marks_of_a_category_that_lies_beside_this_one_go_to_it_alone(
    kind: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    if kind == "test/scratch":
        folder = in_halves(tmp_path / "halves")
    put(folder, f"{kind}/1.png")
    cap = folder.parent / "cap"
    cap.mkdir()
    entries(f"cap/{kind}/0.png", f"old/{kind}/1.png")(folder, "a.json")
    monkeypatch.chdir(folder)
    for place in (folder, Path()):
        category = read("part", place) if kind == "scratch" else read_category(place)
        assert pixels(category) == {"scratch/0.png": 0, "scratch/1.png": 4}
        [told] = category.unmatched
        assert f"1 picture(s) marked that are not here: cap/{kind}/0.png of a.json" in told


def test_marks_of_a_picture_that_is_gone_from_one_half_go_to_none_of_the_other(
    tmp_path: Path,
) -> None:
    tree = in_halves(tmp_path)
    put(tree, "train/good/5.png", "test/scratch/6.png")
    (tree / "test" / "good" / "0.png").unlink()
    (tree / "test" / "good").rmdir()
    names = "test/scratch/5.png", "train/good/6.png", "scratch/1.png", "train/good/0.png", "0.png"
    entries(*names)(tree, "a.json")
    category = read_category(tree)
    assert {sample.path.name for sample in category.defects if sample.masks} == {"0.png"}
    [told] = category.unmatched
    assert told.startswith("3 picture(s) marked that are not here: ")


def test_a_mere_name_in_halves_is_of_no_kind_called_as_the_category(tmp_path: Path) -> None:
    tree = in_halves(tmp_path)
    tree = tree.rename(tmp_path / "scratch")
    put(tree, "test/dent/0.png", "test/dent/1.png")
    entries("0.png", "1.png")(tree, "a.json")
    assert "whose names several kinds have: 0.png of a.json" in str(read_category(tree).unmatched)


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
        coco([None]), coco([]), coco([], bbox=[]), coco(None, bbox=[4, 6]), coco(OUTLINE),
        coco("0 0 1 1"), cvat('<polygon points=""/>'), cvat('<box xtl="4"/>'),
        label_studio("polygonlabels"), label_me("polygon", CORNERS[:2]),
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

    monkeypatch.setattr("softpatch.datasets.annotations.reading.open_ordinary", counting)
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
