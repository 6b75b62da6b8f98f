"""The two commands as processes: killed, resumed, badly used."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softpatch.evaluation.protocol import Evaluation

COMMAND = Path(sys.executable).parent / "softpatch"


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


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
        noise: [0, 0.1, 0.2, 0.9]
        """
    )
    return path


@pytest.fixture(scope="module")
def finished(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run that nothing stopped."""
    output = tmp_path_factory.mktemp("finished")
    done = process("benchmark", grid, "-o", output)
    assert done.returncode == 0, done.stderr
    assert "32 cells" in done.stderr
    assert "24 ok, 8 impossible" in done.stdout
    return output


def stopped_half_way(grid: Path, output: Path, how: signal.Signals) -> subprocess.Popen[str]:
    """Start the grid and stop it once a few cells are there."""
    run = subprocess.Popen(
        [COMMAND, "benchmark", grid, "-o", output],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while len(list((output / "cells").glob("*.json"))) < 2:
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(how)
    return run


def test_a_killed_run_goes_on_to_the_same_tables(
    grid: Path, finished: Path, tmp_path: Path
) -> None:
    stopped_half_way(grid, tmp_path, signal.SIGKILL).communicate()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "cells").glob("[!.]*.json")}
    assert 2 <= len(kept) < 24
    done = process("benchmark", grid, "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(kept)} of 32 cells are there already" in done.stderr
    assert (tmp_path / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()
    for name, content in kept.items():
        assert (tmp_path / "cells" / name).read_bytes() == content


def test_control_c_says_how_to_go_on(grid: Path, tmp_path: Path) -> None:
    run = stopped_half_way(grid, tmp_path, signal.SIGINT)
    _, err = run.communicate()
    assert run.returncode == 1
    assert "the same command goes on" in err
    assert "Traceback" not in err


def test_two_jobs_give_the_same_table(grid: Path, finished: Path, tmp_path: Path) -> None:
    done = process("benchmark", grid, "-o", tmp_path, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()


def test_a_row_has_all_that_evaluate_says_and_what_repeats_it(finished: Path) -> None:
    with (finished / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 32
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


def test_the_report_needs_nothing_and_names_what_is_missing(finished: Path, tmp_path: Path) -> None:
    done = process("report", finished, "-o", tmp_path / "page")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page" / "report.html").read_text()
    text = (tmp_path / "page" / "report.md").read_text()
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page)
    assert "@import" not in page
    assert "url(http" not in page
    for content in (page, text):
        assert "A small grid" in content
        assert "8 cannot be run" in content
        assert "noise 0.9 needs 9 defective pictures of 4" in content
        assert f"softpatch report {finished}" in content
    assert page.count("<svg") >= 3
    again = process("report", finished, "-o", tmp_path / "again")
    assert again.returncode == 0
    assert (tmp_path / "again" / "report.html").read_text() == page


def test_bad_use(lines: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"data: {lines}\nmethod: [padim]\n")
    done = process("benchmark", grid, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: a grid has no key 'method'; it has title, about, data")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
