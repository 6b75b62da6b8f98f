"""``--engine``: what it refuses, and that nothing else needs Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from softpatch import MissingExtraError
from softpatch.benchmark.grid import read_grid
from softpatch.benchmark.plan import plan
from softpatch.benchmark.run import RunSettings, run_cells, run_fits
from softpatch.cli import main, terminal
from softpatch.datasets import make_product_line
from softpatch.distributed.benchmark import run_on_cluster
from softpatch.distributed.cluster import Cluster, connected

SMALL = ("--resize", "64", "--crop", "64", "--device", "cpu")


def test_local_work_imports_nothing_of_ray(photos: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from softpatch.cli import main\n"
        f"sys.argv = ['softpatch', 'fit', {str(photos)!r}, '-o', {str(tmp_path / 'm')!r}, "
        f"*{SMALL!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "loaded = {name.split('.')[0] for name in sys.modules} & {'ray', 'fsspec', 'pandas'}\n"
        "assert not loaded and 'softpatch.distributed' not in sys.modules, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_ray_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'softpatch\[ray\]'"), connected():
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "x", "-o", "m", "--engine", "spark"], "--engine must be local or ray"),
        (["fit", "x", "-o", "m", "--address", "auto"], "--address goes with --engine ray"),
        (["fit", "x", "-o", "m", "--coreset", "exact"], "--coreset goes with --engine ray"),
        (["fit", "s3://b/x", "-o", "m"], "URLs are read with --engine ray"),
        (["audit", "s3://b/x", "-o", "out", "--engine", "ray"], "use --json with a URL"),
        (["fit", "x", "-o", "m", "--checkpoint", "c", "--engine", "ray"], "--checkpoint goes"),
        (["predict", "m", "x", "-o", "o", "--engine", "ray", "--masks"], "--masks goes without"),
        (["predict", "m", "x", "-o", "o", "--engine", "ray", "--heatmaps"], "--heatmaps goes"),
        (["predict", "m", "x", "-o", "out", "--maps"], "--maps goes with --engine ray"),
        (["predict", "m", "x", "-o", "o", "--engine", "ray", "--report"], "--report shows"),
        (["benchmark", "--jobs", "2", "--engine", "ray"], "takes no --jobs"),
    ],
)
def test_bad_use(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["softpatch", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    terminal.stderr.cache_clear()
    with pytest.raises(SystemExit) as end:
        main()
    terminal.stderr.cache_clear()
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_benchmark_cells_are_those_of_one_process(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_product_line(tmp_path / "part", n_train=6, n_test_good=2, n_per_defect=1, image_size=64)
    grid = read_grid(
        {
            "data": [str(tmp_path)], "methods": ["softpatch-lof"], "noise": [0.0, 0.3],
            "options": {"resize": 64, "crop": 64, "dimension": 64},
        }
    )  # fmt: skip
    rows = []
    for runner in (run_fits, run_on_cluster):
        settings = RunSettings(
            output=tmp_path / runner.__name__, features=None, features_limit=0, device="cpu",
            memory_limit=None, jobs=1, threads=torch.get_num_threads(),
        )  # fmt: skip
        rows.append(run_cells(plan(grid), settings, finished=lambda _: None, runner=runner))
    costs = {"fit_seconds", "predict_seconds_per_image", "peak_memory_mb"}
    for one, other in zip(*rows, strict=True):
        assert one["status"] == "ok"
        assert {key: one[key] for key in one.keys() - costs} == {
            key: other[key] for key in other.keys() - costs
        }
