"""``softpatch export`` on the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from softpatch.cli import main, terminal
from softpatch.detectors.load import load
from softpatch.export import export
from softpatch.export.graph import DetectorGraph
from softpatch.runtime.engine import Run
from softpatch.runtime.images import Levels
from tests.conftest import no_larger_files


class Quick:
    """Writes a file at once, and runs the model itself in its place."""

    model: Path
    shift = 0.0
    calibrated = 0  # pictures

    @classmethod
    def convert(cls, graph: DetectorGraph, calibration: Iterable[Levels]) -> None:
        cls.calibrated = len(list(calibration))

    @staticmethod
    def write(model: None, path: Path, key: str, metadata: str) -> None:
        path.write_text(metadata)

    @classmethod
    def open(cls, path: Path) -> tuple[Run, dict[str, Any]]:
        detector = load(cls.model, device="cpu")

        def run(images: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
            prediction = detector.predict(images[0])
            score = np.array([prediction.score + cls.shift])
            return {"score": score, "label": score > 1.0, "map": prediction.anomaly_map[None]}

        return run, {}


@pytest.fixture
def quick(small_model: Path, monkeypatch: pytest.MonkeyPatch, one_backbone: None) -> type[Quick]:
    monkeypatch.setattr(Quick, "model", small_model, raising=False)
    monkeypatch.setattr(export, "FORMATS", {".onnx": Quick.write})
    monkeypatch.setattr(export, "onnx_model", Quick.convert)
    monkeypatch.setattr(export, "open_model", Quick.open)
    monkeypatch.setenv("COLUMNS", "200")
    return Quick


def run(*arguments: object) -> int:
    terminal.stdout.cache_clear()
    terminal.stderr.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["softpatch", "export", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            terminal.stdout.cache_clear()
            terminal.stderr.cache_clear()
    return 0


def test_training_pictures_are_compared_unless_others_are_given(
    quick: type[Quick],
    small_model: Path,
    small_pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "part.onnx"
    for given, pictures in (((), 8), (("--check", small_pictures, "--pictures", 3), 3)):
        assert run(small_model, "-o", target, "--threshold", 1, *given) == 0
        said = capsys.readouterr()
        assert f"File beside model, {pictures} pictures" in said.out
        assert "labels that differ" in said.out
        assert f"wrote {target}" in said.out
        assert "comparing with the model" in said.err
    assert run(small_model, "-o", target, "--pictures", 0) == 0
    assert "File beside model" not in capsys.readouterr().out


def test_int8_is_calibrated_on_training_pictures_unless_others_are_given(
    quick: type[Quick], small_model: Path, pictures: Path, tmp_path: Path
) -> None:
    target = tmp_path / "part.onnx"
    (pictures / "0.png").unlink()
    few = ("--pictures", 0)
    for given, calibrated in (((), 8), (("--calibration", pictures), 7)):
        assert run(small_model, "-o", target, "--precision", "int8", *few, *given) == 0
        assert quick.calibrated == calibrated
    assert run(small_model, "-o", target, *few) == 0
    assert quick.calibrated == 0


def test_exit_codes(
    quick: type[Quick],
    small_model: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "part.onnx"
    assert run(small_model, "-o", tmp_path / "part.pt") == 2
    assert "part.pt: an exported file is called .onnx" in capsys.readouterr().err
    assert run(tmp_path / "no.softpatch", "-o", target) == 1
    assert "no such model file" in capsys.readouterr().err
    assert run(small_model, "-o", tmp_path / "none" / "part.onnx") == 1
    assert "No such file or directory" in capsys.readouterr().err
    monkeypatch.setattr(Quick, "shift", 1.0)
    assert run(small_model, "-o", target, "--check", pictures) == 1
    assert "more than the tolerance 0.001" in capsys.readouterr().err
    assert not target.exists()

    from softpatch.export import formats

    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    assert run(small_model, "-o", target, "--check", pictures) == 1
    error = "error: export needs an extra: pip install 'softpatch[export]'"
    assert capsys.readouterr().err.splitlines()[-1] == error


def test_a_full_disk_is_one_line_and_leaves_nothing(
    quick: type[Quick], small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "part.onnx"
    with no_larger_files(100):
        assert run(small_model, "-o", target, "--pictures", 0) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert errors == [f"error: {target}: cannot be written (File too large)"]
    assert not list(tmp_path.iterdir())


def test_model_whose_pictures_are_gone_asks_for_others(
    quick: type[Quick], tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from softpatch import PatchCore

    PatchCore(resize=64, crop=64, dimension=64).fit(pictures).save(tmp_path / "a.softpatch")
    for path in pictures.iterdir():
        path.unlink()
    command = (tmp_path / "a.softpatch", "-o", tmp_path / "a.onnx")
    assert run(*command) == 2
    assert "give some with --check FOLDER" in capsys.readouterr().err
    assert run(*command, "--pictures", 0, "--precision", "int8") == 2
    assert "give some with --calibration FOLDER" in capsys.readouterr().err
