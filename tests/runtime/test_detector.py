"""The runtime on its own: no torch, and the records softpatch gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import softpatch
from softpatch.export import export_model
from softpatch.export.parity import map_difference
from softpatch.images.decode import decode_image
from softpatch.runtime import Detector, ImageError, ModelFileError, Prediction
from softpatch.runtime.heatmap import overlay
from softpatch.runtime.images import read_levels
from softpatch.runtime.listing import list_images
from tests.detectors.pictures import new_pictures

SHARED = Path(__file__).parents[2] / "src" / "softpatch" / "runtime"


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """An environment in which the runtime is installed, and neither torch nor softpatch."""
    place = tmp_path / "site"
    shutil.copytree(SHARED, place / "softpatch_runtime")
    (place / "sitecustomize.py").write_text(
        "import sys\nsys.modules['torch'] = sys.modules['softpatch'] = None\n"
    )
    return {**os.environ, "PYTHONPATH": str(place)}


def test_records_are_softpatch_s(
    exported: Path, small_detector: softpatch.SoftPatch, small_pictures: Path
) -> None:
    detector = Detector(exported, threads=1)
    ours = list(detector.predict(small_pictures))
    theirs = list(small_detector.predict(small_pictures))
    assert Prediction is softpatch.Prediction
    assert ImageError is softpatch.ImageError
    assert [one.name for one in ours] == [str(path) for path in list_images(small_pictures)]
    for one, other in zip(ours, theirs, strict=True):
        assert (one.name, one.size, one.box) == (other.name, other.size, other.box)
        np.testing.assert_allclose(one.score, other.score, rtol=1e-5)
        highest = other.anomaly_map.max()
        np.testing.assert_allclose(one.anomaly_map, other.anomaly_map, atol=1e-5 * highest)
        assert one.anomaly_map.dtype == np.float32
        assert one.threshold == 1
        alike = replace(other, score=one.score, threshold=1.0)
        assert (one.anomalous, one.level) == (alike.anomalous, alike.level)
        for limit in (None, other.score / 2, 2 * other.score):
            with_limit = replace(
                one, score=other.score, anomaly_map=other.anomaly_map, threshold=limit
            )
            same = replace(other, threshold=limit)
            assert with_limit.pixel_threshold == same.pixel_threshold
            assert np.array_equal(with_limit.defect_mask, same.defect_mask)


def test_arrays_batches_and_single_pictures(exported: Path, tmp_path: Path) -> None:
    detector = Detector(exported)
    batch = np.stack(new_pictures(2))
    named = [(one.name, one.score) for one in detector.predict(batch)]
    assert [name for name, _ in named] == ["image 0", "image 1"]
    assert detector.predict(batch[0]).score == named[0][1]
    with pytest.raises(ImageError, match="float64 values; expected uint8"):
        detector.predict(batch[0] / 255)
    (tmp_path / "broken.png").write_text("no picture")
    Image.fromarray(batch[1]).save(tmp_path / "whole.png")
    with pytest.raises(ImageError, match=r"broken.png: not a picture"):
        list(detector.predict(tmp_path))
    skipped: list[ImageError] = []
    [whole] = detector.predict(tmp_path, on_unreadable=skipped.append)
    assert whole.score == named[1][1]
    assert [Path(error.name).name for error in skipped] == ["broken.png"]


@pytest.mark.usefixtures("one_backbone")
def test_large_pictures_in_tiles(small_pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs softpatch[export]")
    detector = softpatch.SoftPatch(resize=64, crop=48, dimension=64, tile=48).fit(small_pictures)
    detector.save(tmp_path / "part.softpatch")
    large = tmp_path / "large.png"
    Image.fromarray(np.tile(new_pictures(1)[0], (3, 2, 1))).save(large)
    report = export_model(
        tmp_path / "part.softpatch",
        tmp_path / "part.onnx",
        pictures=[large],
        precision="int8",
        calibration=list_images(small_pictures),
    )
    assert report is not None
    one, other = Detector(tmp_path / "part.onnx").predict(large), detector.predict(large)
    # What the export has seen, put together by the runtime's own means.
    assert abs(one.score / other.score - 1) == pytest.approx(report.score_difference, rel=1e-3)
    difference = map_difference(one.anomaly_map, other.anomaly_map)
    assert difference == pytest.approx(report.map_difference, rel=1e-3)
    assert 0 < report.score_difference < 0.3
    assert (one.size, one.box) == (other.size, pytest.approx(other.box))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16", "1", "CMYK"])
def test_pictures_are_read_as_softpatch_reads_them(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(new_pictures(1)[0])
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(path)
    levels, size, *_ = read_levels(path, "a")
    expected = decode_image(path)
    if expected.is_floating_point():
        expected = expected.mul(255).round().byte()
    assert np.array_equal(levels, expected.permute(1, 2, 0).numpy())
    assert size == (48, 64)


def test_turned_large_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # orientation: on its side
    Image.new("RGB", (400, 200), (10, 200, 30)).save(tmp_path / "a.jpg", exif=exif)
    levels, size, *_ = read_levels(tmp_path / "a.jpg", "a", 50)
    assert size == (400, 200)
    assert levels.shape == (100, 50, 3)


def test_overlay_keeps_the_picture_where_nothing_is_wrong() -> None:
    picture = new_pictures(1)[0]
    heat = np.zeros((32, 32), np.float32)
    heat[:16] = 100
    one = Prediction("a", 100.0, heat, (48, 64), (8.0, 6.0, 56.0, 42.0), 1)
    drawn = np.asarray(overlay(picture, one, 4.0)).astype(int)
    assert drawn.shape == (48, 64, 3)
    assert np.array_equal(drawn[34:42, 8:56], picture[34:42, 8:56])
    assert np.abs(drawn[10:20, 10:50] - picture[10:20, 10:50]).mean() > 20
    assert np.array_equal(drawn[:6], picture[:6] // 2)


def test_no_torch_is_needed(
    exported: Path, small_pictures: Path, tmp_path: Path, alone: dict[str, str]
) -> None:
    """Neither torch nor softpatch, and the command's exit codes."""

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "softpatch_runtime", *map(str, arguments)],
            capture_output=True, text=True, timeout=60, check=False, env=alone,
        )  # fmt: skip

    out = tmp_path / "out"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in list_images(small_pictures)[:2]:
        (pictures / path.name).write_bytes(path.read_bytes())
    (pictures / "broken.png").write_text("no picture")
    done = command(exported, pictures, "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"skipped {pictures / 'broken.png'}: not a picture")
    header, *rows = (out / "predictions.csv").read_text().splitlines()
    assert header == "path,score,anomalous,level,threshold,width,height,heatmap,error,verdict"
    assert done.stdout.splitlines()[0] == "2 of 2 pictures are bad, 0 to look at, 0 good"
    assert len(rows) == 3
    assert rows[-1].startswith(f"{pictures / 'broken.png'},,,,,,,,not judged: not a picture")
    assert (out / "predictions.json").is_file()
    assert {path.name for path in (out / "heatmaps").iterdir()} == {"0.png.png", "1.png.png"}
    for code, arguments in (
        (1, (exported, pictures, "-o", out, "--strict")),
        (1, (pictures / "0.png", pictures, "-o", out)),
        (1, (tmp_path / "no.onnx", pictures, "-o", out)),
        (1, (exported, tmp_path / "site", "-o", out)),  # a folder without pictures
        (2, (exported, pictures, "-o", out, "--threads", "0")),
        (2, (exported, pictures, "-o", out, "--threads", f"{10**20}")),  # no damaged model
        (2, (exported, pictures, "-o", "")),
        (2, (exported, pictures)),
    ):
        done = command(*arguments)
        assert done.returncode == code, done.stderr
        assert "error: " in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["softpatch.runtime", "softpatch_runtime"])
def test_import_brings_in_no_runtime_yet(name: str, alone: dict[str, str]) -> None:
    loaded = "print(*(key for key, module in sys.modules.items() if module))"
    code = f"import sys, {name}; {name}.ImageError; {loaded}; {name}.Detector; {loaded}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=alone if name == "softpatch_runtime" else None,
    )  # fmt: skip
    at_once, then = (line.split() for line in done.stdout.splitlines())
    assert "numpy" not in at_once
    assert not {"torch", "onnxruntime", "openvino"} & set(then)


def test_foreign_files_are_refused(exported: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(exported.read_bytes()[:10_000])
    with pytest.raises(ModelFileError, match="cut, or not an ONNX file"):
        Detector(cut)
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported)
    del model.metadata_props[1]  # the checksum
    for value, words in (("{", "not written by softpatch export"), ('{"format": 3}', "format 3")):
        model.metadata_props[0].value = value
        onnx.save_model(model, cut)
        with pytest.raises(ModelFileError, match=words):
            Detector(cut)
