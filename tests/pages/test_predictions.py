"""The page of new pictures."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from softpatch import Prediction, SoftPatch
from softpatch.pages.predictions import in_small, write_page
from tests.cli.test_cli import Run, run
from tests.pages.test_review import embedded

__all__ = ["run"]  # the fixture


def test_a_map_in_small_keeps_its_peak() -> None:
    heat = np.random.default_rng(0).random((224, 96), dtype=np.float32)
    small = in_small(Prediction("a", 1.0, heat, (448, 192), (0, 0, 192, 448))).anomaly_map
    expected = F.max_pool2d(torch.from_numpy(heat)[None], (7, 3))[0].numpy()
    assert np.array_equal(small, expected)
    tiny = Prediction("a", 1.0, heat[:5, :3], (5, 3), (0, 0, 3, 5))
    assert np.array_equal(in_small(tiny).anomaly_map, heat[:5, :3])


def test_page_is_sorted_by_score(
    small_detector: SoftPatch, small_pictures: Path, tmp_path: Path
) -> None:
    predictions = list(small_detector.predict(small_pictures))
    path = write_page(
        [in_small(one) for one in predictions], small_detector.normal_limit_, small_pictures,
        tmp_path,
    )  # fmt: skip
    cards = embedded(path.read_bytes())["cards"]
    expected = sorted(predictions, key=lambda prediction: -prediction.score)
    assert [card["path"] for card in cards] == [Path(one.name).name for one in expected]
    assert [card["score"] for card in cards] == [one.score for one in expected]
    assert all(card["confidence"] is None and card["thumb"] and card["heat"] for card in cards)
    assert all(card["region"] and not card["reasons"] for card in cards)


def test_with_a_threshold_the_page_tells_who_is_above(
    small_detector: SoftPatch, small_pictures: Path, tmp_path: Path
) -> None:
    scored = list(small_detector.predict(small_pictures))
    threshold = sorted(one.score for one in scored)[-3]  # two are above
    predictions = [replace(one, threshold=threshold) for one in scored]
    page = write_page(
        [in_small(one) for one in predictions], small_detector.normal_limit_, small_pictures,
        tmp_path,
    ).read_bytes()  # fmt: skip
    cards = embedded(page)["cards"]
    words = f"2 of {len(cards)} pictures are bad, 0 to look at, {len(cards) - 2} good"
    assert f"{words}: bad is above the threshold, {threshold:.4g}." in page.decode()
    assert [[reason["code"] for reason in card["reasons"]] for card in cards] == [
        ["anomalous"], ["anomalous"], *[[]] * (len(cards) - 2)
    ]  # fmt: skip
    assert [card["region"] is not None for card in cards] == [True] * 2 + [False] * (len(cards) - 2)
    levels = sorted((one.level or 0 for one in predictions), reverse=True)
    for card, level in zip(cards[:2], levels, strict=False):
        assert f"level {level:.2f}" in card["reasons"][0]["text"]


def test_predict_writes_the_page(
    run: Run, small_model: Path, small_pictures: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    arguments = ("predict", small_model, small_pictures, "-o", tmp_path / "out", "--no-heatmaps")
    assert run(*arguments, "--report").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "predictions.csv", "predictions.json", "predictions.html",
    }  # fmt: skip
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "pip install 'softpatch[audit]'" in run(*arguments, "--report").error
    assert run(*arguments).code == 0
