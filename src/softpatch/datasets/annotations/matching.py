"""Which picture of a category an annotation tool means.

Tools, and those who move their files, change the case of names, put folders before them, encode
them for addresses or put a number before them. Of several pictures that may be meant it is the one
with which more folders agree, then the one whose name needs less of that mended.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

from softpatch.datasets.annotations.marked import Export, Marked
from softpatch.datasets.names import is_good, is_half, is_kind, subfolders
from softpatch.errors import DatasetError

UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # put before a name by Label Studio: 1f0c3a7e-7.png

Parts = tuple[str, ...]  # of a path


@dataclass(frozen=True)
class Matches:
    """What files mark of a category.

    Attributes:
        exports: that know a picture, by it.
        absent: what is marked of pictures that are not here, with its file.
        shared: what is marked of pictures whose names several kinds have, likewise.
    """

    exports: Mapping[Path, Sequence[Path]]
    absent: Sequence[tuple[Path, Marked]]
    shared: Sequence[tuple[Path, Marked]]


@dataclass(frozen=True, order=True)
class Likeness:
    """How well a place is that of a picture."""

    folders: int  # of both that agree, from the last
    plain: int  # the less, the more of the name is mended
    alike: int  # 2 if the names are the same, 1 but for their case, 0 but for blanks and brackets
    read_as: Parts


def match(exports: Iterable[Export], defective: Iterable[Path], good: Iterable[Path]) -> Matches:
    """Find the picture of everything that is marked.

    Raises:
        DatasetError: one name may be that of several pictures of a folder, or the other way round.
    """
    kinds = set(defective)
    named: dict[str, list[Path]] = defaultdict(list)
    for picture in (*kinds, *good):
        for key in _keys(picture):
            named[key].append(picture)
    found: dict[Path, list[Path]] = defaultdict(list)
    absent: list[tuple[Path, Marked]] = []
    shared: list[tuple[Path, Marked]] = []
    for export in exports:
        chosen: dict[Path, list[Marked]] = defaultdict(list)
        for marked in export.pictures:
            options = _meant(export.path, marked, named, kinds)
            if not options:
                absent.append((export.path, marked))
            elif len(options) == 1:
                chosen[options[0]].append(marked)
            elif len({option.parent for option in options}) > 1:
                shared.append((export.path, marked))
            elif marked.shapes:
                first, second = sorted(option.name for option in options)[:2]
                raise DatasetError(
                    f"{export.path}: {marked.places[0]} may be {first} or {second} of "
                    f"{options[0].parent}; rename one of them"
                )
        for picture, some in chosen.items():
            best = _best(export.path, some, picture)
            drawn = [one for one in best if one[0].shapes]
            if len({likeness.read_as for _, likeness in drawn}) > 1:
                first, second = sorted(marked.places[0] for marked, _ in drawn)[:2]
                raise DatasetError(
                    f"{export.path}: {first} and {second} may both be {picture}; rename one of them"
                )
            others = [marked for marked in some if marked not in [one for one, _ in best]]
            absent += [(export.path, marked) for marked in others]
            found[picture].append(export.path)
    needed = ([one for one in some if one[1].shapes] for some in (absent, shared))
    return Matches(found, *needed)


def marked_of(export: Export, picture: Path) -> list[Marked]:
    """What a file marks of a picture that it was matched with."""
    named = _by_name(export)
    some = [marked for key in _keys(picture) for marked in named.get(key, ())]
    return [marked for marked, _ in _best(export.path, some, picture)]


def _best(export: Path, content: Iterable[Marked], picture: Path) -> list[tuple[Marked, Likeness]]:
    alike = [
        (marked, likeness)
        for marked in content
        if (likeness := _likeness(export, marked.places, picture)) is not None
    ]
    best = max((_rank(likeness) for _, likeness in alike), default=None)
    return [one for one in alike if _rank(one[1]) == best]


def _meant(
    export: Path, marked: Marked, named: Mapping[str, Sequence[Path]], kinds: Collection[Path]
) -> list[Path]:
    """The pictures that may be meant; good ones, which need no mask, only if no other may be."""
    alike = {
        picture: likeness
        for name in _names(export, marked)
        for picture in named.get(name, ())
        if (likeness := _likeness(export, marked.places, picture)) is not None
    }
    best = max(map(_rank, alike.values()), default=None)
    options = [picture for picture, likeness in alike.items() if _rank(likeness) == best]
    return [picture for picture in options if picture in kinds] or options[:1]


def _rank(likeness: Likeness) -> tuple[int, int, int]:
    return likeness.folders, likeness.plain, likeness.alike


def _likeness(export: Path, places: Parts, picture: Path) -> Likeness | None:
    """None if it is another picture."""
    keys = _keys(picture)
    found = []
    for number, parts in enumerate(_readings(export, places)):
        if _folded(parts[-1]) not in keys:
            continue
        folders = _folders(parts, picture)
        if _is_of_another(parts, picture, folders):
            continue
        alike = 2 if parts[-1] == picture.name else int(_folded(parts[-1]) == keys[0])
        found.append(Likeness(folders, -number, alike, parts))
    return max(found, default=None)


def _folders(parts: Parts, picture: Path) -> int:
    """How many agree, from the last."""
    if _has_none(parts, picture):
        return 0
    agree = 0
    for part, other in zip(reversed(parts[:-1]), reversed(picture.parts[:-1]), strict=False):
        if _folded(part) != _folded(other):
            break
        agree += 1
    return agree


def _has_none(parts: Parts, picture: Path) -> bool:
    """Whether it is a mere name, of a file in a folder above the picture's."""
    above = parts[:-1]
    return len(above) < len(picture.parts) - 1 and picture.parts[: len(above)] == above


