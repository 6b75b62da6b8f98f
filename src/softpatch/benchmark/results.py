"""Results on disk: every finished cell in a file of its own, and the tables made of them.

``results.csv`` (and ``.parquet``) has one row per cell with everything; ``scores.csv`` leaves out
what depends on the moment and the machine, so that the same grid writes the same bytes. Read and
written without torch, which a page of results does not need.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from softpatch.errors import DatasetError
from softpatch.evaluation.row import Costs, Evaluation
from softpatch.runtime.files import csv_bytes, csv_rows, write_atomically
from softpatch.runtime.targets import begins

Row = dict[str, Any]
Setting = dict[str, Any]

SETTING, GRID = "setting.json", "grid.yaml"
CELLS, MANIFESTS = "cells", "manifests"  # folders of finished cells, and of what was drawn
RESULTS, SCORED, PARQUET = "results.csv", "scores.csv", "results.parquet"
ORACLE = "oracle"  # PatchCore, trained without the injected images
OK, IMPOSSIBLE, FAILED = "ok", "impossible", "failed"

COSTS = tuple(field.name for field in fields(Costs))
IDENTITY = (
    "dataset", "category", "method", "options", "kind", "noise", "policy", "seed", "status",
    "reason",
)  # fmt: skip
MEASURED = tuple(
    field.name for field in fields(Evaluation) if field.name not in (*IDENTITY, *COSTS)
)
SCORES = (*IDENTITY, *MEASURED, "manifest")
COLUMNS = (
    *SCORES, *COSTS, "fit_shared_by", "pictures_embedded", "device", "threads", "processor",
    "cores", "versions", "command",
)  # fmt: skip
TEXTS = frozenset(
    ("dataset", "category", "method", "options", "kind", "policy", "status", "reason",
     "manifest", "pixel_at", "device", "processor", "versions", "command")
)  # fmt: skip
WHOLE = frozenset(
    ("seed", "n_train", "n_injected", "n_test", "n_test_bad", "fit_shared_by", "pictures_embedded",
     "threads", "cores")
)  # fmt: skip


def _beside_setting(path: Path) -> bool:
    """Whether a file that does not tell itself lies in a benchmark's folder."""
    return (path.parent / SETTING).exists()


_is_table = begins(b"dataset,category,method,")
BEGINNINGS = {  # of what a run writes; the setting is checked first
    SETTING: begins(b'{\n "title": '),
    GRID: _beside_setting,
    RESULTS: _is_table,
    SCORED: _is_table,
    PARQUET: _beside_setting,
}


class CellStore:
    """Finished cells by key, each a JSON file that appears complete or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Row | None:
        """The row kept under the key; None if there is none."""
        try:
            row: Row = json.loads((self.folder / f"{key}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return row

    def put(self, key: str, row: Row) -> None:
        """Keep a row."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"{key}.json", f"{json.dumps(row, indent=1)}\n".encode())


def read_setting(folder: Path) -> Setting:
    """What ``setting.write_setting`` has written there; DatasetError if nothing, or damaged."""
    try:
        setting: Setting = json.loads((folder / SETTING).read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{folder}: no {SETTING} in it; give the folder of a benchmark"
        ) from error
    return setting


def write_tables(folder: Path, rows: Sequence[Row]) -> None:
    """``results.csv``, ``scores.csv`` and, where pyarrow is installed, ``results.parquet``."""
    for name, columns in ((RESULTS, COLUMNS), (SCORED, SCORES)):
        # What a row does not have is left empty.
        table = [{column: row.get(column) for column in columns} for row in rows]
        write_atomically(folder / name, csv_bytes(table))
    _write_parquet(folder / PARQUET, rows)


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return
    schema = pa.schema([(column, _type(pa, column)) for column in COLUMNS])
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), buffer)
    write_atomically(path, buffer.getvalue())


def read_table(path: Path) -> list[Row]:
    """The rows of a table with their types; numbers that are not there are None.

    DatasetError if there is no such file, or it is not one of ours.
    """
    try:
        rows = csv_rows(path.read_bytes())
        return [{name: _parse(name, text) for name, text in row.items()} for row in rows]
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file; give the folder of a benchmark") from error
    except (UnicodeDecodeError, csv.Error, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: not the results of a benchmark ({error})") from error


def _parse(name: str, text: str) -> Any:
    if name in TEXTS:
        return text
    if text == "":
        return None
    return int(text) if name in WHOLE else float(text)


def _type(pa: Any, column: str) -> Any:
    if column in TEXTS:
        return pa.string()
    return pa.int64() if column in WHOLE else pa.float64()
