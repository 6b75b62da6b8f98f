"""One process at a time changes a file or a folder; those that read never wait.

The lock is the system's, on a hidden file beside, which says who has it. It ends with its process,
however that ends. So does the file, but for a kill; then the next one takes it over or removes it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from softpatch.errors import BusyError
from softpatch.runtime.partial import LOCK, try_lock

PATIENCE = 10.0  # seconds in which a short command ends that came first
PAUSE = 0.05  # seconds between two looks
LONGEST = 200  # bytes of a name to which more can be added

_mine = threading.local()


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep others from changing a file or folder, which need not exist, while the block runs.

    Whatever is read, changed and written again is read within the block. Blocks may be nested.

    Raises:
        BusyError: another process or thread has been changing it for ``PATIENCE``.
        OSError: nothing can be written there.
    """
    path = Path(os.path.realpath(path))
    held: set[Path] = vars(_mine).setdefault("held", set())
    if path in held:
        yield
        return
    descriptor, file = _locked(path)
    held.add(path)
    try:
        yield
    finally:
        held.remove(path)
        with suppress(OSError):  # Windows removes no open file
            file.unlink()
        os.close(descriptor)


def _locked(path: Path) -> tuple[int, Path]:
    """The lock's open file, and where it is."""
    until = time.monotonic() + PATIENCE
    while True:
        descriptor, file = _opened(path)
        try:
            free = try_lock(descriptor)
        except OSError:  # a file system without locks
            return descriptor, file
        if free and _still_there(descriptor, file):
            with suppress(OSError):  # a full disk, on which nothing else will be written either
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _about_me().encode())
            return descriptor, file
        holder = os.read(descriptor, 1000).decode(errors="replace")
        os.close(descriptor)
        if not free and time.monotonic() >= until:
            raise BusyError(
                f"{path}: is being changed by {holder or 'another process'}; "
                "try again when that has ended"
            )
        if not free:
            time.sleep(PAUSE)


def _opened(path: Path) -> tuple[int, Path]:
    name = path.name
    if len(os.fsencode(name)) > LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    file = path.with_name(f".{name}{LOCK}")
    if path.is_dir() and not os.access(path.parent, os.W_OK):
        file = path / LOCK
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666), file
    except OSError as error:
        error.filename = str(path)  # nobody has heard of the other name
        raise


def _still_there(descriptor: int, file: Path) -> bool:
    """Whether the file that was locked has not been removed by the one who had it before."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except OSError:
        return False


def _about_me() -> str:
    command = Path(sys.argv[0]).name
    if command == "softpatch" and len(sys.argv) > 1:
        command += f" {sys.argv[1]}"
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    return f"{command} (process {os.getpid()} on {socket.gethostname()}, since {since})"
