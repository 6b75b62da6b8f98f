"""Turned copies of a category: pictures and masks move alike, and a seed makes the same again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from benchmarks import turned
from benchmarks.placed import placed, placed_mask
from softpatch.datasets import Category, find_problems, read_category

SIZE = (120, 160)  # height, width
SURROUNDINGS = (90, 110, 130)
PART = (slice(20, 100), slice(30, 130))  # green, and on it a red defect
DEFECT = (slice(30, 60), slice(40, 90))

Bools = npt.NDArray[np.bool_]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve good pictures and twelve defective ones, on lightly noisy surroundings."""
    root = tmp_path_factory.mktemp("set") / "part"
    draw = np.random.default_rng(0)
    for folder in ("train/good", "test/good", "test/red"):
        for index in range(12):
            pixels = np.full((*SIZE, 3), SURROUNDINGS) + draw.integers(-2, 3, (*SIZE, 3))
            pixels[PART] = (30, 200, 30)
            if folder == "test/red":
                pixels[DEFECT] = (220, 20, 20)
            save(pixels, root / folder / f"{index}.png")
    mask = np.zeros(SIZE)
    mask[DEFECT] = 255
    for index in range(12):
        save(mask, root / "ground_truth" / "red" / f"{index}_mask.png")
    return root


def save(pixels: npt.NDArray[Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def made(part: Path, output: Path, seed: int = 0, scale: float | None = 0.4) -> Category:
    return read_category(turned.write(read_category(part), output / "part", seed, scale))


def digest(category: Category) -> str:
    files = sorted(path for path in category.folder.rglob("*.png"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def pixels_of(path: Path) -> npt.NDArray[np.int64]:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(np.int64)


def shown(path: Path) -> tuple[Bools, Bools]:
    """Where the part or its defect is, and where the defect is."""
    red, green, blue = np.moveaxis(pixels_of(path), -1, 0)
    return np.abs(red - green) > 60, (red - blue > 100) & (red - green > 100)


def centre(area: Bools) -> npt.NDArray[np.float64]:
    middle: npt.NDArray[np.float64] = np.argwhere(area).mean(axis=0)
    return middle


def angle(path: Path) -> float:
    """From the part's centre to its defect's, in radians."""
    down, across = centre(shown(path)[1]) - centre(shown(path)[0])
    return float(np.arctan2(down, across))


@pytest.mark.parametrize("scale", [None, 0.4, 1.0])
def test_a_mask_marks_what_its_picture_shows(
    part: Path, tmp_path: Path, scale: float | None
) -> None:
    category = made(part, tmp_path, scale=scale)
    assert (len(category.train), len(category.test), len(category.defects)) == (12, 24, 12)
    assert find_problems(category) == []
    for sample in category.defects:
        marked = pixels_of(sample.masks[0]) > 0
        red = shown(sample.path)[1]
        assert (marked & red).sum() / (marked | red).sum() > 0.9
        assert np.abs(centre(marked) - centre(red)).max() < 0.5


@pytest.mark.parametrize("scale", [None, 0.4])
def test_a_seed_makes_the_same_again_and_another_does_not(
    part: Path, tmp_path: Path, scale: float | None
) -> None:
    first = digest(made(part, tmp_path / "a", 3, scale))
    assert digest(made(part, tmp_path / "b", 3, scale)) == first
    assert digest(made(part, tmp_path / "c", 4, scale)) != first


def test_small_parts_are_whole_and_lie_anywhere_at_any_angle(part: Path, tmp_path: Path) -> None:
    category = made(part, tmp_path)
    area = 0.4**2 * 80 * 100
    places, angles = [], []
    for sample in category.defects:
        there, _ = shown(sample.path)
        assert there.shape == SIZE
        assert there.sum() == pytest.approx(area, rel=0.08)
        assert not there[[0, -1]].any()
        assert not there[:, [0, -1]].any()
        places.append(centre(there))
        angles.append(angle(sample.path))
    # The extent of a turned part is at most its diagonal, 80, so that it has at least 40 and 80.
    assert (np.ptp(places, axis=0) > (25, 50)).all()
    assert len({round(4 * one / np.pi) % 8 for one in angles}) >= 5


def test_surroundings_go_on_without_a_seam(part: Path, tmp_path: Path) -> None:
    for sample in made(part, tmp_path).train:
        outside = ~np.pad(shown(sample.path)[0], 4)
        far = np.logical_and.reduce(
            [np.roll(outside, (down, across), (0, 1)) for down in (-4, 0, 4)
             for across in (-4, 0, 4)]
        )[4:-4, 4:-4]  # fmt: skip
        around = pixels_of(sample.path)[far]
        assert len(around) > 0.7 * SIZE[0] * SIZE[1]
        assert np.abs(around - SURROUNDINGS).max() <= 8
        assert around.std(axis=0).min() > 0.3  # as noisy as a camera's


def test_uneven_light_goes_on_where_the_picture_ends(tmp_path: Path) -> None:
    """The side that is brighter in the picture is brighter beyond it, whatever the angle."""
    ramp = np.broadcast_to(np.linspace(40, 200, 200)[None, :, None], (200, 200, 3))
    picture = Image.fromarray(ramp.astype(np.uint8))
    for number in range(8):
        frame = np.asarray(placed(picture, f"0 {number}", 0.4)).astype(float)[..., 0]
        steps = max(np.abs(np.diff(frame, axis=axis)).max() for axis in (0, 1))
        assert steps < 12  # the ramp's own are 2.8 at most, after shrinking


def test_grey_pictures_stay_grey(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(90, 110, (60, 60, 1)).repeat(3, axis=2)
    picture = Image.fromarray(grey.astype(np.uint8))
    frame = np.asarray(placed(picture, "0 0", 0.5))
    assert (frame == frame[..., :1]).all()
    assert frame.std() > 1


def test_a_hair_leaves_a_mark() -> None:
    hair = np.zeros((200, 200), np.uint8)
    hair[100, 50:150] = 255
    for number in range(5):
        mask = np.asarray(placed_mask(Image.fromarray(hair), f"0 {number}", 0.2))
        assert set(np.unique(mask)) == {0, 255}
        assert (mask > 0).sum() < 60


@pytest.mark.parametrize("scale", ["0", "-0.4", "1.5", "nan"])
def test_scales_that_make_no_sense_are_refused(
    scale: str, part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = ["turned", str(part), str(tmp_path), "--scale", scale]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        turned.main()
    assert ended.value.code == 2
    assert "--scale must lie in (0, 1]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_writes_under_the_categorys_name(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["turned", str(part), str(tmp_path / "small"), "--scale", "0.4", "--seed", "3"]
    monkeypatch.setattr("sys.argv", words)
    turned.main()
    assert capsys.readouterr().out == f"{tmp_path / 'small' / 'part'}\n"
    assert digest(read_category(tmp_path / "small" / "part")) == digest(made(part, tmp_path, 3))
