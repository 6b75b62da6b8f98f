"""The command: what it writes, what it says, and how it fails."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from softpatch import PaDiM, __version__, load
from softpatch.cli import main, terminal
from softpatch.cli.app import PANELS
from softpatch.datasets import make_product_line, read_category, read_manifest
from softpatch.errors import MissingExtraError
from softpatch.storage import versions

COMMAND = Path(sys.executable).parent / "softpatch"
SMALL = ("--resize", "64", "--crop", "64", "--device", "cpu")
EVALUATION_KEYS = [
    "method", "category", "noise", "policy", "seed", "n_train", "n_injected", "n_test",
    "image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "aupro",
    "fit_seconds", "predict_seconds_per_image", "peak_memory_mb",
    "kind", "pixel_at", "audit_auroc", "n_test_bad", "false_alarms", "found",
]  # fmt: skip


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error's text, once it is sure that there is just one line of it."""
        lines = [line for line in self.err.splitlines() if "error:" in line]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert self.err.splitlines()[-1] == lines[0]
        assert "Traceback" not in self.out + self.err
        return lines[0].removeprefix("error: ")


Run = Callable[..., Result]


def process(*arguments: object, **options: Any) -> Result:
    """Run the installed command as a process of its own."""
    done = subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, **options,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_backbone: None
) -> Iterator[Run]:
    """Run the command within this process: the same ``main``, without five seconds of imports."""

    def call(*arguments: object) -> Result:
        terminal.stdout.cache_clear()
        terminal.stderr.cache_clear()
        monkeypatch.setattr(sys, "argv", ["softpatch", *map(str, arguments)])
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    monkeypatch.setenv("COLUMNS", "200")
    yield call
    terminal.stdout.cache_clear()
    terminal.stderr.cache_clear()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nested pictures of two sizes and formats, and one that is none."""
    folder = tmp_path_factory.mktemp("cli") / "photos"
    for index in range(10):
        path = folder / ("left" if index % 2 else "right/deep") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(index).integers(0, 20, size=(48, 64, 3))
        picture = (np.linspace(40, 200, 64)[None, :, None] + noise).astype(np.uint8)
        Image.fromarray(picture).save(path)
    Image.fromarray(picture[:40, :30]).save(folder / "left" / "9.jpg")
    (folder / "left" / "broken.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def fitted(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    """Model, table of suspects and output of one ``softpatch fit``."""
    folder = tmp_path_factory.mktemp("fitted")
    model, suspects = folder / "part.softpatch", folder / "suspects.csv"
    return model, suspects, process("fit", photos, "-o", model, "--suspects", suspects, *SMALL)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds one small category in MVTec layout."""
    root = tmp_path_factory.mktemp("line")
    make_product_line(root / "part", n_train=8, n_test_good=2, n_per_defect=2, image_size=64)
    return root


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(), ("fit",), ("demo",)])
def test_help_answers_without_loading_anything_heavy(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *command, "--help"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Usage: softpatch" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"torch", "torchvision", "timm", "numpy", "PIL", "sklearn", "matplotlib"}


COMMANDS = [command.__name__.replace("_", "-") for panel in PANELS.values() for command in panel]


def test_commands_are_in_four_panels(run: Run) -> None:
    lines = run("--help").out.splitlines()
    titles = [line.split()[1] for line in lines if line.startswith("╭")]
    assert titles == ["Options", "Learn", "Clean", "Use", "Measure"]
    named = [line.split()[1] for line in lines if line.startswith("│ ") and line[2] not in " -"]
    assert named == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    result = run(command, "-h")
    assert result.code == 0
    usage, rest = result.out.split("[OPTIONS]", 1)
    assert f"softpatch {command} " in usage
    assert f"softpatch {command}" in rest  # an example


def test_version(run: Run) -> None:
    assert run("--version") == Result(0, f"softpatch {__version__}\n", "")


# --- fit -> info -> predict ----------------------------------------------------------------------


def test_fit_writes_a_model_and_all_suspects(
    fitted: tuple[Path, Path, Result], photos: Path
) -> None:
    model, suspects, result = fitted
    assert result.code == 0
    assert "fitted softpatch on 11 pictures" in result.out
    assert "good pictures will be called bad" in result.out
    assert str(model) in result.out
    detector = load(model)
    assert len(detector.image_names_) == 11
    with suspects.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 12)]
    assert {row["path"] for row in rows} == set(detector.image_names_)
    suspicions = [float(row["suspicion"]) for row in rows]
    assert suspicions == sorted(suspicions, reverse=True)
    # The one picture of another shape and compression stands out.
    assert rows[0]["path"] == str(photos / "left" / "9.jpg")
    assert {path.name for path in model.parent.iterdir()} == {model.name, suspects.name}


def test_fit_reports_skipped_pictures_on_stderr(
    fitted: tuple[Path, Path, Result], photos: Path
) -> None:
    _, _, result = fitted
    assert "skipped 1 picture(s) that cannot be used" in result.err
    assert f"{photos / 'left' / 'broken.png'}: not a picture" in result.err
    assert "broken.png" not in result.out


