"""Which files are of an annotation tool, and what they mark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from softpatch.datasets.annotations import coco, cvat, label_me, label_studio, voc, yolo
from softpatch.datasets.annotations.marked import Export
from softpatch.datasets.annotations.matching import marked_of
from softpatch.datasets.annotations.shapes import Bools, UnreadShapeError
from softpatch.errors import DatasetError, SoftPatchError
from softpatch.runtime.files import open_ordinary
from softpatch.runtime.images import file_size, most_pixels

SUFFIXES = (".json", ".xml")
SIGNS = (*coco.SIGNS, *label_me.SIGNS, *label_studio.SIGNS)  # of a JSON file that is cut
FIRST_TAG = re.compile(r"<([A-Za-z_][\w:.-]*)")


def is_annotations(path: Path) -> bool:
    """Whether a file may be of an annotation tool, by its name."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_annotated(path: Path, picture: Path) -> Bools | None:
    """What a file marks of a picture.

    Returns:
        ``(height, width)``, of the picture as the tool knows it: the pixels that any shape marks.
        None if the file does not know the picture.

    Raises:
        DatasetError: the file is damaged.
        ImageError: the size is to be the picture's, which cannot be read.
        MissingExtraError: what draws them is not installed.
    """
    found = marked_of(read_export(path), picture)
    if not found:
        return None
    size = found[0].size or file_size(picture, str(picture))
    with _telling_damage(path, f" of {picture.name}"):
        height, width = size
        if height < 1 or width < 1 or height * width > most_pixels():
            raise ValueError(f"a picture of {height} x {width} pixels")
        marked = np.zeros(size, dtype=bool)
        for one in found:
            for draw in one.shapes:
                marked |= draw(height, width)
    return marked


def read_export(path: Path) -> Export:
    """What a file marks, if it says that it is of an annotation tool.

    Raises:
        DatasetError: it is of one, and damaged.
    """
    with _telling_damage(path):
        state = path.stat()
        return _read(path, state.st_mtime_ns, state.st_size)


@contextmanager
def _telling_damage(path: Path, where: str = "") -> Iterator[None]:
    """Numbers, names and nesting in a file may be anything, and so may what is raised by them."""
    try:
        yield
    except (SoftPatchError, MemoryError):
        raise
    except UnreadShapeError as error:
        kind, instead = error.args
        raise DatasetError(f"{path}: shape {kind!r}{where} is not read: {instead}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{path}: damaged annotations{where} ({reason})") from error


@lru_cache(maxsize=16)
def _read(path: Path, modified: int, size: int) -> Export:
    del modified, size  # by which a changed file is read again
    with open_ordinary(path) as file:
        content = file.read()
    match path.suffix.lower():
        case ".xml":
            return _of_xml(content, path)
        case yolo.SUFFIX:
            return _of_text(content, path)
    return _of_json(content, path)


def _of_text(content: bytes, path: Path) -> Export:
    unread = yolo.UNREAD if yolo.is_yolo(content) else ""
    return Export(path, unread=unread)


def _of_json(content: bytes, path: Path) -> Export:
    try:
        about = json.loads(content)
    except (ValueError, RecursionError):
        if any(all(word in content for word in words) for words in SIGNS):
            raise
        return Export(path, broken=True)
    if coco.is_coco(about):
        return Export(path, tuple(coco.of_coco(about)))
    if label_me.is_label_me(about):
        return Export(path, (label_me.of_label_me(about, path),))
    if label_studio.is_label_studio(about):
        return label_studio.of_label_studio(about, path)
    if label_studio.is_minimal(about):
        return Export(path, unread="JSON-MIN of Label Studio is not read: export it as JSON")
    if isinstance(about, dict) and "_via_img_metadata" in about:
        return Export(path, unread="a project of VIA is not read: export it as COCO")
    return Export(path)


def _of_xml(content: bytes, path: Path) -> Export:
    text = content.decode(json.detect_encoding(content), "replace")  # UTF-16 has zeros between
    first = FIRST_TAG.search(text)
    if first is None:
        return Export(path, broken=True)
    if first[1] not in (cvat.ROOT, voc.ROOT):
        return Export(path)
    if "<!ENTITY" in text:  # which could grow without end
        raise ValueError("defines entities")
    root = ElementTree.fromstring(content)
    if root.tag == voc.ROOT:
        return Export(path, tuple(voc.of_voc(root, path)))
    if cvat.is_of_video(root):
        return Export(path, unread="CVAT for video is not read: export it as CVAT for images 1.1")
    return Export(path, tuple(cvat.of_cvat(root)))
