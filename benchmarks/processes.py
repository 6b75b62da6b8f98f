"""Measurements in processes of their own, and the files their numbers go to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path("benchmarks/results")


def in_own_process(module: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """Run a module that prints one line of JSON last, and return it."""
    command = [sys.executable, "-m", module, *arguments]
    # anomalib draws a bar for its coreset
    variables = {**os.environ, "TQDM_DISABLE": "1", **environment}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=variables)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def write_json(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def say(line: str) -> None:
    """Progress goes to standard error; standard output is for numbers."""
    print(line, file=sys.stderr, flush=True)
