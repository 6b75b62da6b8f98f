"""Runs something in a fork that is killed at its n-th file event, for each n until it ends itself.

Nothing is told of a kill -9: what the fork has left is what is there.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

from softpatch.runtime import partial

EVENTS = (
    "open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.truncate",
    "fcntl.flock", "shutil.rmtree", "tempfile.mkstemp", "tempfile.mkdtemp",
)  # fmt: skip


def killed_at_every_file_event(work: Callable[[], object]) -> Iterator[int]:
    """Yield after each killed fork how many events it lived to see; the last fork is not killed."""
    number = 0
    while True:
        number += 1
        child = os.fork()
        if child == 0:
            _kill_at(number)
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0, f"it failed at event {number}"
            return
        yield number


def as_another_run() -> None:
    """Let this process look for leftovers again, as a new one does."""
    partial._remove_leftovers.cache_clear()


def _kill_at(number: int) -> None:
    left = number

    def count(event: str, _: object) -> None:
        nonlocal left
        if event in EVENTS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
