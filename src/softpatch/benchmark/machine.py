"""What the numbers were measured on."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = ("softpatch", "torch", "timm", "numpy", "scikit-learn")


def machine() -> dict[str, str | int]:
    """Processor, cores and the versions that decide the numbers, as columns of a table."""
    packages = (f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    versions = ", ".join((f"python {platform.python_version()}", *packages))
    return {"processor": _processor(), "cores": os.cpu_count() or 1, "versions": versions}


def reset_peak() -> None:
    """Forget the process's peak memory so far, on Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
