"""Images that are done go to another folder."""

from __future__ import annotations

from pathlib import Path

from softpatch.runtime.files import file_digest, short_name
from softpatch.storage.moving import move_file
from softpatch.watch.arrivals import Arrival


def put_away(arrival: Arrival, folder: Path) -> bool:
    """Move an image below a folder, under another name if its own is taken there.

    What has changed since it was scored stays, and so do links and what is no ordinary file.

    Returns:
        whether it has not changed.

    Raises:
        OSError, DatasetError: it cannot be moved, and is where it was.
    """
    if not arrival.path.is_file() or arrival.path.is_symlink():
        return True
    digest = file_digest(arrival.path)
    if not arrival.unchanged:
        return False
    name = Path(arrival.name)
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        try:
            move_file(arrival.path, target, digest)
            return True
        except FileExistsError:
            number += 1
            target = (folder / name).with_name(short_name(name.stem, f"-{number}{name.suffix}"))
