"""The two commands as processes: killed, resumed, badly used."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softpatch.benchmark.grid import load_yaml, read_grid
from softpatch.benchmark.plan import plan
from softpatch.benchmark.report import write_report
from softpatch.benchmark.run import run_cells
from softpatch.evaluation.row import Evaluation
from tests.benchmark.conftest import settings

COMMAND = Path(sys.executable).parent / "softpatch"
COMMAND_SHOWN = "softpatch report out"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}  # as the tests in this process


@pytest.fixture(scope="module")
def grid(lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_text(
        f"""
        title: A small grid
        data: {lines}
        categories: flange
        methods:
          - {{method: softpatch-lof, tau: [0.1, 0.2]}}
          - patchcore
          - oracle
        options: {{resize: 64}}
        noise: [0, 0.1, 0.9]
        """
    )
    return path


def start_and_stop(grid: Path, output: Path, how: signal.Signals) -> tuple[int, str]:
    """Run the grid and stop it once a few cells are there; exit code and standard error."""
    # A child inherits that its parent ignores the signal, as background jobs do.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    run = subprocess.Popen(
        [COMMAND, "benchmark", grid, "-o", output],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ONE_THREAD,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    while len(kept(output)) < 2:
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(how)
    _, err = run.communicate()
    return run.returncode, err


def kept(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "cells").glob("[!.]*.json")}


@pytest.fixture(scope="module")
def finished(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run that was killed and started again."""
    output = tmp_path_factory.mktemp("finished")
    start_and_stop(grid, output, signal.SIGKILL)
    before = kept(output)
    assert 2 <= len(before) < 16
    done = subprocess.run(
        [COMMAND, "benchmark", grid, "-o", output],
        capture_output=True, text=True, timeout=300, check=True, env=ONE_THREAD,
    )  # fmt: skip
    assert f"{len(before)} of 24 cells are there already" in done.stderr
    assert "16 ok, 8 impossible" in done.stdout
    assert before.items() <= kept(output).items()
    return output


def test_a_killed_run_goes_on_to_the_same_table(grid: Path, finished: Path, tmp_path: Path) -> None:
    cells = plan(read_grid(load_yaml(grid)))
    run_cells(cells, settings(tmp_path), finished=lambda rows: None)
    assert (finished / "scores.csv").read_bytes() == (tmp_path / "scores.csv").read_bytes()


def test_control_c_says_how_to_go_on(grid: Path, tmp_path: Path) -> None:
    code, err = start_and_stop(grid, tmp_path, signal.SIGINT)
    assert code == 1
    assert "the same command goes on" in err
    assert "Traceback" not in err
    write_report(tmp_path, tmp_path, COMMAND_SHOWN)
    assert "not run yet" in (tmp_path / "report.md").read_text()


def test_a_row_has_all_that_evaluate_says_and_what_repeats_it(finished: Path) -> None:
    with (finished / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert set(Evaluation.__dataclass_fields__) <= set(rows[0])
    measured = [row for row in rows if row["status"] == "ok"]
    for row in measured:
        assert row["command"].startswith("softpatch benchmark --data ")
        assert (finished / row["manifest"]).is_file()
        assert float(row["fit_seconds"]) > 0
        assert "torch" in row["versions"]
    impossible = [row for row in rows if row["status"] == "impossible"]
    assert {row["noise"] for row in impossible} == {"0.9"}
    assert all("largest possible ratio" in row["reason"] for row in impossible)


def test_parquet_holds_the_same(finished: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(finished / "results.parquet").to_pylist()
    with (finished / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_auroc"] for row in table] == [
        float(row["image_auroc"]) if row["image_auroc"] else None for row in rows
    ]


def test_the_report_needs_nothing_and_names_what_is_missing(
    grid: Path, finished: Path, tmp_path: Path
) -> None:
    written = write_report(finished, tmp_path, COMMAND_SHOWN)
    assert [path.name for path in written] == ["report.html", "report.md"]
    page, text = (path.read_text() for path in written)
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page)
    assert "@import" not in page
    assert "url(http" not in page
    for content in (page, text):
        assert "A small grid" in content
        assert "8 cannot be run" in content
        assert "noise 0.9 needs 9 defective pictures of 4" in content
        assert COMMAND_SHOWN in content
        assert f"softpatch benchmark {grid}" in content
    assert page.count("<svg") >= 3
    write_report(finished, tmp_path, COMMAND_SHOWN)
    assert written[0].read_text() == page
