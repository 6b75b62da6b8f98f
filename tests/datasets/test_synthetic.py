"""The synthetic line: its layout, determinism, and masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from softpatch.datasets import synthetic
from softpatch.datasets.synthetic import DEFECT_KINDS, make_product_line

pytestmark = pytest.mark.filterwarnings("error")

SIZE = 64
KINDS = list(enumerate(DEFECT_KINDS, start=1))


def make(root: Path, *, train: int = 2, good: int = 1, defect: int = 1, seed: int = 0) -> Path:
    return make_product_line(
        root, n_train=train, n_test_good=good, n_per_defect=defect, image_size=SIZE, seed=seed
    )


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("line") / "not" / "there" / "yet")


def test_layout(line: Path) -> None:
    expected = {"SYNTHETIC.txt", "train/good/000.png", "train/good/001.png", "test/good/000.png"}
    for kind in DEFECT_KINDS:
        expected |= {f"test/{kind}/000.png", f"ground_truth/{kind}/000_mask.png"}
    assert set(contents(line)) == expected
    assert len(set(DEFECT_KINDS)) == 4


def test_picture_formats(line: Path) -> None:
    for path in line.rglob("*.png"):
        with Image.open(path) as image:
            assert image.size == (SIZE, SIZE)
            assert image.mode == ("L" if path.stem.endswith("_mask") else "RGB")


def test_label_says_synthetic_and_how(line: Path) -> None:
    text = (line / "SYNTHETIC.txt").read_text(encoding="utf-8")
    assert "synthetic" in text
    assert "n_train=2, n_test_good=1, n_per_defect=1, image_size=64, seed=0" in text


def test_returns_root_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_product_line("line", n_train=1, n_test_good=0, n_per_defect=0) == Path("line")
    assert set(contents(tmp_path / "line")) == {"SYNTHETIC.txt", "train/good/000.png"}


def test_same_call_writes_same_bytes(line: Path, tmp_path: Path) -> None:
    assert contents(make(tmp_path / "again")) == contents(line)


def test_other_counts_leave_pictures_as_they_are(line: Path, tmp_path: Path) -> None:
    fewer, more = contents(line), contents(make(tmp_path / "more", train=3, good=2, defect=2))
    for tree in (fewer, more):
        del tree["SYNTHETIC.txt"]
    assert fewer.items() < more.items()


def test_every_picture_is_its_own_part(line: Path, tmp_path: Path) -> None:
    trees = [contents(line), contents(make(tmp_path / "other", seed=1))]
    pictures = [data for tree in trees for name, data in tree.items() if name[:2] == "te"]
    pictures += [data for tree in trees for name, data in tree.items() if name[:2] == "tr"]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize(("number", "kind"), KINDS)
@pytest.mark.parametrize("size", [SIZE, 150])
def test_mask_is_all_that_differs_from_the_sound_part(number: int, kind: str, size: int) -> None:
    for index in range(6):
        key = (0, 1, number, index)
        picture, mask = synthetic._photograph(key, size, kind)
        sound, nothing = synthetic._photograph(key, size, "good")
        change = np.abs(picture.astype(int) - sound).max(axis=2)
        around = np.asarray(Image.fromarray(mask).filter(ImageFilter.MaxFilter(5))) > 0
        assert not nothing.any()
        assert set(np.unique(mask)) == {0, 255}
        assert mask.shape == picture.shape[:2] == (size, size)
        assert (mask > 0).sum() >= 6
        assert change[mask > 0].mean() > 4  # visible: twice the sensor noise
        assert change[~around].max() == 0


def test_parts_stay_aligned() -> None:
    for seed in range(50):
        view = synthetic._place(SIZE, np.random.default_rng(seed))
        middle = slice(SIZE // 2 - 1, SIZE // 2 + 1)
        assert abs(view.x[middle, middle].mean()) <= 0.02 + 1e-6  # 1 % of the frame, which spans 2
        assert abs(view.y[middle, middle].mean()) <= 0.02 + 1e-6
        turn = np.arctan2(view.y[0, 0], view.x[0, 0]) - view.theta[0, 0]
        assert abs(np.degrees(turn)) <= 1.5 + 1e-3


def test_light_varies_but_never_burns_out_or_drowns() -> None:
    shots = [synthetic._photograph((0, 0, 0, i), SIZE, "good")[0] for i in range(20)]
    means = [shot.mean() for shot in shots]
    assert max(means) - min(means) > 5
    assert all(np.mean(shot == 255) < 0.01 and np.ptp(shot) > 150 for shot in shots)


@pytest.mark.parametrize("name", ["n_train", "n_test_good", "n_per_defect", "image_size", "seed"])
def test_negative_argument_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} [^\n]*-1$"):
        make_product_line(tmp_path / "line", **{name: -1})
    assert not list(tmp_path.iterdir())


def test_too_small_a_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^image_size [^\n]*63$"):
        make_product_line(tmp_path / "line", image_size=63)


def fill_folder(root: Path) -> None:
    root.mkdir()
    (root / "mine.txt").write_text("precious")


def fill_file(root: Path) -> None:
    root.write_text("precious")


@pytest.mark.parametrize("fill", [fill_folder, fill_file])
def test_never_overwrites(tmp_path: Path, fill: Callable[[Path], None]) -> None:
    fill(tmp_path / "line")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match=r"^[^\n]*line exists[^\n]*$"):
        make(tmp_path / "line")
    assert contents(tmp_path) == before


def test_empty_folder_is_used(line: Path, tmp_path: Path) -> None:
    (tmp_path / "line").mkdir()
    assert contents(make(tmp_path / "line")) == contents(line)
    assert [path.name for path in tmp_path.iterdir()] == ["line"]


def test_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Image.Image.save
    saved: list[Path] = []

    def save_four(image: Image.Image, path: Path, **options: Any) -> None:
        if len(saved) == 4:
            raise KeyboardInterrupt
        saved.append(path)
        save(image, path, **options)

    monkeypatch.setattr(Image.Image, "save", save_four)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "line")
    assert len(saved) == 4
    assert not list(tmp_path.iterdir())
