"""One list of what is no picture of the user's, for every command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softpatch.distributed.remote_images import find_pictures
from softpatch.fleet.cameras import find_cameras
from softpatch.images.sources import UnreadableImageWarning, image_sources
from softpatch.runtime.heatmap import png_bytes
from softpatch.runtime.listing import LeftOut, list_images
from softpatch.watch.arrivals import Arrivals

SYSTEM = (
    "@eaDir", "@EADIR", "#recycle", "@Recycle", "$RECYCLE.BIN", "RECYCLER", "Recycled", "FOUND.000",
    "found.017", "#snapshot", "~snapshot", "@Recently-Snapshot", "@GMT-2024.05.01-00.00.00",
    "System Volume Information", "lost+found", ".Trash-1000", ".zfs", "__MACOSX",
)  # fmt: skip
OURS_TO_NAME = ("recycled parts", "@camera", "#1", "$5", "snapshot", "found", "FOUND.A", "results")


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / name, "PNG")
    return folder


def names(paths: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def by_fit(folder: Path) -> list[str]:
    return names(list_images(folder), folder)


def by_the_api(folder: Path) -> list[str]:
    return names([Path(source.name) for source in image_sources(folder)], folder)


def by_watch(folder: Path) -> list[str]:
    return sorted(arrival.name for arrival, _ in Arrivals(folder, []).look()[0])


def by_fit_many(folder: Path) -> list[str]:
    return [name for one in find_cameras(folder) for name in names(list(one.pictures), folder)]


def by_a_url(folder: Path) -> list[str]:
    pytest.importorskip("fsspec", reason="needs softpatch[ray]")
    found = find_pictures(f"file://{folder}")
    return [one.name.split(f"{folder}/")[1] for one in found if not isinstance(one, Path)]


EVERYBODY = (by_fit, by_the_api, by_watch, by_fit_many)


@pytest.mark.parametrize("listed", [*EVERYBODY, by_a_url])
def test_folders_of_storage_and_system_are_nobody_s_pictures(
    tmp_path: Path, listed: Callable[[Path], list[str]]
) -> None:
    put(tmp_path, "part/a.png", "part/ß.JPG")
    for system in SYSTEM:
        put(tmp_path, f"{system}/b.png", f"part/{system}/deeper/c.png")
    assert listed(tmp_path) == ["part/a.png", "part/ß.JPG"]


@pytest.mark.parametrize("listed", EVERYBODY)
def test_other_folders_are_read_whatever_they_are_called(
    tmp_path: Path, listed: Callable[[Path], list[str]]
) -> None:
    put(tmp_path, *(f"{name}/a.png" for name in OURS_TO_NAME))
    assert sorted(listed(tmp_path)) == sorted(f"{name}/a.png" for name in OURS_TO_NAME)


@pytest.mark.parametrize("listed", EVERYBODY)
def test_what_softpatch_made_is_known_by_its_mark_wherever_it_lies(
    tmp_path: Path, listed: Callable[[Path], list[str]]
) -> None:
    put(tmp_path, "part/a.png", "put away/b.png", "part/deeper/put away/c.png")
    for folder in ("put away", "part/deeper/put away"):
        (tmp_path / folder / "softpatch-quarantine.json").write_text("{}")
    for name in ("heatmaps/a.png", "part/a heat map that was moved.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png_bytes(Image.new("RGB", (4, 4))))
    assert listed(tmp_path) == ["part/a.png"]


def test_a_folder_that_is_named_is_read_whatever_it_is(tmp_path: Path) -> None:
    put(tmp_path, "#recycle/a.png", "away/b.png")
    (tmp_path / "away" / "softpatch-quarantine.json").write_text("{}")
    assert by_fit(tmp_path / "#recycle") == ["a.png"]
    assert by_fit(tmp_path / "away") == ["b.png"]


@pytest.mark.parametrize("listed", EVERYBODY)
def test_linked_folders_are_followed_once_by_all_alike(
    tmp_path: Path, listed: Callable[[Path], list[str]]
) -> None:
    put(tmp_path, "line/real/a.png", "elsewhere/more/b.png")
    for link, target in (
        ("line/a first link to what is below", "line/real"),
        ("line/out", "elsewhere"),
        ("line/out again", "elsewhere/more"),
        ("line/real/up", "line"),
        ("line/higher", "."),
        ("elsewhere/back", "line/real"),
        ("line/broken", "nowhere"),
    ):
        (tmp_path / link).symlink_to(tmp_path / target, target_is_directory=True)
    (tmp_path / "line" / "itself").symlink_to(tmp_path / "line" / "itself")
    assert listed(tmp_path / "line") == ["out/more/b.png", "real/a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links")
@pytest.mark.parametrize("listed", [by_fit, by_the_api, by_watch, by_fit_many])
def test_what_one_link_leads_to_hides_no_other_picture(
    listed: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    put(tmp_path, "line/a.png", "line/below/b.png")
    (tmp_path / "line" / "odd.png").symlink_to("n" * 300)  # which the system refuses to look up
    (tmp_path / "line" / "odd").symlink_to("n" * 300)
    expected = ["line/a.png", "line/below/b.png", "line/odd.png"]
    assert sorted(listed(tmp_path)) in (expected, ["a.png", "b.png", "odd.png"])  # of cameras


def test_what_is_left_out_is_counted_and_why(tmp_path: Path) -> None:
    put(
        tmp_path,
        *("a.png", "a.HEIC", "b.heic", "c.nef", ".d.png", "#recycle/e.png", "#recycle/f.png"),
    )
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "map.png").write_bytes(png_bytes(Image.new("L", (4, 4))))
    left_out = LeftOut()
    assert names(list_images(tmp_path, left_out), tmp_path) == ["a.png"]
    words = str(left_out)
    for part in (
        "3 picture(s) in formats that are not read: save them as PNG or JPEG (.HEIC, .heic, .nef)",
        "1 folder(s) of storage or system (#recycle)",
        "1 drawing(s) or quarantine(s) of softpatch (.png)",
        "1 linked folder(s) that are read already or lead back up (link)",
        "1 hidden (.d.png)",
        "1 other file(s) (.txt)",
    ):
        assert part in words
    assert not LeftOut()
    assert not left_out.only("nothing")


def test_a_folder_of_pictures_that_are_not_read_says_so(tmp_path: Path) -> None:
    put(tmp_path, "IMG_1.HEIC")
    with pytest.raises(
        Exception, match=r"no pictures found .*; left out: 1 picture\(s\) in formats"
    ):
        list_images(tmp_path)


def test_the_api_warns_of_pictures_that_are_not_read(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "IMG_1.HEIC", "#recycle/a.png")
    with pytest.warns(UnreadableImageWarning, match=r"left out 1 picture.*HEIC"):
        assert len(list(image_sources(tmp_path))) == 1


def test_a_name_that_is_no_text_is_said_all_the_same(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (tmp_path / os.fsdecode(b"b.h\xff")).write_bytes(b"")
    left_out = LeftOut()
    list_images(tmp_path, left_out)
    assert "\\udcff" in str(left_out).encode().decode()
