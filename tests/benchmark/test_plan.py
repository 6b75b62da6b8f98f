"""Which cells there are, and which of them share a fit."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from softpatch.benchmark.grid import read_grid
from softpatch.benchmark.plan import fingerprint, plan
from softpatch.datasets import read_category
from softpatch.errors import DatasetError, UsageError
from tests.benchmark.conftest import small_grid


def test_every_combination_once(lines: Path) -> None:
    cells = plan(
        small_grid(
            lines, categories=[], methods=["padim", "patchcore"], noise=[0, 0.1, 0.1], seeds=[0, 1]
        )
    )
    assert len(cells) == 2 * 2 * 2 * 2 * 2
    assert len(set(cells)) == len(cells)
    assert [cell.category for cell in cells] == sorted(cell.category for cell in cells)


def test_cells_share_a_fit_where_they_train_on_the_same_pictures(lines: Path) -> None:
    grid = small_grid(
        lines, methods=["patchcore", "oracle"], noise=[0, 0.1], kinds=["defects", "mild"]
    )
    cells = plan(grid)
    assert len(cells) == 2 * 2 * 2 * 2
    fits = {cell.fit for cell in cells}
    assert len(fits) == 3  # clean, defects 0.1, mild 0.1
    clean = [cell for cell in cells if cell.fit.noise == 0]
    assert len({cell.fit for cell in clean}) == 1
    assert {cell.method.name for cell in clean if cell.noise > 0} == {"oracle"}


def test_the_command_of_a_cell_repeats_it(lines: Path) -> None:
    from softpatch.cli.benchmark import _options

    methods = [{"method": "softpatch-lof", "denoise": False, "tau": 0.1}]
    [cell] = plan(small_grid(lines, methods=methods, noise=[0.1], policies=["overlap"]))
    words = shlex.split(cell.command)
    given = {word: words[place + 1] for place, word in enumerate(words) if word.startswith("--")}
    settings = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    again = read_grid(
        {
            "data": given["--data"],
            "categories": given["--categories"].split(","),
            "methods": given["--methods"].split(","),
            "noise": [float(given["--noise"])],
            "policies": [given["--policy"]],
            "kinds": [given["--kinds"]],
            "seeds": [int(given["--seeds"])],
            "pixel_at": given["--pixel-at"],
            "options": _options(settings),
        }
    )
    assert plan(again) == [cell]


def test_the_fingerprint_follows_the_pictures(lines: Path, tmp_path: Path) -> None:
    folder = tmp_path / "flange"
    shutil.copytree(lines / "flange", folder)
    before = fingerprint(read_category(folder))
    assert fingerprint(read_category(folder)) == before
    picture = next((folder / "train" / "good").iterdir())
    picture.write_bytes(picture.read_bytes() + b"\0")
    changed = fingerprint(read_category(folder))
    picture.unlink()
    fewer = fingerprint(read_category(folder))
    assert len({before, changed, fewer}) == 3


def test_a_result_is_kept_for_what_it_was_measured_on(lines: Path) -> None:
    noises = small_grid(lines, methods=["padim"], noise=[0, 0.1])
    options = small_grid(lines, methods=[{"method": "padim", "dimensions": 9}], noise=[0])
    native = small_grid(lines, methods=["padim"], noise=[0], pixel_at="native")
    cells = [cell for grid in (noises, options, native) for cell in plan(grid)]
    keys = {cell.key("pictures", "cpu") for cell in cells}
    assert len(keys) == len(cells) == 8
    assert cells[0].key("other pictures", "cpu") not in keys
    assert cells[0].key("pictures", "cuda") not in keys
    assert cells[0].key("pictures", "cpu") == plan(noises)[0].key("pictures", "cpu")


def test_wrong_data_is_named(lines: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no category 'gear'; it has flange, washer"):
        plan(small_grid(lines, categories=["gear"]))
    with pytest.raises(DatasetError, match="no such folder"):
        plan(small_grid(tmp_path / "nowhere"))
