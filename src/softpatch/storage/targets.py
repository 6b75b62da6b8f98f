"""What kind of a file is at a place to write to, for ``check_target``."""

from __future__ import annotations

import json
from pathlib import Path

from softpatch.runtime.files import open_ordinary
from softpatch.runtime.targets import begins

MARK = b"softpatch"  # the key of what is told of the model in its file, and in an exported one
HEAD = 1_000_000  # bytes of a model file, at the beginning, that have it; read at a time
is_ranking = begins(b"rank,suspicion,path")  # what ``--suspects`` writes
is_judged = begins(b"path,known_as,score,told_right")  # what ``threshold --csv`` writes


def is_model(path: Path) -> bool:
    """Whether a file is a model, be it cut or damaged: a fit replaces that, too."""
    with open_ordinary(path) as file:
        head = file.read(HEAD)
    return head[8:].startswith(b'{"__metadata__"') and MARK in head


def is_exported(path: Path) -> bool:
    """Whether a file is what ``softpatch export`` writes."""
    before = b""
    with open_ordinary(path) as file:
        while block := file.read(HEAD):
            if MARK in before + block:
                return True
            before = block[-len(MARK) :]
    return False


def is_manifest(path: Path) -> bool:
    """Whether a file is what ``--manifest`` writes."""
    try:
        return "injected" in json.loads(path.read_bytes())
    except (ValueError, TypeError, RecursionError):
        return False
