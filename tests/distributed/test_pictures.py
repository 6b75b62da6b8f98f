"""Which pictures lie behind a folder or a URL, and what reading them gives."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from softpatch import DatasetError, ImageError, UsageError
from softpatch.distributed.remote_images import RemotePicture, find_pictures
from softpatch.images.decode import decode_reduced
from softpatch.images.image_source import ImageSource
from softpatch.runtime.listing import list_images
from softpatch.runtime.own_files import QUARANTINE

pytest.importorskip("fsspec", reason="needs softpatch[ray]")


def sources(url: str) -> list[ImageSource]:
    found = find_pictures(url)
    return [source for source in found if isinstance(source, ImageSource)]


def test_a_folder_is_listed_as_without_a_cluster(photos: Path) -> None:
    assert list(find_pictures(str(photos))) == list_images(photos)


def test_memory_is_read_here_as_no_other_process_can(photos: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in [*list_images(photos), photos / "notes.txt", photos / ".hidden" / "a.png"]:
        content = path.read_bytes() if path.is_file() else b"?"
        memory.pipe_file(f"/store/{path.relative_to(photos)}", content)
    found = sources("memory://store")
    expected = list_images(photos)
    assert [source.name for source in found] == [
        f"memory:///store/{path.relative_to(photos)}" for path in expected
    ]
    assert [source.content for source in found] == [path.read_bytes() for path in expected]


def test_what_was_put_away_is_no_picture(tmp_path: Path) -> None:
    for name in ("a.png", "away/b.png", "away/deep/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "away" / QUARANTINE).write_text("{}")
    assert [one.name for one in sources(f"file://{tmp_path}")] == [f"file://{tmp_path}/a.png"]
    assert len(sources(f"file://{tmp_path}/away")) == 2


@pytest.mark.parametrize("min_decode_side", [None, 16])
def test_a_remote_picture_is_the_local_one(
    photos: Path, tmp_path: Path, min_decode_side: int
) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in list_images(photos):
            file.write(path, path.relative_to(photos))
    for path in list_images(photos):
        if path.name == "06.png":
            continue
        url = f"zip://{path.relative_to(photos)}::file://{archive}"
        remote = pickle.loads(pickle.dumps(RemotePicture(url)))
        got, size, *_ = decode_reduced(remote, url, min_decode_side)
        picture, expected, *_ = decode_reduced(path, str(path), min_decode_side)
        assert size == expected
        assert torch.equal(got, picture)


def test_file_urls(photos: Path) -> None:
    found = sources(f"file://{photos}")
    assert [source.content.url for source in found] == [
        f"file://{path}" for path in list_images(photos)
    ]


def test_what_cannot_be_fetched_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        RemotePicture(f"file://{tmp_path}/none.png")()
    with pytest.raises(ImageError, match="cannot be fetched"):
        RemotePicture("none-such://a.png")()


def test_errors_name_the_location(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none-such://a"):
        find_pictures("none-such://a")
    with pytest.raises(DatasetError, match="no pictures found"):
        find_pictures(f"file://{tmp_path}")
    with pytest.raises(DatasetError, match="no such folder"):
        find_pictures(str(tmp_path / "none"))
