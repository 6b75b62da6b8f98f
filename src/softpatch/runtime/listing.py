"""Which files below a folder are the user's pictures, and what is left out, and why.

Every command asks here, so that none learns what another leaves out.
"""

from __future__ import annotations

import re
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import DatasetError
from .own_files import is_drawing, is_quarantine
from .partial import is_passing

# Formats that are read (``images.FORMATS``), by the ends of their names.
EXTENSIONS = frozenset(
    {
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif",
        ".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpc", ".j2c", ".jpf", ".jpx",
        ".avif", ".mpo",
    }
)  # fmt: skip
# Other pictures: nobody would notice that they are missing.
UNREAD = frozenset(
    {
        ".heic", ".heif", ".hif", ".jxl", ".jxr", ".wdp", ".hdp", ".dng", ".cr2", ".cr3", ".crw",
        ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f",
        ".raw", ".dcm", ".dicom", ".exr", ".hdr", ".psd", ".psb", ".xcf", ".kra", ".svg", ".svgz",
        ".eps", ".ico", ".icns", ".cur", ".pcx", ".dcx", ".qoi", ".sgi", ".ras", ".pfm", ".xbm",
        ".xpm", ".dds", ".fits", ".fit", ".fts", ".jps", ".jls", ".bpg", ".flif", ".emf",
        ".wmf", ".apng", ".mng", ".pam", ".pict", ".iff", ".dpx", ".djvu", ".tga",
    }
)  # fmt: skip
# Folders of storage and systems: thumbnails, bins, snapshots, what a repair has found.
SYSTEM_FOLDERS = frozenset(
    {
        "@eadir", "#recycle", "@recycle", "@recycler", "#snapshot", "@snapshot", "~snapshot",
        "#snapshots", "@snapshots", "~snapshots", "@recently-snapshot", "@tmp", "@upload_cache",
        "@transcode", "@__thumb", "$recycle.bin", "recycler", "recycled", "lost+found", "__macosx",
        "system volume information", "dfsrprivate", "network trash folder", "temporary items",
        "thevolumesettingsfolder",
    }
)  # fmt: skip
NUMBERED = re.compile(r"found\.\d{3}|@gmt-[\d.-]+|\.trash-\d+", re.IGNORECASE)

# Why something is left out.
NOT_READ = "picture(s) in formats that are not read: save them as PNG or JPEG"
OWN = "drawing(s) or quarantine(s) of softpatch"
SYSTEM = "folder(s) of storage or system"
LINKED = "linked folder(s) that are read already or lead back up"
HIDDEN = "hidden"
NO_PICTURE = "other file(s)"
NAMED = 4  # names that are given of each

Locked = Callable[[Path, OSError], None]


class LeftOut:
    """What is left out below a folder: how many of what, with the first names or suffixes."""

    def __init__(self) -> None:
        self._found: dict[str, Counter[str]] = {}

    def add(self, why: str, name: str) -> None:
        """Count one file, or a folder with all that is in it."""
        printable = name.encode("utf-8", "backslashreplace").decode()
        self._found.setdefault(why, Counter())[printable] += 1

    def only(self, *reasons: str) -> LeftOut:
        """What is left out for these reasons."""
        some = LeftOut()
        some._found = {why: names for why, names in self._found.items() if why in reasons}
        return some

    def __bool__(self) -> bool:
        return bool(self._found)

    def __str__(self) -> str:
        """Such as ``5 picture(s) in formats that are not read (.heic); 2 hidden (.git, .a)``."""
        return "; ".join(self._words(why) for why in self._found)

    def _words(self, why: str) -> str:
        names = self._found[why]
        more = ", ..." if len(names) > NAMED else ""
        shown = ", ".join(name for name, _ in names.most_common(NAMED))
        return f"{names.total()} {why} ({shown}{more})"


def list_images(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """All images below ``folder``, sorted by path.

    Args:
        folder: searched as ``walk`` does it.
        left_out: takes what is not among them, and why.

    Raises:
        DatasetError: the folder does not exist, cannot be read or holds no images.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    left_out = LeftOut() if left_out is None else left_out
    try:
        paths = sorted(path for _, images in walk(folder, left_out) for path in images)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be listed ({error.strerror})") from error
    if not paths:
        besides = f"; left out: {left_out}" if left_out else ""
        raise DatasetError(
            f"{folder}: no pictures found (looked for {', '.join(sorted(EXTENSIONS))}){besides}"
        )
    return paths


def walk(
    folder: Path,
    left_out: LeftOut,
    *,
    locked: Locked | None = None,
    without: Callable[[Path], bool] = lambda _: False,
    own: Callable[[Path], bool] = is_drawing,
) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder below ``folder`` that may hold the user's pictures, with those directly in it.

    ``folder`` comes first, and is read whatever it is. Linked folders come last and each folder
    once, by its own name if it lies below: links show no picture twice and make no circles.

    Args:
        folder: where to begin.
        left_out: takes what is passed over.
        locked: called for a folder that cannot be listed; without it, that ends the walk.
        without: whether to pass over a folder without a word.
        own: whether an image is one of softpatch's drawings.

    Raises:
        OSError: a folder cannot be listed or entered.
    """
    root = folder.resolve()
    seen: set[Path] = set()
    inside, links = deque([(folder, root)]), deque[tuple[Path, Path]]()
    while inside or links:
        linked = not inside
        here, real = (links if linked else inside).popleft()
        if real in seen or (linked and root.is_relative_to(real)):
            left_out.add(LINKED, here.name)
            continue
        seen.add(real)
        try:
            entries = [(entry, _is_folder(entry)) for entry in sorted(here.iterdir())]
        except OSError as error:
            if locked is None:
                raise
            locked(here, error)
            continue
        images = []
        for entry, is_folder in entries:
            if is_passing(entry):
                continue
            if not is_folder:
                why = why_no_image(entry.name) or (OWN if own(entry) else None)
                if why is None:
                    images.append(entry)
                else:
                    left_out.add(why, entry.suffix or entry.name if why != HIDDEN else entry.name)
            elif not without(entry):
                if why := why_no_folder(entry):
                    left_out.add(why, entry.name)
                    continue
                target = entry.resolve()
                (inside if target == real / entry.name else links).append((entry, target))
        yield here, images


def _is_folder(entry: Path) -> bool:
    """Whether it is a folder or leads to one; OSError where that in which it lies is locked."""
    try:
        return stat.S_ISDIR(entry.stat().st_mode)
    except FileNotFoundError:
        return False
    except OSError:  # a link to what may not be seen, perhaps, which reading it will tell
        entry.lstat()
        return False


def why_no_image(name: str) -> str | None:
    """Why a file is left out by its name; None if it is an image."""
    if name.startswith("."):
        return HIDDEN
    suffix = Path(name).suffix.lower()
    if suffix in EXTENSIONS:
        return None
    return NOT_READ if suffix in UNREAD else NO_PICTURE


def why_no_folder(folder: Path) -> str | None:
    """Why a folder is passed over; None if it may hold the user's pictures."""
    if is_system(folder.name):
        return SYSTEM
    if folder.name.startswith("."):
        return HIDDEN
    return OWN if is_quarantine(folder) else None


def is_system(name: str) -> bool:
    """Whether a folder is called as storage or systems call their own."""
    return name.lower() in SYSTEM_FOLDERS or NUMBERED.fullmatch(name) is not None
