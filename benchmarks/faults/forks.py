"""The command in forks of a process that has loaded torch and the network: a second, not seven."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from softpatch.cli import main, terminal
from tests.conftest import share_backbones
from tests.killed import as_another_run
from tests.threads import thread_count

# What commands import when they run, which takes as long as what they do here.
LATE = (
    "pydantic_core", "rich.progress", "rich.table", "softpatch.auditing.report",
    "softpatch.auditing.quarantine", "softpatch.detectors.merge", "softpatch.fleet.report",
    "softpatch.pages.predictions", "softpatch.storage.versions", "softpatch.watch",
    "typer._adapters",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a command has ended.

    Attributes:
        code: its exit code; that of a signal is negative.
        said: all it has printed.
    """

    code: int
    said: str

    @property
    def errors(self) -> list[str]:
        """The lines that tell of errors, those of a traceback among them."""
        lines = self.said.splitlines()
        return [one for one in lines if one.startswith(("error: ", "Traceback ", "Usage: "))]


@contextmanager
def forking() -> Iterator[None]:
    """With this process one that can be forked: threads do not survive that."""
    with pytest.MonkeyPatch.context() as patch, thread_count(1):
        patch.setenv("COLUMNS", "200")
        share_backbones(patch)
        for name in LATE:
            with suppress(ImportError):  # of another version
                importlib.import_module(name)
        gc.freeze()  # or forks copy what they only look at
        yield
        gc.unfreeze()


class Fork:
    """A command that runs in a folder, in a fork of this process."""

    def __init__(
        self, folder: Path, words: tuple[str, ...], before: Callable[[], object] = lambda: None
    ) -> None:
        """Start it; ``before`` is called in the fork."""
        self._said = os.fdopen(os.memfd_create("said"), "w+b")  # on no disk, as that may be full
        as_another_run()
        terminal.stdout.cache_clear()
        terminal.stderr.cache_clear()
        sys.stdout.flush()
        sys.stderr.flush()
        self._process = os.fork()
        if self._process == 0:
            os._exit(self._run(folder, words, before))

    def _run(self, folder: Path, words: tuple[str, ...], before: Callable[[], object]) -> int:
        code = 70
        try:
            for descriptor in (1, 2):
                os.dup2(self._said.fileno(), descriptor)
            sys.stdout, sys.stderr = (os.fdopen(at, "w", closefd=False) for at in (1, 2))
            torch.set_num_threads(1)  # makes the pool that a fork loses, before threads race for it
            os.chdir(folder)
            sys.argv = ["softpatch", *words]
            before()
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        return code

    def end(self) -> Ended:
        """Wait for its end."""
        _, status = os.waitpid(self._process, 0)
        with self._said as file:
            file.seek(0)
            said = file.read().decode(errors="replace")
        return Ended(os.waitstatus_to_exitcode(status), said)


def run(folder: Path, *words: str) -> Ended:
    """Run a command to its end."""
    return Fork(folder, words).end()
