"""Both commands that run for months stay as they are, whatever happens around them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_five_minutes_with_a_fault_every_few_seconds() -> None:
    words = [sys.executable, "-m", "benchmarks.soak", "--minutes", "5"]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
