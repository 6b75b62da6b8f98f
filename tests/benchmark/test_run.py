"""Filling in cells: the numbers of ``evaluate``, whatever is cached, kept or runs beside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from softpatch.benchmark import run
from softpatch.benchmark.grid import Grid
from softpatch.benchmark.plan import dataset, plan, read_category
from softpatch.benchmark.results import SCORES, Row
from softpatch.datasets import contaminate, open_dataset, read_manifest
from softpatch.detectors import make_detector
from softpatch.evaluation import protocol
from softpatch.evaluation.protocol import evaluate
from tests.benchmark.conftest import SMALL, settings, small_grid

pytestmark = pytest.mark.usefixtures("one_backbone")


def fill_in(grid: Grid, output: Path, **changes: Any) -> list[Row]:
    output.mkdir(exist_ok=True)
    return run.run_cells(plan(grid), settings(output, **changes), finished=lambda rows: None)


@pytest.fixture
def copied(lines: Path, tmp_path: Path) -> Path:
    """A data set that may be written to."""
    shutil.copytree(lines, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Counts the fits."""
    done: list[Any] = []
    original = protocol.fit_and_predict

    def counted(*arguments: Any, **options: Any) -> Any:
        done.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(run, "fit_and_predict", counted)
    return done


def test_a_cell_is_what_evaluate_says(lines: Path, tmp_path: Path) -> None:
    methods = ["softpatch-lof", "padim", "random-bank", "random-ensemble", "oracle"]
    rows = fill_in(small_grid(lines, methods=methods, noise=[0.2], seeds=[1]), tmp_path)
    assert [(row["method"], row["policy"]) for row in rows] == [
        (method, policy) for method in methods for policy in ("overlap", "no-overlap")
    ]
    category = open_dataset(lines).read("flange")
    for row in rows:
        draw = contaminate(category, 0.2, overlap=row["policy"] == "overlap", seed=1)
        if row["method"] == "oracle":
            detector = make_detector("patchcore", **SMALL, seed=1, device="cpu")
            detector.fit([sample.path for sample in category.train])
            assert row["n_train"] == len(category.train)
            assert row["n_test"] == len(draw.test)
            continue
        detector = make_detector(row["method"], **SMALL, seed=1, device="cpu")
        expected, _ = evaluate(row["method"], detector, draw)
        for name, value in expected.as_dict().items():
            if name in SCORES:
                assert row[name] == (pytest.approx(value) if isinstance(value, float) else value)
        assert read_manifest(tmp_path / row["manifest"], category) == draw


def test_the_oracle_is_patchcore_without_the_injected(lines: Path, tmp_path: Path) -> None:
    grid = small_grid(lines, methods=["patchcore", "oracle"], noise=[0, 0.2])
    rows = {(r["method"], r["noise"], r["policy"]): r for r in fill_in(grid, tmp_path)}
    clean = rows["patchcore", 0.0, "overlap"]
    oracle = rows["oracle", 0.2, "overlap"]
    assert oracle["n_injected"] == 2  # that it was spared
    assert oracle["image_auroc"] == clean["image_auroc"]
    assert oracle["pixel_auroc"] == clean["pixel_auroc"]
    assert rows["oracle", 0.2, "no-overlap"]["n_test"] == clean["n_test"] - 2


