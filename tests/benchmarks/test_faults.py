"""Each campaign against faults runs, on little; what they have found is in docs/reliability.md."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.__main__ import main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and files in memory")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("damage", ("--count", "9", "--only", "softpatch.softpatch")),
        ("kills", ("--count", "2", "--only", "threshold")),
        ("writers", ("--count", "1", "--only", "threshold, threshold")),
    ],
)
def test_campaigns_in_forks(
    name: str, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["benchmarks.faults", name, *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 0, said.out + said.err
    assert said.out.splitlines()[-1].startswith(f"{name}: {arguments[1]} tried in ")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("short", ("--count", "1", "--only", "threshold")), ("requests", ("--count", "16"))],
)
def test_campaigns_with_processes_of_their_own(name: str, arguments: tuple[str, ...]) -> None:
    pytest.importorskip("fastapi", reason="needs softpatch[serve]")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", name, *arguments],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(", 0 problems")
