"""Finds the cameras of a plant: folders of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from softpatch.errors import DatasetError
from softpatch.ranges.table import check_all
from softpatch.runtime.listing import LeftOut, walk

NO_CAMERA = "picture(s) in no camera's folder"


@dataclass(frozen=True)
class Camera:
    """One camera."""

    name: str  # path of its folder below the plant's, with slashes
    folder: Path
    pictures: tuple[Path, ...]  # sorted; empty if the folder cannot be listed
    error: str | None = None  # why it cannot be listed; None if it can


def find_cameras(
    plant: Path, depth: int | None = None, left_out: LeftOut | None = None
) -> list[Camera]:
    """The cameras below a folder, sorted by name, in what ``walk`` does not pass over.

    Args:
        plant: the folder.
        depth: cameras are the folders this many levels below it, each with all pictures below. If
            None, every folder below it that directly holds pictures is a camera of those pictures.
        left_out: takes what is passed over.

    Raises:
        DatasetError: no such folder, or no camera in it.
        UsageError: a depth below 1.
    """
    check_all(depth=depth)
    if not plant.is_dir():
        raise DatasetError(f"{plant}: no such folder")
    left_out = LeftOut() if left_out is None else left_out
    pictures: dict[Path, list[Path]] = {}  # by the camera's folder
    errors: dict[Path, str] = {}

    def locked(folder: Path, error: OSError) -> None:
        errors.setdefault(
            _camera(plant, folder, depth) or folder,
            f"{folder}: cannot be listed ({error.strerror})",
        )

    for folder, own in walk(plant, left_out, locked=locked):
        camera = _camera(plant, folder, depth)
        if camera is not None and (own or depth is not None):
            pictures.setdefault(camera, []).extend(own)
        elif camera is None:
            for path in own:
                left_out.add(NO_CAMERA, path.name)
    for folder, own in pictures.items():
        if not own:
            errors.setdefault(folder, f"{folder}: no pictures found")
    cameras = [
        Camera(
            folder.relative_to(plant).as_posix(),
            folder,
            () if folder in errors else tuple(sorted(pictures[folder])),
            errors.get(folder),
        )
        for folder in pictures.keys() | errors.keys()
    ]
    if not cameras:
        raise DatasetError(
            f"{plant}: no camera found; expected pictures in folders below it, one a camera"
        )
    return sorted(cameras, key=lambda camera: camera.name)


def _camera(plant: Path, folder: Path, depth: int | None) -> Path | None:
    """The camera whose pictures lie in a folder of the plant."""
    parts = folder.relative_to(plant).parts
    if len(parts) < (depth or 1):
        return None
    return folder if depth is None else plant.joinpath(*parts[:depth])
