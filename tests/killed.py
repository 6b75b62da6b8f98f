"""Runs something in a fork that is killed at its n-th file event, for each n until it ends itself.

Nothing is told of a kill -9: what the fork has left is what is there.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Container, Iterator
from typing import Any

from softpatch.runtime import partial

EVENTS = (
    "open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.truncate",
    "fcntl.flock", "shutil.rmtree", "tempfile.mkstemp", "tempfile.mkdtemp",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def killed_at_every_file_event(
    work: Callable[[], object], events: Container[str] = EVENTS
) -> Iterator[int]:
    """Yield after each killed fork how many events it lived to see; the last fork is not killed."""
    number = 0
    while True:
        number += 1
        child = os.fork()
        if child == 0:
            kill_at(number, events)
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


def kill_at(number: int, events: Container[str] = EVENTS, writing: bool = False) -> None:
    """Have this process killed at its n-th file event from now on, or n-th that writes."""
    left = number

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    at_every_file_event(count, events, writing)


def at_every_file_event(
    call: Callable[[], None], events: Container[str] = EVENTS, writing: bool = False
) -> None:
    """Have something called at each, or at those that write, as long as this process lives."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in events or (writing and event == "open" and not arguments[2] & WRITES):
            return
        call()

    sys.addaudithook(hook)
