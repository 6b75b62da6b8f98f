"""One photograph in many files: the same score by path, bytes, URL, service and runtime."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import ExifTags, Image

from softpatch import SoftPatch, load
from softpatch.distributed.remote_images import find_pictures
from softpatch.export import export_model
from softpatch.runtime import Detector
from softpatch.runtime.images import decode
from softpatch.serving import Models, ServerSettings, create_app
from tests.runtime.deep_files import png, tiff

pytestmark = pytest.mark.usefixtures("one_backbone")


def saved(pixels: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def forms(photograph: Path) -> dict[str, bytes]:
    """A photograph in files of all kinds, with the same pixels."""
    preview = Image.new("RGB", (16, 12))
    taken = np.asarray(Image.open(photograph))
    mpo = saved(taken, "MPO", save_all=True, append_images=[preview])
    pixels = decode(mpo).values
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    return {
        "camera.jpg": mpo,
        "8.png": saved(pixels, "PNG"),
        "16.png": png(pixels.astype(np.uint16) * 257),
        "8.tif": saved(pixels, "TIFF"),
        "turned.tif": saved(np.rot90(pixels), "TIFF", exif=turned),
        "16.tif": tiff(pixels.astype(np.uint16) * 257),
        "16 turned.tif": tiff(np.rot90(pixels).astype(np.uint16) * 257, order=">", orientation=6),
        "a.bmp": saved(pixels, "BMP"),
        "a.webp": saved(pixels, "WEBP", lossless=True),
    }


def by_every_door(
    detector: SoftPatch, folder: Path, place: Path
) -> dict[str, dict[str, tuple[float, str | None]]]:
    """Name -> door -> score and remark."""
    place.mkdir()
    model, exported = place / "part.softpatch", place / "part.onnx"
    detector.save(model)
    export_model(model, exported, pictures=[])
    runtime = Detector(exported, threads=1)
    remote = {Path(one.name).name: one for one in find_pictures(folder.as_uri())}
    found: dict[str, Any] = {}
    with TestClient(create_app(Models({"part": model}, load), ServerSettings())) as client:
        for path in sorted(folder.iterdir()):
            [by_url] = detector.predict([remote[path.name]])
            content = path.read_bytes()
            answer = client.post("/models/part/detect", files={"images": (path.name, content)})
            [told] = answer.json()["Results"]
            records = {
                "path": detector.predict(path), "bytes": detector.predict(content),
                "URL": by_url, "runtime": runtime.predict(path),
            }  # fmt: skip
            found[path.name] = {door: (one.score, one.remark) for door, one in records.items()}
            found[path.name]["service"] = told["Score"], told["Remark"]
    return found


def test_in_every_form_and_by_every_door_it_scores_the_same(
    small_pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("fsspec", reason="needs softpatch[ray]")
    training = [saved(np.asarray(Image.open(path)), "JPEG") for path in small_pictures.iterdir()]
    detector = SoftPatch(resize=64, dimension=64, max_false_alarms=None).fit(training)
    folder = tmp_path / "forms"
    folder.mkdir()
    for name, content in forms(small_pictures / "3.png").items():
        (folder / name).write_bytes(content)
    found = by_every_door(detector, folder, tmp_path / "model")
    expected, _ = found["8.png"]["path"]
    in_runtime, _ = found["8.png"]["runtime"]
    assert in_runtime == pytest.approx(expected, rel=1e-5)
    for name, doors in found.items():
        for door, (score, remark) in doors.items():
            assert score == (in_runtime if door == "runtime" else expected), (name, door)
            assert remark is None


def test_of_a_camera_of_twelve_bits_too(small_pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec", reason="needs softpatch[ray]")
    folder = tmp_path / "camera"
    folder.mkdir()
    random = np.random.default_rng(0)
    for path in sorted(small_pictures.iterdir()):
        levels = np.asarray(Image.open(path)).astype(np.uint16)
        (folder / path.name).write_bytes(
            png(levels * 16 + random.integers(0, 16, levels.shape, np.uint16))
        )
    detector = SoftPatch(resize=64, dimension=64, max_false_alarms=None).fit(folder)
    assert detector.features.intensity == (0, 4095)
    stored = np.rint(decode((folder / "3.png").read_bytes()).values * 65535).astype(np.uint16)
    new = tmp_path / "new"
    new.mkdir()
    for name, content in {
        "a.png": png(stored), "a.tif": tiff(stored), "b.tif": tiff(stored, order=">", apart=True),
        "turned.tif": tiff(np.rot90(stored), orientation=6), "outside.png": png(stored + 1_000),
    }.items():  # fmt: skip
        (new / name).write_bytes(content)
    found = by_every_door(detector, new, tmp_path / "model")
    outside = found.pop("outside.png")
    assert all("range is 0:4095" in str(remark) for _, remark in outside.values())
    expected, _ = found["a.png"]["path"]
    assert outside["path"][0] > 1.2 * expected
    in_runtime, _ = found["a.png"]["runtime"]
    assert in_runtime == pytest.approx(expected, rel=0.05)  # which rounds to 8 bits
    for name, doors in found.items():
        for door, (score, remark) in doors.items():
            assert score == (in_runtime if door == "runtime" else expected), (name, door)
            assert remark is None
