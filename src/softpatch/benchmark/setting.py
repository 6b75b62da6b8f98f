"""What a page of results states beside its tables: grid, command, and problems of the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from softpatch.benchmark.grid import Grid
from softpatch.benchmark.plan import categories, dataset, fingerprint, read_category
from softpatch.benchmark.results import GRID, SETTING, Setting, read_setting
from softpatch.datasets import find_problems
from softpatch.errors import DatasetError
from softpatch.runtime.files import write_atomically


def write_setting(folder: Path, grid: Grid, cells: int, command: str) -> None:
    """``grid.yaml``, which runs the same again, and ``setting.json``."""
    import yaml

    try:
        earlier = read_setting(folder)
    except DatasetError:
        earlier = {}
    setting = {
        "title": grid.title,
        "about": grid.about,
        "command": command,
        "cells": cells,
        "data": _data(grid, earlier),
    }
    text = yaml.safe_dump(dict(grid.as_written), sort_keys=False, allow_unicode=True)
    # By the first, a later run knows the second for its own.
    write_atomically(folder / SETTING, f"{json.dumps(setting, indent=1)}\n".encode())
    write_atomically(folder / GRID, text.encode())


def _data(grid: Grid, earlier: Setting) -> list[dict[str, Any]]:
    """Every category: how many images it has, and its problems.

    Finding the problems reads every image, so those of unchanged images are taken over.
    """
    known = {entry["fingerprint"]: entry for entry in earlier.get("data", [])}
    entries = []
    for source in grid.data:
        for name in categories(source):
            layout = dataset(source.root, source.layout).layout
            about: dict[str, Any] = {
                "dataset": Path(source.root).resolve().name,
                "layout": layout.name,
                "published": list(layout.categories),
                "category": name,
            }
            try:
                category = read_category(source.root, source.layout, name)
            except DatasetError as error:
                entries.append({**about, "fingerprint": "", "problems": [str(error)]})
                continue
            mark = fingerprint(category)
            about |= {
                "fingerprint": mark,
                "train": len(category.train),
                "test_good": len(category.test) - len(category.defects),
                "test_defective": len(category.defects),
                "problems": known[mark]["problems"] if mark in known else find_problems(category),
            }
            entries.append(about)
    return entries