def test_the_same_scores_with_and_without_cache_and_of_any_jobs(
    lines: Path, tmp_path: Path
) -> None:
    grid = small_grid(lines, methods=["softpatch-lof", "padim"], noise=[0.1])
    fill_in(grid, tmp_path / "a", features=None)
    expected = (tmp_path / "a" / "scores.csv").read_bytes()
    cold = fill_in(grid, tmp_path / "b")
    assert (tmp_path / "b" / "scores.csv").read_bytes() == expected
    assert sum(row["pictures_embedded"] > 0 for row in cold) == 2  # of the first fit
    warm = fill_in(grid, tmp_path / "c", features=tmp_path / "b" / "features", jobs=2)
    assert (tmp_path / "c" / "scores.csv").read_bytes() == expected
    assert [row["pictures_embedded"] for row in warm] == [0] * 4
    assert {row["threads"] for row in warm} == {max(1, settings(tmp_path).threads // 2)}


def test_one_fit_serves_all_cells_that_train_on_its_pictures(
    lines: Path, tmp_path: Path, fits: list[Any]
) -> None:
    grid = small_grid(lines, methods=["patchcore", "oracle"], noise=[0, 0.1])
    rows = fill_in(grid, tmp_path)
    assert len(rows) == 8
    assert len(fits) == 2
    assert sorted(row["fit_shared_by"] for row in rows) == [2, 2] + [6] * 6
    assert len({row["fit_seconds"] for row in rows}) == 2


def test_what_is_finished_is_kept_and_a_larger_grid_adds_to_it(
    lines: Path, tmp_path: Path, fits: list[Any]
) -> None:
    grid = small_grid(lines, methods=["padim"], noise=[0, 0.1])
    first = fill_in(grid, tmp_path)
    assert fill_in(grid, tmp_path) == first
    assert len(fits) == 2
    more = fill_in(small_grid(lines, methods=["padim"], noise=[0, 0.1, 0.2]), tmp_path)
    assert more[: len(first)] == first
    assert len(fits) == 3


def test_a_changed_picture_is_measured_again(copied: Path, tmp_path: Path, fits: list[Any]) -> None:
    grid = small_grid(copied, methods=["padim"], noise=[0])
    before = fill_in(grid, tmp_path / "out")
    picture = next((copied / "flange" / "test" / "chip").iterdir())
    Image.new("RGB", (64, 64), "red").save(picture)
    read_category.cache_clear()  # a process reads a category once
    run._category_fingerprint.cache_clear()
    after = fill_in(grid, tmp_path / "out")
    assert len(fits) == 2
    assert after[0]["pixel_auroc"] != before[0]["pixel_auroc"]
    assert after[0]["pictures_embedded"] == 1


def test_too_few_defects_are_named_and_the_rest_goes_on(lines: Path, tmp_path: Path) -> None:
    rows = fill_in(small_grid(lines, methods=["padim"], noise=[0.9, 0.1]), tmp_path)
    assert [row["status"] for row in rows] == ["impossible"] * 2 + ["ok"] * 2
    assert "largest possible ratio is 0.4" in rows[0]["reason"]
    assert "image_auroc" not in rows[0]


def test_a_cell_that_crashes_is_named_and_the_rest_goes_on(
    lines: Path, tmp_path: Path, fits: list[Any]
) -> None:
    methods = ["patchcore", {"method": "patchcore", "layers": "nowhere"}, "padim"]
    grid = small_grid(lines, methods=methods, noise=[0.1], policies=["overlap"])
    rows = fill_in(grid, tmp_path)
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert rows[1]["reason"].startswith("UsageError: efficientnet_lite2 has no layer 'nowhere'")
    assert len(fits) == 2
    fill_in(grid, tmp_path)
    assert len(fits) == 2


def test_what_is_wrong_with_the_data_is_noted(copied: Path, tmp_path: Path) -> None:
    folder = copied / "flange"
    shutil.rmtree(folder / "ground_truth" / "chip")
    (folder / "test" / "good" / "000.png").write_bytes(b"")
    (folder / "test" / "good" / "gone.png").symlink_to(folder / "nowhere.png")
    dataset.cache_clear()
    read_category.cache_clear()
    [row] = fill_in(
        small_grid(copied, methods=["padim"], noise=[0], policies=["overlap"]), tmp_path / "out"
    )
    assert row["status"] == "ok"
    assert "leave out 1 defective" in row["reason"]
    assert "unreadable pictures" in row["reason"]
    assert "000.png" in row["reason"]


def test_a_mask_of_the_wrong_size_is_the_datas_fault_before_any_fit(
    copied: Path, tmp_path: Path, fits: list[Any]
) -> None:
    Image.new("L", (9, 9)).save(copied / "flange" / "ground_truth" / "chip" / "000_mask.png")
    rows = fill_in(small_grid(copied, methods=["padim"], noise=[0]), tmp_path / "out")
    assert {row["status"] for row in rows} == {"impossible"}
    assert "000_mask.png: is (9, 9) pixels" in rows[0]["reason"]
    assert fits == []


def test_every_kind_of_contamination(lines: Path, tmp_path: Path) -> None:
    kinds = [
        "defects", "mild", "one-type", "near-duplicates", "other-category", "capture-faults",
        "difficult",
    ]  # fmt: skip
    grid = small_grid(lines, methods=["padim"], noise=[0.1], kinds=kinds, policies=["overlap"])
    rows = fill_in(grid, tmp_path)
    assert [(row["kind"], row["status"]) for row in rows] == [(kind, "ok") for kind in kinds]
    assert {row["n_injected"] for row in rows} == {1}
    manifest = json.loads((tmp_path / rows[-1]["manifest"]).read_text())
    assert manifest["kind"] == "difficult"
