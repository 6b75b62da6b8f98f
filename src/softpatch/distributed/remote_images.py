"""Pictures behind any path: a folder that all nodes see, or whatever fsspec reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from softpatch.errors import DatasetError, ImageError, UsageError
from softpatch.images.image_source import ImageSource
from softpatch.runtime.listing import (
    EXTENSIONS,
    HIDDEN,
    OWN,
    SYSTEM,
    LeftOut,
    is_system,
    list_images,
    why_no_image,
)
from softpatch.runtime.own_files import QUARANTINE


@dataclass(frozen=True)
class RemotePicture:
    """A picture that is fetched when it is read, on the machine that reads it."""

    url: str

    def __call__(self) -> bytes:
        """The bytes of its file; ImageError if it cannot be fetched."""
        import fsspec

        try:
            with fsspec.open(self.url, "rb") as file:
                content: bytes = file.read()
        except FileNotFoundError as error:
            raise ImageError(self.url, "no such file") from error
        except Exception as error:  # every filesystem has its own
            raise ImageError(self.url, f"cannot be fetched ({error})") from error
        return content


def find_pictures(location: str, left_out: LeftOut | None = None) -> Sequence[Path | ImageSource]:
    """All pictures below a folder or URL, sorted; those of a folder as ``list_images`` has them.

    Of a URL, drawings of softpatch are not known, since every file would have to be fetched.
    ``left_out`` takes what is not among them, and why.

    Raises:
        DatasetError: no such folder, or no pictures in it.
        UsageError: a protocol that nothing here reads.
    """
    if "://" not in location:
        return list_images(Path(location), left_out)
    filesystem, root = filesystem_of(location)
    try:
        found = filesystem.find(root)
    except Exception as error:
        raise DatasetError(f"{location}: cannot be listed ({error})") from error
    paths = [PurePosixPath(path) for path in found]
    put_away = {path.parent for path in paths if path.name == QUARANTINE} - {PurePosixPath(root)}
    left_out = LeftOut() if left_out is None else left_out
    kept = []
    for path in sorted(paths):
        parts = path.relative_to(root).parts
        if any(part.startswith(".") for part in parts):
            left_out.add(HIDDEN, path.name)
        elif any(map(is_system, parts[:-1])):
            left_out.add(SYSTEM, next(filter(is_system, parts)))
        elif not put_away.isdisjoint(path.parents):
            left_out.add(OWN, path.name)
        elif why := why_no_image(path.name):
            left_out.add(why, path.suffix or path.name)
        else:
            kept.append(path)
    if not kept:
        raise DatasetError(
            f"{location}: no pictures found (looked for {', '.join(sorted(EXTENSIONS))})"
        )
    urls = [filesystem.unstrip_protocol(str(path)) for path in kept]
    if "memory" in filesystem.protocol:  # of this process: no other one can read it
        return [ImageSource(url, RemotePicture(url)()) for url in urls]
    return [ImageSource(url, RemotePicture(url)) for url in urls]


def filesystem_of(location: str) -> tuple[Any, str]:
    """The fsspec filesystem of a path or URL, and the path in it.

    UsageError for an unknown protocol, or one whose package is not installed.
    """
    from fsspec.core import url_to_fs

    try:
        filesystem, root = url_to_fs(location)
    except (ImportError, ValueError) as error:  # "Install s3fs to access S3"
        raise UsageError(f"{location}: {error}") from error
    return filesystem, root
