"""Tables and figures from made-up rows whose means are known."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from softpatch.benchmark.figures import Line, Panel, draw_bars, draw_panels
from softpatch.benchmark.published import PUBLISHED, published
from softpatch.benchmark.results import Row, write_tables
from softpatch.benchmark.sections import Results, sections
from softpatch.benchmark.table import Labels, Section, Table, Value, over_seeds


def row(**changes: Any) -> Row:
    values: Row = {
        "dataset": "mvtec", "category": "bottle", "method": "patchcore", "options": "{}",
        "kind": "defects", "noise": 0.1, "policy": "no-overlap", "seed": 0, "status": "ok",
        "reason": "", "n_test": 83, "image_auroc": 0.9, "image_ap": 0.9, "image_f1max": 0.9,
        "pixel_auroc": 0.8, "pixel_ap": 0.5, "aupro": 0.7, "audit_auroc": None,
        "fit_seconds": 2.0, "predict_seconds_per_image": 0.05, "peak_memory_mb": 900.0,
        "pictures_embedded": 0,
    }  # fmt: skip
    return {**values, **changes}


def report(rows: list[Row], **data: Any) -> dict[str, Section]:
    entry = {"dataset": "mvtec", "layout": "mvtec", "category": "bottle", "problems": [],
             "published": ["bottle", "cable"], "train": 209, **data}  # fmt: skip
    setting = {"cells": len(rows), "data": [entry]}
    return {section.title: section for section in sections(Results(rows, setting))}


def cells(table: Table) -> dict[str, tuple[str, ...]]:
    return {line[0]: line[1:] for line in table.rows}


def test_false_alarms_and_defects_found_are_counted() -> None:
    shares = {"n_test_bad": 63, "false_alarms": 0.1, "found": 1 / 3}
    seeds = [row(seed=0, **shares), row(seed=1, **{**shares, "false_alarms": 0.0})]
    old = row(seed=0, method="padim")  # of a cell that was kept before there were any
    section = report([*seeds, old])["Category by category"]
    (table,) = section.tables
    place = [table.columns.index(heading) - 1 for heading in ("false alarms", "found")]
    lines = cells(table)
    assert [lines["patchcore"][at] for at in place] == [
        "0.050 ± 0.071 (2 of 40)", "0.333 ± 0.000 (42 of 126)"
    ]  # fmt: skip
    assert [lines["padim"][at] for at in place] == ["–", "–"]
    assert "above the threshold" in section.text[0]
    assert "found" not in report([old])["Category by category"].tables[0].columns


def test_mean_over_categories_and_deviation_over_seeds() -> None:
    values = {("a", 0): 0.9, ("b", 0): 0.7, ("a", 1): 0.8, ("b", 1): 0.6}
    rows = [row(category=name, seed=seed, aupro=v) for (name, seed), v in values.items()]
    value = over_seeds(rows, "aupro")
    assert value.mean == pytest.approx(0.75)
    assert value.deviation == pytest.approx(statistics.stdev([0.8, 0.7]))
    assert value.text() == "0.750 ± 0.071"
    # A category that seed 1 lacks is no spread: seed 1 does not count.
    assert over_seeds(rows[:3], "aupro").text() == "0.800"
    assert over_seeds([row(aupro=None)], "aupro") == Value(None)
    assert over_seeds([], "aupro").text() == "–"


def test_methods_are_called_by_the_options_that_differ() -> None:
    rows = [row(options='{"resize": 64, "tau": 0.1}'), row(options='{"resize": 64}')]
    labels = Labels(rows)
    assert [labels(each) for each in rows] == ["patchcore, tau=0.1", "patchcore"]
    assert labels.shared == "resize=64"


def test_the_papers_numbers_stand_beside_its_settings_only() -> None:
    mvtec = published("mvtec", "softpatch-lof", 0.1, "no-overlap")
    assert mvtec is not None
    assert (mvtec.image_auroc, mvtec.pixel_auroc) == (0.986, 0.979)
    assert published("mvtec", "softpatch-lof", 0.1, "overlap") is None
    assert published("mvtec", "softpatch-lof", 0.0, "no-overlap") is None
    assert published("btad", "softpatch-lof", 0.0, "overlap") in PUBLISHED
    [table] = report([row(), row(category="cable")])["Averages"].tables
    assert cells(table)["patchcore"][-3:] == ("2", "0.984", "0.956")
    elsewhere = report([row(), row(category="screw")], published=["capsule"])["Averages"].tables
    assert "paper" not in " ".join(elsewhere[0].columns)


def test_what_is_missing_is_named() -> None:
    rows = [
        row(),
        row(method="padim", status="failed", reason="ValueError: odd"),
        row(noise=0.9, status="impossible", reason="too few defects"),
        row(method="softpatch-lof", reason="pixel metrics leave out 3 pictures"),
    ]
    found = report(rows, problems=["2 mask(s) cannot be read: a.png, b.png"])["What is missing"]
    [table] = found.tables
    assert [line[:2] for line in table.rows] == [
        ("1 failed", "ValueError: odd"),
        ("1 cannot be run", "too few defects"),
        ("1 with a note", "pixel metrics leave out 3 pictures"),
        ("data", "2 mask(s) cannot be read: a.png, b.png"),
    ]
    assert "padim, noise 0.1, no-overlap, seed 0" in table.rows[0][2]
    assert "What is missing" not in report([row()])


def test_a_stopped_run_says_so() -> None:
    setting = {"cells": 3, "data": []}
    first, *_ = sections(Results([row()], setting))
    assert first.tables[0].rows == (("2 not run yet", "the run was stopped; start it again", ""),)


def test_the_gap_to_the_oracle() -> None:
    rows = [row(), row(method="oracle", image_auroc=0.95), row(method="padim", image_auroc=0.96)]
    image, _ = report(rows)["Gap to the oracle"].tables
    assert cells(image) == {"patchcore": ("+0.050",), "padim": ("-0.010",)}


def test_an_ablation_compares_with_its_first_row() -> None:
    rows = [
        row(method="softpatch-lof"),
        row(method="softpatch-lof", options='{"tau": 0.3}', image_auroc=0.85),
    ]
    [table] = report(rows)["Ablation"].tables
    assert cells(table)["softpatch-lof, tau=0.3"][-2:] == ("-0.050", "+0.000")
    assert "Ablation" not in report([row()])


def test_curves_from_three_ratios_on() -> None:
    rows = [row(noise=noise) for noise in (0.0, 0.1, 0.2)]
    [figure] = report(rows)["Contamination"].figures
    assert "metrics against contamination" in figure.title
    assert "Contamination" not in report(rows[:2])


def test_kinds_and_audit_side_by_side() -> None:
    rows = [
        row(method="softpatch-lof", kind=kind, audit_auroc=value)
        for kind, value in (("defects", 0.99), ("mild", 0.8))
    ]
    parts = report(rows)
    audit = parts["Kinds of contamination"].tables[-1]
    assert audit.columns == ("method", "defects", "mild")
    assert audit.rows == (("softpatch-lof", "0.990", "0.800"),)
    assert [line[-1] for line in parts["Audit"].tables[0].rows] == ["0.990", "0.800"]


def test_costs_in_words_people_use() -> None:
    [table] = report([row(), row(policy="overlap", fit_seconds=4.0)])["Costs"].tables
    assert table.rows == (("patchcore", "3.0", "50.0", "900"),)


def test_markdown_tables() -> None:
    table = Table("T", ("a", "b"), (("x|y", "1"),))
    assert table.markdown() == "**T**\n\n| a | b |\n| --- | ---: |\n| x\\|y | 1 |"


def test_figures_take_the_pages_colours_and_letters() -> None:
    line = Line("m", (0.0, 0.1), (0.9, 0.8), spread=(0.01, 0.02))
    oracle = Line("oracle", (0.0, 0.1), (0.95, 0.95), yardstick=True)
    figures = [
        draw_panels("P", [[Panel("p", "x", (line, oracle))], [Panel("q", "x", (line,))]]),
        draw_bars("B", ["one", "two"], [("p", [0.5, None]), ("q", [None, None])]),
    ]
    for figure in figures:
        ElementTree.fromstring(figure.svg)
        assert "currentColor" in figure.svg
        assert "#010203" not in figure.svg
        assert "DejaVu" not in figure.svg
        assert "<metadata" not in figure.svg
    assert "oracle" in figures[0].svg
    assert draw_bars("B", ["one"], [("p", [0.5])]) == draw_bars("B", ["one"], [("p", [0.5])])


def test_a_page_is_made_without_torch(tmp_path: Path) -> None:
    """Importing torch and timm takes longer than the page."""
    write_tables(tmp_path, [row()])
    setting = {"title": "T", "about": "", "command": "c", "cells": 1, "data": []}
    (tmp_path / "setting.json").write_text(json.dumps(setting))
    code = (
        "import sys; from softpatch.cli import main\n"
        f"sys.argv = ['softpatch', 'report', {str(tmp_path)!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "loaded = {name.split('.')[0] for name in sys.modules} & {'torch', 'timm'}\n"
        "assert not loaded and 'softpatch.benchmark.report' in sys.modules, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").is_file()