def _is_of_another(parts: Parts, picture: Path, agree: int) -> bool:
    """Whether the first folder that does not agree is there, as another kind or category.

    The picture was meant then that is not in it.
    """
    above = picture.absolute().parents
    if len(parts) < agree + 2 or len(above) < agree + 2 or _has_none(parts, picture):
        return False
    told, place = parts[-2 - agree], above[agree + 1]
    places = subfolders(place.parent) if is_half(place.name) else [place]
    return (is_kind(told) or is_good(told)) and any((one / told).is_dir() for one in places)


@lru_cache(maxsize=16)
def _by_name(export: Export) -> Mapping[str, Sequence[Marked]]:
    named: dict[str, list[Marked]] = defaultdict(list)
    for marked in export.pictures:
        for name in _names(export.path, marked):
            named[name].append(marked)
    return named


def _names(export: Path, marked: Marked) -> set[str]:
    return {_folded(parts[-1]) for parts in _readings(export, marked.places)}


@lru_cache(maxsize=1 << 14)
def _readings(export: Path, places: Parts) -> tuple[Parts, ...]:
    """What may be meant, the plainest first."""
    read: dict[Parts, None] = {}
    for place in places:
        for name in decoded(place.replace("\\", "/")):
            folder, last = posixpath.split(name)
            for one in (last, UPLOADED.sub("", last, count=1)):
                whole = posixpath.join(export.parent.as_posix(), folder, one)
                read[PurePath(posixpath.normpath(whole)).parts] = None
    return tuple(parts for parts in read if parts)


def decoded(place: str) -> Iterator[str]:
    """Also of ``/data/upload/1/a%20b.png?x=y`` and of ``/data/local-files/?d=bad/7.png``."""
    yield place
    try:
        parts = urlsplit(place)
    except ValueError:  # brackets in what is no address
        return
    local = parts.query.startswith("d=")
    yield unquote(parts.query.removeprefix("d=") if local else parts.path)
    yield unquote(place)


def _keys(picture: Path) -> tuple[str, ...]:
    """Its name without case; and as it is when it was uploaded, which keeps no blank or bracket."""
    uploaded = re.sub(r"[^-\w.]", "", picture.name.strip().replace(" ", "_"))
    return tuple(dict.fromkeys(map(_folded, (picture.name, uploaded))))


@lru_cache(maxsize=1 << 14)
def _folded(name: str) -> str:
    """Without case, and with accents in one of their two forms."""
    return unicodedata.normalize("NFC", name.casefold())
