"""File systems of this process's own, mounted where nobody else sees them (``unshare``)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import say

INSIDE = "SOFTPATCH_FAULTS_INSIDE"  # set where the mounts are this process's own


def mounts(without: str) -> bool:
    """Start this program anew where it may mount; False, and a line that says so, if none may.

    Args:
        without: what is not tried then.
    """
    if INSIDE in os.environ:
        return True
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        fine = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        fine = False
    if fine:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-rm", *sys.orig_argv])
    say(f"nothing can be mounted here: not tried are {without}")
    return False


@contextmanager
def mounted(*words: str) -> Iterator[str]:
    """With what ``mount`` makes of these words, the last of which is where."""
    subprocess.run(["mount", *words], check=True)
    try:
        yield words[-1]
    finally:
        subprocess.run(["umount", words[-1]], check=True)


@contextmanager
def a_disk(size: int, folder: str = "/mnt") -> Iterator[str]:
    """A small one, of so many bytes."""
    with mounted("-t", "tmpfs", "-o", f"size={size}", "none", folder):
        yield folder


@contextmanager
def filled(filler: Path, left: int) -> Iterator[None]:
    """With so many bytes left on the disk."""
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(filler.parent).free - left)
    yield
    filler.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """With a folder that nobody may write to."""
    with mounted("--bind", str(folder), str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
