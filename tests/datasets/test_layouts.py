"""Every published layout, written in small and read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpatch.datasets import LAYOUTS, Category, find_problems, open_dataset
from softpatch.datasets.layout import hold_out
from softpatch.errors import DatasetError
from tests.datasets import trees

# layout: how to write it, its categories, pictures to train on, and to test on by kind
PUBLISHED: dict[str, tuple[Callable[[Path], Path], list[str], int, dict[str, int]]] = {
    "mvtec": (
        lambda root: trees.mvtec(root, "screw", "bottle"), ["bottle", "screw"],
        4, {"good": 2, "broken": 3, "dirt": 1},
    ),
    "mpdd": (
        lambda root: trees.mvtec(root, "tubes", "bracket_black"), ["bracket_black", "tubes"],
        4, {"good": 2, "broken": 3, "dirt": 1},
    ),
    "btad": (trees.btad, ["01", "02", "03"], 4, {"good": 2, "ko": 3}),
    "visa": (
        lambda root: trees.visa(root, "pcb1", "candle"), ["candle", "pcb1"],
        4, {"good": 2, "anomaly": 2},
    ),
    "mvtec_loco": (
        lambda root: trees.mvtec_loco(root, "pushpins", "juice_bottle"),
        ["juice_bottle", "pushpins"],
        4, {"good": 2, "logical_anomalies": 2, "structural_anomalies": 2},
    ),
    "mvtec_3d": (
        lambda root: trees.mvtec_3d(root, "tire", "bagel"), ["bagel", "tire"],
        4, {"good": 2, "hole": 3},
    ),
    # 10 items of 3 surfaces: items 3, 6 and 9 have a defective one; 5 and 10 are kept for the test
    "kolektor": (trees.kolektor, ["kolektor"], 8 * 3 - 3, {"good": 2 * 3, "defect": 3}),
    "magnetic_tile": (
        trees.magnetic_tile, ["magnetic_tile"],
        8, {"good": 2, "blowhole": 2, "break": 1, "crack": 2, "fray": 1, "uneven": 1},
    ),
    "elpv": (trees.elpv, ["elpv_mono", "elpv_poly"], 8, {"good": 2, "defective": 2}),
    "folder": (lambda root: trees.folder(root / "mine").parent, ["mine"],
               8, {"good": 2, "scratch": 2, "dent": 1}),
}  # fmt: skip

HEADER = trees.VISA_HEADER.encode() + b"\n"


def write(name: str, root: Path) -> Path:
    return PUBLISHED[name][0](root)


def one(root: Path, layout: str | None = None) -> Category:
    """The first category of a root."""
    dataset = open_dataset(root, layout)
    return dataset.read(dataset.categories[0])


def test_every_layout_is_tested_and_described() -> None:
    assert {*PUBLISHED, "elpv_graded"} == set(LAYOUTS)
    for name, layout in LAYOUTS.items():
        assert name == layout.name
        assert all((layout.title, layout.licence, layout.tree, layout.split))
        assert layout.url.startswith("https://") or name == "folder"
        assert "\n" not in layout.paths
    counts = {name: len(layout.categories) for name, layout in LAYOUTS.items()}
    assert counts == {
        "mvtec": 15, "mpdd": 6, "btad": 3, "visa": 12, "mvtec_loco": 5, "mvtec_3d": 10,
        "kolektor": 1, "magnetic_tile": 1, "elpv": 2, "elpv_graded": 2, "folder": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layout_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    _, categories, train, test = PUBLISHED[name]
    dataset = open_dataset(write(name, tmp_path))
    assert dataset.layout.name == name
    assert dataset.root == tmp_path
    assert list(dataset.categories) == categories
    for category in map(dataset.read, categories):
        assert category.name in categories
        assert len(category.train) == train
        assert {sample.kind for sample in category.train} == {"good"}
        assert Counter(sample.kind for sample in category.test) == test
        assert not category.unused
        every = [sample.path for sample in (*category.train, *category.test)]
        assert len(set(every)) == len(every)
        assert all(path.is_file() and path.is_relative_to(category.folder) for path in every)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "elpv"])
def test_good_pictures_have_no_mask_and_published_defects_have(name: str, tmp_path: Path) -> None:
    dataset = open_dataset(write(name, tmp_path))
    for category in map(dataset.read, dataset.categories):
        assert not any(sample.masks for sample in (*category.train, *category.test)
                       if not sample.defective)  # fmt: skip
        assert all(sample.masks for sample in category.defects if sample.kind != "dent")
        assert all(mask.is_file() for sample in category.defects for mask in sample.masks)


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_is_wrong_with_a_published_tree(name: str, tmp_path: Path) -> None:
    dataset = open_dataset(write(name, tmp_path))
    problems = [find_problems(dataset.read(category)) for category in dataset.categories]
    masks = {
        "folder": ["1 defective picture(s) without a mask: dent/a.webp"],
        "elpv": ["no masks: nothing can be measured by pixel"],
    }
    assert problems == [masks.get(name, [])] * len(dataset.categories)


@pytest.mark.parametrize("name", PUBLISHED)
def test_naming_the_layout_gives_the_same(name: str, tmp_path: Path) -> None:
    write(name, tmp_path)
    assert one(tmp_path) == one(tmp_path, name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_hidden_and_other_files_are_left_out(name: str, tmp_path: Path) -> None:
    write(name, tmp_path)
    before = one(tmp_path)
    for folder in [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]:
        (folder / ".DS_Store").write_bytes(b"x")
        (folder / "Thumbs.db").write_bytes(b"x")
        (folder / "._000.png").write_bytes(b"x")
        (folder / ".thumbnails").mkdir()
        (folder / ".thumbnails" / "000.png").write_bytes(b"x")
    assert open_dataset(tmp_path).layout.name == name
    assert one(tmp_path) == before


@pytest.mark.parametrize("name", PUBLISHED)
def test_endings_may_be_in_capitals(name: str, tmp_path: Path) -> None:
    write(name, tmp_path)
    before = one(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    tables = [path for path in files if path.suffix == ".csv"]
    for path in set(files) - set(tables):
        path.rename(path.with_suffix(path.suffix.swapcase()))
    for table in tables:
        text = table.read_text().replace(".JPG", ".jpg").replace(".png", ".PNG")
        table.write_text(text)
    after = one(tmp_path)
    assert [sample.path.stem for sample in after.test] == [s.path.stem for s in before.test]
    assert [len(sample.masks) for sample in after.test] == [len(s.masks) for s in before.test]
    assert len(after.train) == len(before.train)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name not in ("visa", "elpv")])
def test_masks_without_a_picture_are_told(name: str, tmp_path: Path) -> None:
    write(name, tmp_path)
    category = one(tmp_path)
    gone = category.defects[0]
    gone.path.unlink()
    assert one(tmp_path).unused == gone.masks or gone.kind == "dent"


@given(st.lists(st.integers(), max_size=60))
def test_held_out_pictures_are_every_fifth(items: list[int]) -> None:
    train, test = hold_out(items)
    assert len(test) == len(items) // 5
    assert [item for place, item in enumerate(items, start=1) if place % 5] == train
    assert [item for place, item in enumerate(items, start=1) if place % 5 == 0] == test


# --- what each layout has of its own -------------------------------------------------------------


def test_btad_pairs_masks_with_defective_pictures_alone(tmp_path: Path) -> None:
    dataset = open_dataset(trees.btad(tmp_path))
    for name, endings in (("01", "bmp png"), ("02", "png png"), ("03", "bmp bmp")):
        for sample in dataset.read(name).defects:
            assert sample.path.parts[-3:-1] == ("test", "ko")
            [mask] = sample.masks
            assert mask.stem == sample.path.stem
            assert f"{sample.path.suffix} {mask.suffix}".replace(".", "") == endings


def test_visa_follows_its_table(tmp_path: Path) -> None:
    category = open_dataset(trees.visa(tmp_path, "candle")).read("candle")
    assert [sample.path.stem for sample in category.train] == ["0000", "0001", "0002", "0004"]
    assert [sample.path.stem for sample in category.test] == ["000", "001", "0003", "0005"]
    assert {sample.mask_threshold for sample in category.defects} == {0}


@pytest.mark.parametrize(
    "change",
    [
        lambda table: b"\xef\xbb\xbf" + table,
        lambda table: table.replace(b"\n", b"\r\n"),
        lambda table: table.replace(b"candle,", b"candle , "),
        lambda table: table + b"\n\n",
        lambda table: b"\n".join(b"x," + row for row in table.splitlines()),
    ],
    ids=["BOM", "CRLF", "blanks", "empty lines", "another column"],
)  # fmt: skip
def test_visa_table_may_be_written_otherwise(
    change: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    before = one(trees.visa(tmp_path, "candle"))
    table = tmp_path / "split_csv" / "1cls.csv"
    table.write_bytes(change(table.read_bytes()))
    assert one(tmp_path) == before


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b"", "expected the columns object,split,label,image,mask, found none"),
        (b"object,split,image\n", "found object,split,image"),
        (HEADER + b"candle,val,normal,candle/a.JPG,\n", "line 2: normal in val"),
        (HEADER + b"candle,train,anomaly,candle/a.JPG,\n", "line 2: anomaly in train"),
        (HEADER + b"candle,test,normal,/etc/a.JPG,\n", "line 2: expected a path below"),
        (HEADER + b"candle,test,normal,../a.JPG,\n", "got '../a.JPG'"),
        (HEADER + b"candle,train,normal\n", "got ''"),
        (HEADER + b"candle,test,normal,candle/a.JPG,\n", "no train pictures of candle"),
        (HEADER + b"candle,train,normal,candle/a.JPG,\n", "no test pictures of candle"),
        (HEADER + b"\xff\xfe,", "not a CSV table in UTF-8"),
    ],
)
def test_damaged_visa_table_is_one_line(table: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "candle").mkdir()
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv" / "1cls.csv").write_bytes(table)
    with pytest.raises(DatasetError) as caught:
        one(tmp_path)
    assert words in str(caught.value)
    assert str(tmp_path / "split_csv" / "1cls.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_visa_objects_not_on_disk_are_no_categories(tmp_path: Path) -> None:
    trees.visa(tmp_path, "candle", "pcb1")
    (tmp_path / "pcb1").rename(tmp_path / "elsewhere")
    assert open_dataset(tmp_path).categories == ("candle",)


def test_visa_without_any_object_is_no_data_set(tmp_path: Path) -> None:
    (trees.visa(tmp_path, "candle") / "candle").rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match="no folder beside it for any of its objects: candle"):
        open_dataset(tmp_path)


def test_visa_pictures_not_on_disk_are_told(tmp_path: Path) -> None:
    category = one(trees.visa(tmp_path, "candle"))
    category.train[1].path.unlink()
    category.defects[0].masks[0].unlink()
    again = one(tmp_path)
    assert [sample.path for sample in again.train] == [sample.path for sample in category.train]
    assert again.defects[0].masks == ()
    assert find_problems(again) == [
        "1 file(s) missing: candle/Data/Images/Normal/0001.JPG",
        "1 defective picture(s) without a mask: candle/Data/Images/Anomaly/000.JPG",
    ]


def test_loco_pictures_have_all_their_masks(tmp_path: Path) -> None:
    category = one(trees.mvtec_loco(tmp_path, "pushpins"))
    logical = [sample for sample in category.defects if sample.kind == "logical_anomalies"]
    assert [[mask.name for mask in sample.masks] for sample in logical] == [
        ["000.png"], ["000.png", "001.png"],
    ]  # fmt: skip
    assert {mask.parent.name for mask in logical[1].masks} == {logical[1].path.stem}
    assert {sample.mask_threshold for sample in category.defects} == {0}


def test_3d_reads_colour_pictures_alone(tmp_path: Path) -> None:
    category = one(trees.mvtec_3d(tmp_path, "bagel"))
    assert {s.path.parent.name for s in (*category.train, *category.test)} == {"rgb"}
    assert {mask.parent.name for s in category.defects for mask in s.masks} == {"gt"}


def test_kolektor_keeps_the_good_surfaces_of_whole_items_for_the_test(tmp_path: Path) -> None:
    category = one(trees.kolektor(tmp_path, items=50))
    trained = {sample.path.parent.name for sample in category.train}
    tested = {sample.path.parent.name for sample in category.test if not sample.defective}
    assert tested == {f"kos{item:02d}" for item in range(5, 51, 5)}
    assert not trained & tested
    assert len(trained | tested) == 50
    assert len(category.defects) == 16


def test_kolektor_surfaces_without_a_readable_label_are_left_out(tmp_path: Path) -> None:
    trees.kolektor(tmp_path)
    (tmp_path / "kos01" / "Part0_label.bmp").unlink()
    (tmp_path / "kos02" / "Part2_label.bmp").write_bytes(b"x")
    category = one(tmp_path)
    assert category.unused == (tmp_path / "kos01/Part0.jpg", tmp_path / "kos02/Part2.jpg")
    assert find_problems(category) == [
        "2 file(s) left out, their counterpart is missing: kos01/Part0.jpg, kos02/Part2.jpg"
    ]


def test_folder_with_its_own_training_half_is_not_split(tmp_path: Path) -> None:
    trees.folder(tmp_path)
    trees.fill(tmp_path, trees.some("train/good/{}.png", 7))
    category = one(tmp_path)
    assert category.name == tmp_path.name
    assert len(category.train) == 7
    assert sum(not sample.defective for sample in category.test) == 10


@pytest.mark.parametrize(
    ("layout", "names", "words"),
    [
        ("folder", ["a/good/0.txt"], "a: no training pictures found"),
        ("folder", ["a/good/0.png"], "a: no test pictures found"),
        ("kolektor", ["kos01/readme.txt"], "no training pictures found in 1 item folder(s)"),
        ("magnetic_tile", ["MT_Free/Imgs/0.png"], "Imgs: no pictures found"),
        ("btad", ["01/train/ok/0.png", "01/test/x"], "test: no pictures found in ok or ko"),
        ("mvtec_3d", ["a/train/good/rgb/0.png", "a/test/x"], "no pictures found in <kind>/rgb"),
    ],
)
def test_empty_halves_are_named(layout: str, names: list[str], words: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DatasetError, match=r".") as caught:
        one(tmp_path, layout)
    assert words in str(caught.value)
