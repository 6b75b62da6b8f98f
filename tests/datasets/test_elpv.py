"""ELPV: its table, doubtful cells, and a package in place of a folder."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest

from softpatch.datasets import find_problems, open_dataset
from softpatch.errors import DatasetError
from tests.cli.test_cli import Run, run
from tests.datasets import trees

__all__ = ["run"]  # a fixture


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package like the published one, to be imported, and an empty current folder."""
    root = trees.elpv(tmp_path / "site" / "elpv_dataset" / "data")
    (root.parent / "__init__.py").write_text("raise AssertionError('nobody has to import it')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return root


def test_doubtful_cells_are_tested_only_if_asked_for(tmp_path: Path) -> None:
    trees.elpv(tmp_path)
    sure = open_dataset(tmp_path).read("elpv_poly")
    graded = open_dataset(tmp_path, "elpv_graded")
    assert graded.categories == ("elpv_mono_graded", "elpv_poly_graded")
    every = graded.read("elpv_poly_graded")
    assert every.train == sure.train
    assert set(sure.test) < set(every.test)
    assert {sample.path.stem: sample.kind for sample in every.defects} == {
        "cell0015": "defective", "cell0018": "unlikely", "cell0022": "likely",
        "cell0025": "defective",
    }  # fmt: skip


def test_every_fifth_good_cell_of_its_module_tests(tmp_path: Path) -> None:
    mono = open_dataset(trees.elpv(tmp_path)).read("elpv_mono")
    good = [sample.path.stem for sample in mono.test if not sample.defective]
    assert good == ["cell0007", "cell0014"]


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    before = open_dataset(trees.elpv(tmp_path)).read("elpv_mono")
    table = tmp_path / "labels.csv"
    table.write_text("\n\n".join(reversed(table.read_text().splitlines())))
    assert open_dataset(tmp_path).read("elpv_mono") == before


def test_cells_without_a_label_or_a_file_are_told(tmp_path: Path) -> None:
    trees.elpv(tmp_path)
    trees.picture(tmp_path / "images" / "cell9999.png")
    (tmp_path / "images" / "cell0002.png").unlink()
    dataset = open_dataset(tmp_path)
    mono, poly = (find_problems(dataset.read(name)) for name in dataset.categories)
    rest = [
        "no masks: nothing can be measured by pixel",
        "1 file(s) left out, their counterpart is missing: images/cell9999.png",
    ]
    assert mono == ["1 file(s) missing: images/cell0002.png", *rest]
    assert poly == rest


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("images/a.png 0.5 mono", "expected a probability of 0, 1/3, 2/3 or 1, got 0.5"),
        ("images/a.png 2.0 mono", "expected a probability of 0, 1/3, 2/3 or 1, got 2.0"),
        ("images/a.png nan mono", "expected a path, a probability and mono or poly"),
        ("images/a.png 0.0 thin", "expected a path, a probability and mono or poly"),
        ("images/cell0001.png 0.0 mono", "images/cell0001.png is there already"),
        ("images/../../a.png 0.0 mono", "images/../../a.png is not below"),
        ("/etc/a.png 0.0 mono", "/etc/a.png is not below"),
    ],
)
def test_a_damaged_row_is_named(row: str, words: str, tmp_path: Path) -> None:
    table = trees.elpv(tmp_path) / "labels.csv"
    table.write_text(table.read_text() + row)
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path)
    assert str(caught.value).startswith(f"{table}, line 29: {words}")


@pytest.mark.parametrize("table", [b"", b"image,label\na.png,0\n", b"\xff\xfe\x00"])
def test_another_table_of_labels_is_not_elpv(table: bytes, tmp_path: Path) -> None:
    trees.fill(tmp_path, ["images/a.png", "mine/good/a.png"])
    (tmp_path / "labels.csv").write_bytes(table)
    assert open_dataset(tmp_path).layout.name == "folder"


def test_too_few_good_cells_are_told(tmp_path: Path) -> None:
    trees.picture(tmp_path / "images" / "cell0001.png")
    for count, half in ((0, "training"), (4, "test")):
        rows = [trees.ELPV_ROW.format(n, 0.0, "mono") for n in range(count)]
        rows.append(trees.ELPV_ROW.format(9, 1.0, "mono"))
        (tmp_path / "labels.csv").write_text("".join(rows))
        with pytest.raises(DatasetError, match=rf"no good {half} pictures of elpv_mono"):
            open_dataset(tmp_path).read("elpv_mono")


def test_the_name_stands_for_the_installed_package(package: Path) -> None:
    for name, layout in (("elpv", None), ("elpv", "elpv"), ("elpv_graded", None),
                         ("elpv", "elpv_graded")):  # fmt: skip
        dataset = open_dataset(Path(name), layout)
        assert (dataset.root, dataset.layout.name) == (package, layout or name)
    with pytest.raises(DatasetError, match=r"not in layout visa.* is in layout elpv"):
        open_dataset(Path("elpv"), "visa")


def test_a_data_set_in_a_folder_of_that_name_comes_first(package: Path) -> None:
    Path("elpv").mkdir()  # such as results written to -o elpv
    assert open_dataset(Path("elpv")).root == package
    trees.mvtec(Path("elpv"), "flange")
    assert open_dataset(Path("elpv")).categories == ("flange",)


def test_the_command_takes_the_name(package: Path, run: Run) -> None:
    assert "elpv_poly" in run("datasets", "elpv").out
    assert "pip install 'softpatch[elpv]'" in run("datasets", "--show", "elpv").out
    small = ("--method", "patchcore", "--resize", 64, "--crop", 64, "--memory-limit", "1GB")
    measured = run("evaluate", "--data", "elpv", "--category", "elpv_mono", *small, "--json")
    row = json.loads(measured.out)
    assert (row["category"], row["n_test"]) == ("elpv_mono", 4)
    assert row["image_auroc"] is not None
    assert [row[key] for key in ("pixel_auroc", "pixel_ap", "aupro")] == [None] * 3
    assert "pixel metrics leave out 2 defective picture(s) without a mask" in measured.err


@pytest.mark.parametrize(
    "command",
    [
        ("datasets", "elpv_graded"),
        ("evaluate", "--data", "elpv", "--category", "elpv_mono"),
        ("benchmark", "--data", "elpv"),
    ],
)
def test_without_the_package_the_extra_is_named(
    command: tuple[str, ...], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("softpatch.datasets.package.find_spec", lambda name: None)
    result = run(*command)
    assert result.code == 1
    assert result.error == "the data set elpv needs an extra: pip install 'softpatch[elpv]'"


def test_the_published_package() -> None:
    if importlib.util.find_spec("elpv_dataset") is None:
        pytest.skip("elpv-dataset is not installed")
    counts = {}
    dataset = open_dataset(Path("elpv_graded"))
    for name in dataset.categories:
        category = dataset.read(name)
        assert find_problems(category) == ["no masks: nothing can be measured by pixel"]
        kinds = Counter(sample.kind for sample in category.test)
        counts[name] = (len(category.train), kinds)
    assert counts == {
        "elpv_mono_graded": (
            471, {"good": 117, "unlikely": 117, "likely": 56, "defective": 313},
        ),
        "elpv_poly_graded": (
            736, {"good": 184, "unlikely": 178, "likely": 50, "defective": 402},
        ),
    }  # fmt: skip
