"""Both commands that run for months stay as they are, whatever happens around them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak.usage import WHAT, Change, quarters, usage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
# Takes as much as it has done before with each line, in a process that it has started, too.
GREEDY = """
import os, sys, threading
if os.fork():
    os.wait()
else:
    taken = []
    print(flush=True)
    for line in sys.stdin:
        taken += [bytearray(50_000_000), *(open(os.devnull) for _ in range(4))]
        for _ in range(2):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        print(flush=True)
    os._exit(0)
"""


def test_what_is_taken_more_and_more_is_noticed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", GREEDY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        samples = [usage(process.pid), usage(process.pid)]
        for _ in range(6):
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            samples.append(usage(process.pid))
        process.stdin.close()
    for at, what in enumerate(WHAT):
        numbers = [each[at] for each in samples]
        assert not Change(what, *quarters(numbers)).flat
        assert Change(what, *quarters(numbers[:2])).flat


def test_one_more_connection_is_no_change_and_a_little_more_memory_is() -> None:
    assert Change("files", 10, 11).flat
    assert Change("memory, MB", 100, 104).flat
    assert not Change("memory, MB", 100, 94).flat
    assert not Change("files", 10, 12).flat
    assert not Change("memory, MB", 10, 11).flat


@pytest.mark.long
def test_five_minutes_with_a_fault_every_few_seconds() -> None:
    words = [sys.executable, "-m", "benchmarks.soak", "--minutes", "5"]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
