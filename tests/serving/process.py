"""The command `softpatch serve` in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.cli.test_cli import COMMAND


@contextmanager
def serving(
    model: Path, *options: object, stdout: int | IO[Any] = subprocess.DEVNULL, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port; killed at the end if it has not ended."""
    with subprocess.Popen(
        [COMMAND, "serve", model, "--port", "0", "--device", "cpu", *map(str, options)],
        stdout=stdout, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    ) as process:  # fmt: skip
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.fullmatch(r"serving at http://.*:(\d+)/; Ctrl-C ends it\n", said)
            assert found, said + process.stderr.read()
            yield process, int(found[1])
        finally:
            if process.poll() is None:
                process.kill()
