"""Finding the cameras of a plant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from softpatch.errors import DatasetError, UsageError
from softpatch.fleet.cameras import find_cameras
from softpatch.runtime.heatmap import png_bytes
from softpatch.runtime.own_files import QUARANTINE


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    for name in (
        "loose.png", "a/1.png", "a/2.JPG", "a/notes.txt", "b/left/3.png", "b/right/day1/4.png",
        "b/right/day2/5.png", "a/deeper/6.png", ".trash/7.png", "empty/notes.txt", "a/.8.png",
    ):  # fmt: skip
        path = tmp_path / "plant" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "plant"


def found(plant: Path, depth: int | None = None) -> dict[str, list[str]]:
    return {
        camera.name: [path.relative_to(plant).as_posix() for path in camera.pictures]
        for camera in find_cameras(plant, depth)
    }


def test_every_folder_with_pictures_of_its_own(plant: Path) -> None:
    assert found(plant) == {
        "a": ["a/1.png", "a/2.JPG"],
        "a/deeper": ["a/deeper/6.png"],
        "b/left": ["b/left/3.png"],
        "b/right/day1": ["b/right/day1/4.png"],
        "b/right/day2": ["b/right/day2/5.png"],
    }


def test_folders_at_one_depth_with_all_below(plant: Path) -> None:
    assert found(plant, 1) == {
        "a": ["a/1.png", "a/2.JPG", "a/deeper/6.png"],
        "b": ["b/left/3.png", "b/right/day1/4.png", "b/right/day2/5.png"],
        "empty": [],
    }
    assert "b/right" in found(plant, 2)
    [empty] = [camera for camera in find_cameras(plant, 1) if camera.name == "empty"]
    assert empty.error is not None
    assert "no pictures" in empty.error


def test_quarantines_and_drawings_are_no_cameras(plant: Path) -> None:
    before = found(plant)
    for name in ("a-quarantine/9.png", "b/left-quarantine/deep/9.png", "drawn/9.png"):
        path = plant / name
        path.parent.mkdir(parents=True)
        path.write_bytes(png_bytes(Image.new("L", (4, 4))))
    for name in ("a-quarantine", "b/left-quarantine"):
        (plant / name / "9.png").write_bytes(b"")
        (plant / name / QUARANTINE).write_text("{}")
    assert found(plant) == before
    assert "b/left-quarantine" not in found(plant, 2)


def test_links_that_lead_back_up_are_not_followed(plant: Path) -> None:
    before = found(plant)
    (plant / "a" / "back").symlink_to(plant, target_is_directory=True)
    assert found(plant) == before


def test_a_folder_that_cannot_be_listed_is_a_camera_that_fails(
    plant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.iterdir

    def deny(path: Path) -> Iterator[Path]:
        if path.name == "left":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", deny)
    [left] = [camera for camera in find_cameras(plant) if camera.name == "b/left"]
    assert left.error == f"{plant / 'b' / 'left'}: cannot be listed (Permission denied)"


def test_nothing_to_be_found(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        find_cameras(tmp_path / "none")
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="folders below it, one a camera"):
        find_cameras(tmp_path)
    with pytest.raises(UsageError, match="at least 1"):
        find_cameras(tmp_path, 0)
