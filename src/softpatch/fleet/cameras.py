"""Finds the cameras of a plant: folders of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from softpatch.errors import DatasetError, UsageError
from softpatch.runtime.images import is_picture, list_images
from softpatch.runtime.own_files import is_quarantine


@dataclass(frozen=True)
class Camera:
    """One camera."""

    name: str  # path of its folder below the plant's, with slashes
    folder: Path
    pictures: tuple[Path, ...]  # sorted; empty if the folder cannot be listed
    error: str | None = None  # why it cannot be listed; None if it can


def find_cameras(plant: Path, depth: int | None = None) -> list[Camera]:
    """The cameras below a folder, sorted by name; hidden folders and quarantines are skipped.

    Args:
        plant: the folder.
        depth: cameras are the folders this many levels below it, each with all pictures below. If
            None, every folder below it that directly holds pictures is a camera of those pictures.

    Raises:
        DatasetError: no such folder, or no camera in it.
        UsageError: a depth below 1.
    """
    if depth is not None and depth < 1:
        raise UsageError(f"depth must be at least 1, got {depth}")
    if not plant.is_dir():
        raise DatasetError(f"{plant}: no such folder")
    cameras = _below(plant, plant, depth, (plant.resolve(),))
    if not cameras:
        raise DatasetError(
            f"{plant}: no camera found; expected pictures in folders below it, one a camera"
        )
    return sorted(cameras, key=lambda camera: camera.name)


def _below(plant: Path, folder: Path, depth: int | None, above: tuple[Path, ...]) -> list[Camera]:
    """Cameras in ``folder``; ``above`` are the folders that links must not lead back to."""
    name = folder.relative_to(plant).as_posix()
    try:
        if depth == 0:
            return [Camera(name, folder, tuple(list_images(folder)))]
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except DatasetError as error:
        return [Camera(name, folder, (), str(error))]
    except OSError as error:
        return [Camera(name, folder, (), f"{folder}: cannot be listed ({error.strerror})")]
    cameras = []
    own = [entry for entry in entries if not entry.is_dir() and is_picture(entry)]
    if own and depth is None and folder != plant:
        cameras.append(Camera(name, folder, tuple(sorted(own))))
    for entry in entries:
        if entry.is_dir() and not is_quarantine(entry) and entry.resolve() not in above:
            below = None if depth is None else depth - 1
            cameras += _below(plant, entry, below, (*above, entry.resolve()))
    return cameras