def test_info_shows_the_header(run: Run, fitted: tuple[Path, Path, Result]) -> None:
    model, _, _ = fitted
    result = run("info", model)
    assert result.code == 0
    for words in ("softpatch", "efficientnet_lite2", "coreset_ratio", "training pictures", "MB"):
        assert words in result.out


def test_info_shows_a_threshold_of_zero(run: Run, small_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "zero.softpatch"
    assert run("threshold", small_model, "--value", "0", "-o", model).code == 0
    shown = {path: run("info", path).out for path in (small_model, model)}
    words = {path: re.search(r"threshold +│ +(\S+)", out) for path, out in shown.items()}
    assert [found and found[1] for found in words.values()] == ["none", "0.0"]


def test_info_as_json_is_one_line(run: Run, fitted: tuple[Path, Path, Result]) -> None:
    model, _, _ = fitted
    result = run("info", model, "--json")
    assert result.code == 0
    assert result.out.count("\n") == 1
    header = json.loads(result.out)
    assert header["method"] == "softpatch"
    assert header["parameters"]["discriminator"] == "auto"
    assert header["tensors"]["floors"] == [4]
    assert len(header["images"]) == header["tensors"]["suspicion"][0] == 11


@pytest.fixture(scope="module")
def predicted(
    fitted: tuple[Path, Path, Result], photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """The results folder and output of one ``softpatch predict``."""
    output = tmp_path_factory.mktemp("predicted") / "deep" / "results"
    return output, process("predict", fitted[0], photos, "-o", output)


def test_predict_writes_table_json_and_heat_maps(
    predicted: tuple[Path, Result], photos: Path
) -> None:
    output, result = predicted
    assert result.code == 0
    assert "scored 11 pictures" in result.out
    with (output / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    written = json.loads((output / "predictions.json").read_text(encoding="utf-8"))
    assert list(rows[0]) == [
        "path", "score", "anomalous", "level", "threshold", "width", "height", "heatmap", "remark",
        "error", "verdict", "p_value",
    ]  # fmt: skip
    broken = rows.pop()
    assert rows == [
        {"remark": "", "error": "", **{name: str(value) for name, value in row.items()}}
        for row in written["predictions"]
    ]
    assert (broken["path"], broken["score"]) == (str(photos / "left" / "broken.png"), "")
    assert broken["error"] == f"not judged: {written['skipped'][0]['reason']}"
    scores = [row["score"] for row in written["predictions"]]
    assert scores == sorted(scores, reverse=True)
    assert written["normal_limit"] > 0
    for row in written["predictions"]:
        assert row["threshold"] == written["threshold"]
        assert row["anomalous"] == (row["score"] > written["threshold"]) == (row["level"] > 0.5)
        look = written["look"] if written["look"] is not None else written["threshold"]
        assert row["verdict"] == (
            "bad" if row["anomalous"] else "look" if row["score"] > look else "good"
        )
        assert 0 < row["p_value"] <= 1
    found = [row["verdict"] for row in written["predictions"]]
    bad, worth, good = (found.count(word) for word in ("bad", "look", "good"))
    assert f"{bad} of 11 pictures are bad, {worth} to look at, {good} good" in result.out
    for row in written["predictions"]:
        name = Path(row["path"]).relative_to(photos).as_posix()
        assert row["heatmap"] == f"heatmaps/{name}.png"  # a.png and a.jpg stay apart
        with Image.open(output / row["heatmap"]) as drawn:
            assert drawn.size == (row["width"], row["height"])


def test_predict_reports_skipped_pictures(predicted: tuple[Path, Result], photos: Path) -> None:
    output, result = predicted
    written = json.loads((output / "predictions.json").read_text(encoding="utf-8"))
    [skipped] = written["skipped"]
    assert skipped["path"] == str(photos / "left" / "broken.png")
    assert skipped["reason"] in result.err
    assert "skipped 1 picture(s) that cannot be used" in result.err


def test_predict_agrees_with_the_library(
    predicted: tuple[Path, Result], fitted: tuple[Path, Path, Result], one_backbone: None
) -> None:
    written = json.loads((predicted[0] / "predictions.json").read_text(encoding="utf-8"))
    model = load(fitted[0])
    row = written["predictions"][0]
    assert model.predict(row["path"]).score == pytest.approx(row["score"], rel=1e-4)


def test_predict_one_picture_without_heat_map(
    run: Run, small_model: Path, small_pictures: Path, tmp_path: Path
) -> None:
    result = run("predict", small_model, small_pictures / "3.png", "-o", tmp_path, "--no-heatmaps")
    assert result.code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.csv", "predictions.json"}
    assert (tmp_path / "predictions.csv").read_text().count("\n") == 2


def test_predict_writes_masks(
    run: Run, small_model: Path, small_pictures: Path, tmp_path: Path
) -> None:
    model = tmp_path / "part.softpatch"
    shutil.copy(small_model, model)
    assert run("threshold", model, "--value", "0.001").code == 0  # all are bad
    out = tmp_path / "out"
    assert run("predict", model, small_pictures, "-o", out, "--no-heatmaps", "--masks").code == 0
    rows = json.loads((out / "predictions.json").read_text("utf-8"))["predictions"]
    assert rows
    for row in rows:
        with Image.open(out / row["mask"]) as mask:
            assert (mask.mode, mask.size) == ("L", (row["width"], row["height"]))
            assert 255 in np.asarray(mask)


def test_fit_takes_every_method_and_its_options(
    run: Run, small_pictures: Path, tmp_path: Path
) -> None:
    table: dict[str, tuple[str, ...]] = {
        "softpatch": ("--seed", "5", "--discriminator", "lof", "--k", "3", "--tau", "0.2"),
        "softpatch-gaussian": ("--no-soft-weight", "--coreset-ratio", "0.05"),
        "patchcore": ("--distance", "euclidean", "--layers", "blocks.4", "--resize", "64x96"),
        "padim": ("--dimensions", "7", "--batch-size", "3", "--embedding", "concat"),
        "random-bank": ("--bank-size", "30", "--seed", "2"),
        "random-ensemble": ("--banks", "3", "--bank-size", "50", "--max-false-alarms", "0.2"),
    }
    for method, options in table.items():
        model = tmp_path / f"{method}.softpatch"
        result = run("fit", small_pictures, "-o", model, "--method", method, *SMALL, *options)
        assert result.code == 0, result.err
        assert ("suspicious" in result.out) == method.startswith("softpatch")
    parameters = json.loads(run("info", tmp_path / "softpatch.softpatch", "--json").out)[
        "parameters"
    ]
    assert (parameters["k"], parameters["tau"], parameters["seed"]) == (3, 0.2, 5)
    gaussian = json.loads(run("info", tmp_path / "softpatch-gaussian.softpatch", "--json").out)
    assert gaussian["parameters"]["discriminator"] == "gaussian"
    assert gaussian["parameters"]["soft_weight"] is False
    patchcore = json.loads(run("info", tmp_path / "patchcore.softpatch", "--json").out)
    assert patchcore["features"]["resize"] == [64, 96]
    assert patchcore["backbone"]["layers"] == ["blocks.4"]


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids some of these characters")
def test_names_that_look_like_markup_are_printed_as_they_are(
    run: Run, small_pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "[bold]photos[" / "]"
    folder.mkdir(parents=True)
    for index in range(3):
        content = (small_pictures / f"{index}.png").read_bytes()
        (folder / f"[red]{index}[").write_bytes(b"")
        (folder / f"[red]{index}[.png").write_bytes(content)
    (folder / "[blue]broken.png").write_bytes(b"")
    model, output = tmp_path / "[i]m.softpatch", tmp_path / "[u]out"
    fit = run("fit", folder, "-o", model, "--suspects", tmp_path / "[b]s.csv", *SMALL)
    assert fit.code == 0, fit.err
    for words in ("[red]0[.png", "[i]m.softpatch", "[b]s.csv"):
        assert words in fit.out
    assert "[blue]broken.png" in fit.err
    predict = run("predict", model, folder, "-o", output)
    assert predict.code == 0, predict.err
    assert "[red]0[.png" in predict.out
    assert "[u]out" in predict.out
    assert "[i]m.softpatch" in run("info", model).out
    assert "[i]none" in run("info", tmp_path / "[i]none").error


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids slashes in names")
def test_a_name_that_closes_no_tag_is_no_crash(run: Run, small_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "["
    folder.mkdir()
    model = folder / "b].softpatch"  # ...[/b].softpatch
    model.write_bytes(small_model.read_bytes())
    assert run("info", model).code == 0


# --- evaluate and demo ---------------------------------------------------------------------------


def test_evaluate_as_json_is_one_line_with_these_keys(line: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    result = process(
        "evaluate", "--data", line, "--category", "part", "--noise", "0.25", "--overlap",
        "--method", "softpatch-lof", "--json", "--seed", "3", "--manifest", manifest, *SMALL,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert result.out.count("\n") == 1
    row = json.loads(result.out)
    assert list(row) == EVALUATION_KEYS
    assert row["method"] == "softpatch-lof"
    assert (row["category"], row["noise"], row["policy"], row["seed"]) == (
        "part", 0.25, "overlap", 3,
    )  # fmt: skip
    assert (row["n_train"], row["n_injected"], row["n_test"]) == (10, 2, 10)
    for key in EVALUATION_KEYS[8:14]:
        assert 0 <= row[key] <= 1
    for key in EVALUATION_KEYS[14:17]:
        assert row[key] > 0
    assert (row["kind"], row["pixel_at"]) == ("defects", "input")
    assert 0 <= row["audit_auroc"] <= 1
    drawn = read_manifest(manifest, read_category(line / "part"))
    assert (len(drawn.injected), drawn.seed, drawn.overlap) == (2, 3, True)


def test_evaluate_repeats_a_manifest_and_shows_a_table(
    run: Run, line: Path, tmp_path: Path
) -> None:
    common = ("evaluate", "--data", line, "--category", "part", "--method", "padim", *SMALL)
    manifest = tmp_path / "manifest.json"
    drawn = run(*common, "--noise", "0.5", "--manifest", manifest, "--json")
    again = run(*common, "--from-manifest", manifest, "--json")
    assert drawn.code == again.code == 0
    one, other = json.loads(drawn.out), json.loads(again.out)
    assert {key: one[key] for key in EVALUATION_KEYS[:14]} == {
        key: other[key] for key in EVALUATION_KEYS[:14]
    }
    assert (one["policy"], one["n_injected"], one["n_test"]) == ("no-overlap", 4, 6)
    table = run(*common)
    assert table.code == 0
    for words in ("part", "padim", "image auroc", "aupro", "peak memory mb"):
        assert words in table.out


@pytest.mark.parametrize("kind", ["other-category", "difficult"])
def test_evaluate_draws_kinds_that_need_more_and_repeats_them(
    run: Run, line: Path, tmp_path: Path, kind: str
) -> None:
    """Another category lies beside the first; its pictures and the difficulty are found out."""
    root = tmp_path / "root"
    for name in ("part", "copy"):
        shutil.copytree(line / "part", root / name)
    (root / "no category").mkdir()
    common = ("evaluate", "--data", root, "--category", "part", "--method", "padim", *SMALL)
    manifest = tmp_path / "manifest.json"
    drawn = run(*common, "--noise", "0.25", "--kind", kind, "--manifest", manifest, "--json")
    again = run(*common, "--from-manifest", manifest, "--json")
    assert (drawn.code, drawn.err, again.code, again.err) == (0, "", 0, "")
    one, other = json.loads(drawn.out), json.loads(again.out)
    assert (one["kind"], one["n_injected"]) == (kind, 2)
    keys = set(EVALUATION_KEYS) - set(EVALUATION_KEYS[14:17])
    assert {key: one[key] for key in keys} == {key: other[key] for key in keys}


def test_evaluate_measures_pixels_at_native_resolution(run: Run, line: Path) -> None:
    result = run(
        "evaluate", "--data", line, "--category", "part", "--method", "padim",
        "--pixel-at", "native", *SMALL,
    )  # fmt: skip
    assert result.code == 0
    assert "native" in result.out


def test_evaluate_says_which_defects_have_no_mask(run: Run, line: Path, tmp_path: Path) -> None:
    shutil.copytree(line / "part", tmp_path / "part")
    shutil.rmtree(tmp_path / "part" / "ground_truth" / "stain")
    result = run("evaluate", "--data", tmp_path, "--category", "part", "--json", *SMALL)
    assert result.code == 0
    assert json.loads(result.out)["pixel_auroc"] is not None
    assert "2 defective picture(s) without a mask" in result.err


def test_evaluate_reads_annotations_before_it_rates_difficulty(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pycocotools", reason="needs softpatch[annotations]")
    for kind in ("good", "dent"):
        (tmp_path / "part" / kind).mkdir(parents=True)
        for number in range(6):
            Image.new("L", (64, 64), number).save(tmp_path / "part" / kind / f"{number}.png")
    image = {"id": 1, "file_name": "0.png", "height": 9, "width": 9}
    mark = {"image_id": 1, "segmentation": [[0, 0, 4, 0, 4, 4]]}
    content = {"images": [image], "annotations": [mark]}
    (tmp_path / "part" / "dent" / "a.json").write_text(json.dumps(content))
    fits: list[Any] = []
    monkeypatch.setattr(PaDiM, "fit", lambda *given, **_: fits.append(given))
    hard = "--noise", "0.2", "--kind", "difficult"
    result = run("evaluate", "--data", tmp_path, "--category", "part", *hard, *SMALL)
    assert (result.code, fits) == (1, [])
    assert "a.json: is (9, 9) pixels, its picture" in result.err


@pytest.mark.parametrize("fault", ["mask", "training"])
def test_evaluate_leaves_no_manifest_of_what_it_could_not_measure(
    run: Run, line: Path, tmp_path: Path, fault: str
) -> None:
    shutil.copytree(line / "part", tmp_path / "part")
    if fault == "mask":
        mask = next((tmp_path / "part" / "ground_truth").rglob("*.png"))
        Image.new("L", (9, 9), 255).save(mask)
    else:
        for picture in (tmp_path / "part" / "train").rglob("*.png"):
            picture.write_bytes(b"no picture")
    manifest = tmp_path / "manifest.json"
    result = run(
        "evaluate", "--data", tmp_path, "--category", "part", "--manifest", manifest, *SMALL
    )
    assert (result.code, result.out, manifest.exists()) == (1, "", False)


def test_demo_tells_the_whole_story(run: Run, line: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    result = run("demo", "--data", line / "part", "-o", output, "--noise", "0.25", "--seed", "1")
    assert result.code == 0, result.err
    assert "8 good pictures and 2 defective ones" in result.out
    assert "SoftPatch's verdicts on the test set: " in result.out
    assert " of 10 pictures are bad, " in result.out
    rows = json.loads((output / "results.json").read_text())
    assert [row["method"] for row in rows] == ["patchcore", "softpatch"]
    assert all(list(row) == EVALUATION_KEYS for row in rows)
    drawn = read_manifest(output / "manifest.json", read_category(line / "part"))
    assert len(drawn.injected) == 2
    for name in ("figure.png", *(f"heatmaps/{kind}/000.png.png" for kind in ("good", "chip"))):
        with Image.open(output / name) as image:
            image.load()
    assert len(list((output / "heatmaps").rglob("*.png"))) == 10
    assert run("info", output / "model.softpatch").code == 0


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "--nope"], "--nope"),
        (["fit"], "Missing argument"),
        (["nope"], "nope"),
        (["predict", "m", "x"], "--output"),
        (["evaluate", "--data", "x"], "--category"),
    ],
)
def test_command_line_that_cannot_be_parsed_exits_with_2(
    run: Run, arguments: list[str], words: str
) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert words in result.err
    assert "Usage: " in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--method", "cutpaste"], 2, "no method is called 'cutpaste'; there are softpatch,"),
        (["--tau", "2"], 2, "tau must lie in [0, 1) or be auto, got 2"),
        (["--tau", "much"], 2, "--tau must lie in [0, 1) or be auto, got 'much'"),
        (["--tau", "nan"], 2, "tau"),
        (["--k", "0"], 2, "--k must be at least 1, got 0"),
        (["--k", "2.5"], 2, "--k must be a whole number, got '2.5'"),
        (["--coreset-ratio", "0"], 2, "--coreset-ratio must lie in (0, 1]"),
        (["--distance", "cosine"], 2, "squared or euclidean"),
        (["--method", "padim", "--tau", "0.1"], 2, "padim has no option 'tau'"),
        (["--method", "padim", "--soft-weight"], 2, "padim has no option 'soft-weight'"),
        (["--method", "padim", "--dimensions", "0"], 2, "dimensions must be at least 1"),
        (["--method", "softpatch-lof", "--dimensions", "9"], 2, "has no option 'dimensions'"),
        (["--method", "padim", "--suspects", "s.csv"], 2, "does not rank"),
        (["--preset", "huge"], 2, "no preset is called 'huge'; there are edge, paper, dino"),
        (["--backbone", "resnet9000"], 1, "no backbone is called 'resnet9000'"),
        (["--layers", "blocks.99"], 2, "has no layer 'blocks.99'"),
        (["--weights", "none.pth"], 1, "none.pth: no such weights file"),
        (["--embedding", "magic"], 2, "magic"),
        (["--resize", "big"], 2, "--resize must be 32 to 8,192 pixels a side"),
        (["--resize", "0"], 2, "--resize must be"),
        (["--resize", "64x64x3"], 2, "--resize must be"),
        (["--crop", f"{10**20}"], 2, "--crop must be 32 to 8,192 pixels"),
        (["--suspects", ""], 2, "--suspects is empty; is a variable of the shell not set?"),
        (["--roi="], 2, "--roi is empty"),
        (["--resize", "64", ""], 2, "an argument is empty"),
        (["--crop", "65"], 2, "crop 65x65 must lie within resize 64x64"),
        (["--resize", "8", "--crop", "8"], 2, "256, or HEIGHTxWIDTH, got 8"),
        (["--resize", "8x256", "--crop", "8x224"], 2, "HEIGHTxWIDTH, got '8x256'"),
        (["--intensity", "5:3"], 2, "LOW:HIGH within 0:65535, such as 0:4095, got '5:3'"),
        (["--seed", "-1"], 2, "--seed must be at least 0, got -1"),
        (["--seed", f"{2**64}"], 2, "--seed must be at most"),
        (["--discriminator", "magic"], 2, "called 'magic'; there are auto, lof"),
        (["--discriminator", "lof", "--method", "padim"], 2, "--method softpatch, not padim"),
        (["--batch-size", "-1"], 2, "--batch-size must be at least 1"),
        (["--batch-size", "0"], 2, "--batch-size must be at least 1"),
        (["--device", "tpu9"], 2, "--device must be auto, cpu, cuda or cuda:NUMBER, got 'tpu9'"),
        pytest.param(
            ["--device", "cuda"], 2, "no CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)  # fmt: skip
def test_wrong_option_is_one_line_and_leaves_nothing(
    run: Run,
    small_pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("fit", small_pictures, "-o", "m.softpatch", *SMALL, *options)
    assert result.code == code
    assert words in result.error
    assert not list(tmp_path.iterdir())


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A folder of pictures none of which can be read."""
    folder = tmp_path / "unreadable"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"")
    (folder / "b.jpg").write_text("no picture")
    return folder


@pytest.fixture
def one_good(unreadable: Path, small_pictures: Path) -> Path:
    """A folder with one picture that can be read."""
    (unreadable / "c.png").write_bytes((small_pictures / "0.png").read_bytes())
    return unreadable


def test_fit_mistakes(run: Run, small_pictures: Path, unreadable: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.softpatch"
    empty = tmp_path / "empty"
    empty.mkdir()
    table = [
        ((tmp_path / "none", "-o", model), 1, f"{tmp_path / 'none'}: no such folder"),
        ((small_pictures / "0.png", "-o", model), 1, "no such folder"),
        ((empty, "-o", model), 1, f"{empty}: no pictures found"),
        ((unreadable, "-o", model), 1, "0 readable training pictures (2 skipped)"),
        ((unreadable, "-o", model, "--strict"), 1, f"{unreadable / 'a.png'}: the file is empty"),
        ((small_pictures, "-o", tmp_path), 2, f"{tmp_path}: is a folder; name a file"),
        ((small_pictures, "-o", empty / "no" / "m"), 2, "no such folder to write the model to"),
    ]
    for arguments, code, words in table:
        result = run("fit", *arguments, *SMALL)
        assert result.code == code
        assert words in result.error
        assert not model.exists()


def test_one_picture_is_too_few(run: Run, one_good: Path, tmp_path: Path) -> None:
    result = run("fit", one_good, "-o", tmp_path / "m", *SMALL)
    assert result.code == 1
    assert "1 readable training pictures (2 skipped); at least 2" in result.error


def test_unreadable_pictures_are_named_even_if_nothing_is_left(
    run: Run, unreadable: Path, tmp_path: Path
) -> None:
    result = run("fit", unreadable, "-o", tmp_path / "m", *SMALL)
    assert str(unreadable / "a.png") in result.err
    assert str(unreadable / "b.jpg") in result.err


def test_suspects_that_cannot_be_written_are_noticed_before_the_work(
    run: Run, small_pictures: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.softpatch"
    suspects = tmp_path / "none" / "suspects.csv"
    result = run("fit", small_pictures, "-o", model, "--suspects", suspects, *SMALL)
    assert result.code != 0
    assert str(suspects.parent) in result.error
    assert not model.exists()


def test_predict_mistakes(
    run: Run, small_model: Path, small_pictures: Path, unreadable: Path, tmp_path: Path
) -> None:
    damaged, newer = tmp_path / "damaged.softpatch", tmp_path / "newer.softpatch"
    content = small_model.read_bytes()
    damaged.write_bytes(content[:1000])
    newer.write_bytes(content.replace(rb"\"format\": 1", rb"\"format\": 9"))
    output = tmp_path / "out"
    table = [
        ((damaged, small_pictures), output, "damaged.softpatch: cut, or not a softpatch model"),
        ((newer, small_pictures), output, "format 9 is newer"),
        ((tmp_path / "none", small_pictures), output, "none: no such model file"),
        ((tmp_path, small_pictures), output, "no such model file"),
        ((small_pictures / "0.png", small_pictures), output, "not a softpatch model"),
        ((small_model, tmp_path / "none.png"), output, "none.png"),
        ((small_model, unreadable), output, f"{unreadable}: none of the pictures can be judged"),
        ((small_model, unreadable, "--strict"), output, "a.png: the file is empty"),
        ((small_model, small_pictures, "--weights", "none.pth"), output, "no such weights file"),
    ]
    for arguments, target, words in table:
        result = run("predict", *arguments, "-o", target)
        assert result.code == 1
        assert words in result.error
        assert not list(output.rglob("predictions.*"))


def test_info_mistakes(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "text.softpatch"
    text.write_text("hello")
    for path, words in ((tmp_path / "none", "no such model file"), (text, "not a softpatch model")):
        result = run("info", path)
        assert result.code == 1
        assert words in result.error


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--data", "none"], 1, "none: no such folder"),
        (["--data", "."], 1, "expected <category>/train/good/*.png"),
        (["--category", "none"], 1, "no category is called 'none' in layout mvtec; there are part"),
        (["--layout", "btad"], 1, "not in layout btad; expected <category>/train/ok/*.bmp"),
        (["--layout", "magic"], 2, "no layout is called 'magic'; there are mvtec_3d,"),
        (["--noise", "-0.1"], 2, "--noise must lie in [0, 1000], got -0.1"),
        (["--noise", "nan"], 2, "--noise must lie in [0, 1000], got nan"),
        (["--noise", "1.5"], 1, "largest possible ratio is 1"),
        (["--kind", "magic"], 2, "no contamination kind is called 'magic'"),
        (["--kind", "capture-faults", "--augment"], 2, "cannot be augmented"),
        (["--kind", "other-category", "--noise", "0.5"], 1, "needs 4 pictures of other categories"),
        (["--pixel-at", "screen"], 2, "input or native"),
        (["--from-manifest", "none.json"], 1, "none.json: no such manifest"),
        (["--from-manifest", "m.json", "--noise", "0.1"], 2, "--noise draws pictures"),
        (["--from-manifest", "m.json", "--overlap"], 2, "--overlap draws pictures"),
        (["--manifest", "none/m.json"], 2, "no such folder to write the manifest to"),
        (["--method", "magic"], 2, "no method is called 'magic'"),
    ],
)
def test_evaluate_mistakes(
    run: Run,
    line: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("evaluate", "--data", line, "--category", "part", *SMALL, "--json", *options)
    assert result.code == code
    assert words in result.error
    assert result.out == ""
    assert not list(tmp_path.iterdir())


def test_other_mistakes(run: Run, small_model: Path, small_pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    table = [
        (("demo", "-o", out, "--seed", "-1"), "--seed must be at least 0, got -1"),
        (("demo", "-o", out, "--seed", 10**30), "--seed must be at most"),
        (("merge", small_model, small_model, "-o", out, "--bank-size", "0"), "--bank-size must be"),
        (("export", small_model, "-o", out, "--calibration", "x"), "--calibration goes with"),
        (("export", small_model, "-o", out, "--check", "x", "--pictures", "0"), "compares none"),
        (("export", small_model, "-o", out, "--tolerance", "nan"), "--tolerance must lie in [0,"),
        (("datasets", "--layout", "mvtec"), "--layout goes with folders"),
        (("datasets", small_pictures, "--show", "mvtec"), "without folders"),
        *(
            (("watch", small_model, small_pictures, "-o", out, "--interval", value), "[0.01, 8640")
            for value in ("inf", "nan", "-1", "0")
        ),
        (("watch", small_model, small_pictures, "-o", out, "--patience", "nan"), "patience"),
    ]
    for arguments, words in table:
        result = run(*arguments)
        assert result.code == 2
        assert words in result.error
    assert not list(tmp_path.rglob("*.*"))


def test_demo_mistakes(run: Run, small_pictures: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (("--data", small_pictures, "-o", tmp_path / "out"), "not in MVTec layout"),
        (("--data", tmp_path / "none", "-o", tmp_path / "out"), "no such folder"),
    ):
        result = run("demo", *arguments)
        assert result.code == 1
        assert words in result.error


def test_full_disk_is_one_line_and_leaves_nothing(
    run: Run, small_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    result = run("fit", small_pictures, "-o", tmp_path / "m.softpatch", *SMALL)
    assert result.code == 1
    assert "No space left on device" in result.error
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_one_line(
    run: Run, small_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "empty", exhausted)
    result = run("fit", small_pictures, "-o", tmp_path / "m.softpatch", *SMALL)
    assert result.code == 1
    assert "out of memory; use fewer pictures" in result.error


@pytest.mark.parametrize(
    "words",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 2000000000 bytes.",
        "CUDA out of memory. Tried to allocate 1.86 GiB. GPU 0 has a total capacity of 8 GiB",
        "Unable to allocate memory: could not allocate 2000000000 bytes",
    ],
)
def test_out_of_memory_in_the_words_of_torch(
    run: Run, small_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def exhausted(*arguments: object, **options: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr(torch, "empty", exhausted)
    result = run("fit", small_pictures, "-o", tmp_path / "m.softpatch", *SMALL)
    assert result.code == 1
    assert re.search(r"out of memory \((2,000|1,997) MB more were needed\); use", result.error)


def _foreign(error: Exception, cause: BaseException | None = None) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (SystemError("<built-in function f> returned NULL without setting an exception"), True),
        (SystemError("error return without exception set"), True),
        (_foreign(SystemError("<class 'T'> returned a result with an exception set"), None), True),
        (OSError("libgomp.so.1: failed to map segment from shared object"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (_foreign(AttributeError("half of a module"), MemoryError()), True),
        (_foreign(ImportError("no torch"), OSError("x.so: failed to map segment")), True),
        (_foreign(MissingExtraError("audit", "this"), ImportError("cannot allocate memory")), True),
        (OSError(errno.EACCES, "Permission denied", "out of memory.png"), False),
        (_foreign(OSError(errno.ENOSPC, "No space left"), ValueError("x")), False),
    ],
)
def test_out_of_memory_in_anybody_s_words(
    run: Run, small_model: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, memory: bool
) -> None:
    def exhausted(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(versions, "kept_versions", exhausted)
    result = run("info", small_model)
    assert result.code == 1
    assert result.error.startswith("out of memory; ") == memory


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory")
@pytest.mark.parametrize(
    ("command", "megabytes"),
    [*(("info", megabytes) for megabytes in (20, 40, 60)), ("audit", 250), ("audit", 400)],
)
def test_little_memory_is_one_line_however_little(
    small_model: Path, small_pictures: Path, tmp_path: Path, command: str, megabytes: int
) -> None:
    import resource

    limit = megabytes * 10**6
    arguments = [small_model] if command == "info" else [small_pictures, "-o", tmp_path / "out"]
    result = process(
        command, *arguments,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert result.code == 1
    assert result.error.startswith("out of memory; ")


# --- Ctrl-C --------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_ctrl_c_leaves_neither_model_nor_traceback(small_pictures: Path, tmp_path: Path) -> None:
    import pty

    photos, target = tmp_path / "photos", tmp_path / "target"
    photos.mkdir()
    target.mkdir()
    for index in range(3000):  # far more than are read before the signal comes
        (photos / f"{index}.png").symlink_to(small_pictures / "0.png")
    screen, terminal_end = pty.openpty()
    # A child inherits that its parent ignores the signal, as background jobs do.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        [COMMAND, "fit", photos, "-o", target / "m.softpatch", *SMALL],
        stdout=terminal_end, stderr=terminal_end, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    os.close(terminal_end)
    shown = b""
    try:
        while b"reading pictures" not in shown:
            shown += read(screen)
        running.send_signal(signal.SIGINT)
        while piece := read(screen):
            shown += piece
        assert running.wait(timeout=100) != 0
    finally:
        running.kill()
        running.wait()
        os.close(screen)
    assert b"Traceback" not in shown
    assert not list(target.iterdir())


def read(screen: int) -> bytes:
    """What is printed next; nothing once the other end is closed."""
    ready, _, _ = select.select([screen], [], [], 100)
    assert ready, "nothing more is printed, and the process goes on"
    try:
        return os.read(screen, 4096)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


# --- large pictures, regions, estimates ----------------------------------------------------------


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scans of 96 x 160 pixels, the last of which has a red corner at the bottom right."""
    folder = tmp_path_factory.mktemp("scans")
    for index in range(6):
        scan = 100 + np.random.default_rng(index).integers(0, 20, size=(96, 160, 3))
        if index == 5:
            scan[-20:, -20:] = [250, 0, 0]
        Image.fromarray(scan.astype(np.uint8)).save(folder / f"{index}.png")
    return folder


def test_tiles_and_region_are_kept_with_the_model(run: Run, scans: Path, tmp_path: Path) -> None:
    region = np.zeros((96, 160), np.uint8)
    region[:, :80] = 255
    Image.fromarray(region).save(tmp_path / "mask.png")
    model, out = tmp_path / "scan.softpatch", tmp_path / "out"
    # Roots would make as much of the pictures' noise as of the corner.
    tiled = (*SMALL, "--embedding", "neighbourhood", "--tile", "64")
    assert run("fit", scans, "-o", model, *tiled).code == 0
    assert run("predict", model, scans, "-o", out, "--device", "cpu").code == 0
    with (out / "predictions.csv").open() as file:
        assert next(csv.DictReader(file))["path"].endswith("5.png")
    assert run("fit", scans, "-o", model, *tiled, "--roi", tmp_path / "mask.png").code == 0
    assert run("predict", model, scans, "-o", out, "--device", "cpu").code == 0
    with (out / "predictions.csv").open() as file:
        scores = {Path(row["path"]).name: float(row["score"]) for row in csv.DictReader(file)}
    assert scores["5.png"] < 2 * max(scores[f"{index}.png"] for index in range(5))
    told = json.loads(run("info", model, "--json").out)
    assert told["features"]["tile"] == [64, 64]
    assert told["tensors"]["roi"] == [96, 160]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        pytest.param("--tile", "big", "--tile must be 32 to", id="tile"),
        pytest.param("--tile", "8", "must be 32 to", id="small-tile"),
        pytest.param("--roi", "black.png", "black all over", id="black"),
    ],
)
def test_tile_and_region_mistakes_are_bad_use(
    run: Run, scans: Path, tmp_path: Path, option: str, value: str, message: str
) -> None:
    if value.endswith(".png"):
        Image.new("L", (10, 10)).save(tmp_path / value)
        value = str(tmp_path / value)
    result = run("fit", scans, "-o", tmp_path / "m.softpatch", *SMALL, option, value)
    assert result.code == 2
    assert message in result.error


def test_a_region_that_cannot_be_read_is_named(run: Run, scans: Path, tmp_path: Path) -> None:
    result = run("fit", scans, "-o", tmp_path / "m.softpatch", *SMALL, "--roi", "none.png")
    assert result.code == 1
    assert "no such file" in result.error


def test_estimate_tells_what_a_fit_takes(run: Run, scans: Path) -> None:
    told = json.loads(run("estimate", scans, *SMALL, "--json").out)
    assert told["images"] == 6
    assert told["patches"] == 6 * 64
    assert set(told["seconds"]) == {"embed", "coreset", "support", "hold out"}
    table = run("estimate", scans, *SMALL).out
    assert "memory at most" in table
    assert "model file" in table


def test_estimate_of_no_folder_is_an_error(run: Run, tmp_path: Path) -> None:
    result = run("estimate", tmp_path / "none", *SMALL)
    assert result.code == 1
    assert "no such folder" in result.error


def test_fit_says_what_it_will_take_before_it_begins(run: Run, tmp_path: Path) -> None:
    for index in range(40):
        Image.new("RGB", (64, 64), (index, 100, 100)).save(tmp_path / f"{index}.png")
    result = run("fit", tmp_path, "-o", tmp_path / "m.softpatch", *SMALL)
    assert result.code == 0
    first = result.err.splitlines()[0]
    assert first.startswith("40 pictures: about ")
    assert "GB of memory" in first
