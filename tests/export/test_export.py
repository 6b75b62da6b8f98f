"""Exported files, in the runtimes they are for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from softpatch import ExportError, PatchCore, SoftPatch, UsageError
from softpatch.export import export, export_model
from softpatch.export.graph import DetectorGraph
from softpatch.export.parity import ParityReport
from softpatch.runtime.engine import open_model
from tests.detectors.pictures import new_pictures

onnx = pytest.importorskip("onnx", reason="needs softpatch[export]")
openvino = pytest.importorskip("openvino", reason="needs softpatch[export]")


def test_onnx_takes_batches_of_any_size(exported: Path, small_detector: SoftPatch) -> None:
    run, _ = open_model(exported)
    for size in (slice(None), slice(0, 31)):
        batch = np.stack([picture[:, size] for picture in new_pictures(3)])
        outputs = run(batch)
        expected = list(small_detector.predict(list(batch)))
        scores = np.array([one.score for one in expected])
        np.testing.assert_allclose(outputs["score"], scores, rtol=1e-5)
        assert outputs["label"].tolist() == (scores > 1).tolist()
        for ours, one in zip(outputs["map"], expected, strict=True):
            highest = one.anomaly_map.max()
            np.testing.assert_allclose(ours, one.anomaly_map, rtol=0, atol=1e-5 * highest)


def test_metadata_say_what_the_model_is_and_nothing_of_its_pictures(
    exported: Path, small_detector: SoftPatch, small_pictures: Path
) -> None:
    [entry] = [e for e in onnx.load(exported).metadata_props if e.key == "softpatch"]
    told = json.loads(entry.value)
    assert told["format"] == 1
    assert told["method"] == "softpatch"
    assert told["threshold"] == 1.0
    assert told["normal_limit"] == small_detector.normal_limit_
    assert told["training_pictures"] == 8
    assert told["box"] == [0, 0, 1, 1]
    assert told["parameters"]["k"] == 6
    assert str(small_pictures) not in entry.value


@pytest.mark.usefixtures("one_backbone")
def test_openvino_file_with_halves_and_without_labels(
    exported: Path, small_pictures: Path, tmp_path: Path
) -> None:
    model = tmp_path / "core.softpatch"
    detector = PatchCore(resize=64, crop=64, dimension=64, reweight=True, max_false_alarms=None)
    detector.fit(small_pictures)
    detector.save(model)
    target = tmp_path / "core.xml"
    pictures = sorted(small_pictures.iterdir())[:3]
    steps = []
    report = export_model(
        model,
        target,
        pictures=pictures,
        precision="fp16",
        progress=lambda step, done, total: steps.append((step, done, total)),
    )
    assert report is not None
    assert (report.pictures, report.labels_differ) == (3, None)
    assert 0 < report.score_difference < 0.05
    assert steps[-1] == ("compare", 6, 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "core.bin", "core.softpatch", "core.xml",
    ]  # fmt: skip
    text = openvino.Core().read_model(target).get_rt_info("softpatch").astype(str)
    assert json.loads(text)["precision"] == "fp16"
    weights = (tmp_path / "core.bin").stat().st_size
    assert weights < 0.6 * exported.stat().st_size  # of the same network in float32


@pytest.mark.usefixtures("one_backbone")
def test_nothing_is_left_of_a_file_that_differs(
    small_model: Path, small_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(graph: DetectorGraph, path: Path, *others: object) -> None:
        path.write_text("a graph")

    outputs = {"score": np.ones(1), "map": np.ones((1, 64, 64))}
    monkeypatch.setattr(export, "FORMATS", {".onnx": write})
    monkeypatch.setattr(export, "open_model", lambda path: (lambda images: outputs, {}))
    monkeypatch.setattr(export, "onnx_model", lambda *_: None)  # takes long, and is not looked at
    target = tmp_path / "part.onnx"
    target.write_text("an older one, of softpatch")
    shown = list(small_pictures.iterdir())[:2]
    with pytest.raises(ExportError, match=r"part.onnx: not written, as .* tolerance 0.001$"):
        export_model(small_model, target, pictures=shown)
    with pytest.raises(ExportError, match=r"not written.* fit with --embedding neighbourhood$"):
        export_model(small_model, target, pictures=shown, precision="int8", calibration=shown)
    assert [path.name for path in tmp_path.iterdir()] == ["part.onnx"]
    assert target.read_text() == "an older one, of softpatch"


def test_other_labels_and_nan_are_no_parity() -> None:
    same = ParityReport(4, 0.0, 0.0, 0, 1.0, 1.0)
    same.check(Path("a.onnx"), 0.0)
    with pytest.raises(ExportError, match="2 of 4 pictures get another label"):
        ParityReport(4, 0.0, 0.0, 2, 1.0, 1.0).check(Path("a.onnx"), 1.0)
    with pytest.raises(ExportError, match="differ by nan"):
        ParityReport(4, float("nan"), 0.0, 0, 1.0, 1.0).check(Path("a.onnx"), 1.0)


def test_wrong_names_and_numbers_are_refused(small_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"part.pt: an exported file is called .onnx or .xml"):
        export_model(small_model, tmp_path / "part.pt", pictures=[])
    with pytest.raises(UsageError, match="precision must be fp32, fp16 or int8, got 'int4'"):
        export_model(small_model, tmp_path / "a.onnx", pictures=[], precision="int4")  # type: ignore[arg-type]
    for odd in (float("nan"), -1.0):
        with pytest.raises(UsageError, match=r"threshold must lie in \[0, 1e\+30\], got"):
            export_model(small_model, tmp_path / "a.onnx", pictures=[], threshold=odd)
    with pytest.raises(UsageError, match="int8 needs pictures to calibrate on"):
        export_model(small_model, tmp_path / "a.onnx", pictures=[], precision="int8")
