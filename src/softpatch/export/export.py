"""Converts a model file, compares the result with the model, and only then gives it its name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from softpatch._version import __version__
from softpatch.compute.progress import Progress, silent
from softpatch.detectors import Detector
from softpatch.detectors.load import load
from softpatch.errors import ExportError, UsageError
from softpatch.export.formats import FORMATS, need_packages, onnx_model
from softpatch.export.graph import DetectorGraph, Precision
from softpatch.export.parity import ParityReport, compare
from softpatch.export.tiles import in_tiles, some_tiles
from softpatch.ranges.table import check
from softpatch.runtime.engine import FORMAT, KEY, WITH_INTENSITY, open_model
from softpatch.runtime.images import read_levels
from softpatch.runtime.intensity import FULL
from softpatch.runtime.partial import partial_folder
from softpatch.runtime.targets import check_target
from softpatch.storage.model_bytes import read_header
from softpatch.storage.targets import is_exported

# Measured on 20 bottles and 20 magnetic tiles: at most 1.2e-6 with fp32; 0.02 with fp16, where
# another bank vector with another weight became the nearest; 0.13 in scores and 0.18 in maps with
# int8, on good bottles, whose peaks are low.
TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "fp16": 5e-2, "int8": 0.3}
ROOTED_IN_8_BITS = "; 8 bits change rooted patches too much: fit with --embedding neighbourhood"


def export_model(
    model: Path,
    output: Path,
    *,
    pictures: Sequence[Path],
    threshold: float | None = None,
    precision: Precision = "fp32",
    calibration: Sequence[Path] = (),
    tolerance: float | None = None,
    weights: str | None = None,
    progress: Progress = silent,
) -> ParityReport | None:
    """Export a model file and compare the exported file with the model.

    Args:
        model: a file written by ``Detector.save``.
        output: ``.onnx``, or ``.xml`` for OpenVINO, which adds a ``.bin`` beside it.
        pictures: to compare on; if empty, nothing is compared.
        threshold: pictures that score above it are labelled 1, others 0. None takes the model's;
            if it has none, the file gives no labels.
        precision: ``fp16`` stores the weights in 16 bits and computes in float32; ``int8`` stores
            and computes the network's convolutions in 8 bits.
        calibration: pictures for ``int8`` like those to be scored, mostly good ones.
        tolerance: of the comparison, see ``ParityReport.check``; None takes the precision's.
        weights: path of the backbone's checkpoint now, if it was a local file.
        progress: called as ``progress(step, done, total)``.

    Returns:
        the comparison; None without pictures.

    Raises:
        ModelFileError: ``model`` cannot be used.
        ExportError: the exported file differs by more than the tolerance, or cannot be written;
            ``output`` keeps what it held.
        UsageError: the model cannot be exported, an argument is wrong, or ``output`` is a link or
            another kind of file.
        ImageError: a picture to compare or calibrate on cannot be read.
        MissingExtraError: onnx or OpenVINO is not installed.
    """
    if output.suffix not in FORMATS:
        raise UsageError(f"{output}: an exported file is called {' or '.join(FORMATS)}")
    check("export.precision", precision)
    threshold, tolerance = check("threshold", threshold), check("tolerance", tolerance)
    if precision == "int8" and not calibration:
        raise UsageError("int8 needs pictures to calibrate on")
    need_packages(output.suffix)
    check_target(output, is_exported)
    if output.suffix == ".xml" and (weights_file := output.with_suffix(".bin")).exists():
        check_target(weights_file, lambda _: output.exists())  # of the .xml, which is ours
    header = read_header(model)
    detector = load(model, device="cpu", weights=weights)
    if threshold is None:
        threshold = detector.threshold_
    progress("export", 0, 0)
    with _cannot_be_written(output), torch.no_grad():
        graph = DetectorGraph(detector, threshold, precision).eval()
        with partial_folder(output.parent) as folder:
            file = folder / output.name
            preprocessing = detector.preprocessing
            seen = preprocessing.min_decode_side, preprocessing.intensity
            pictures_read = (read_levels(path, str(path), *seen).values for path in calibration)
            levels = (tile for one in pictures_read for tile in some_tiles(one, preprocessing))
            about = json.dumps(metadata(detector, header, graph))
            FORMATS[output.suffix](onnx_model(graph, levels), file, KEY, about)
            progress("export", 1, 1)
            report = None
            if pictures:
                run, _ = open_model(file)
                if graph.tiled:
                    run = in_tiles(run, preprocessing, threshold)
                report = compare(detector, run, threshold, pictures, progress)
                rooted_in_8_bits = precision == "int8" and detector.features.embedding == "rooted"
                advice = ROOTED_IN_8_BITS if rooted_in_8_bits else ""
                limit = TOLERANCE[precision] if tolerance is None else tolerance
                report.check(output, limit, advice)
            # The .bin before the .xml, whose checksum says which one belongs to it.
            for part in sorted(folder.iterdir()):
                part.replace(output.parent / part.name)
    return report


@contextmanager
def _cannot_be_written(output: Path) -> Iterator[None]:
    """Name the file in errors of the system: nobody has heard of the temporary one."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise ExportError(f"{output}: cannot be written ({reason})") from error


def metadata(detector: Detector, header: dict[str, Any], graph: DetectorGraph) -> dict[str, Any]:
    """Facts that a runtime or a reader needs; no names of pictures, no paths."""
    preprocessing, usual = detector.preprocessing, detector.appearance_
    reference = detector.learned_.calibration.reference
    box = None  # depends on the picture's size with tiles
    if not graph.tiled:
        box = list(preprocessing.window)
    return {
        "format": FORMAT if preprocessing.intensity == FULL else WITH_INTENSITY,
        "checksum": "crc32",
        "version": __version__,
        "method": detector.method,
        "features": {key: value for key, value in header["features"].items() if key != "weights"},
        **{key: header[key] for key in ("parameters", "preprocessing", "backbone")},
        "training_pictures": len(detector.image_names_),
        "normal_limit": detector.normal_limit_,
        "threshold": graph.threshold,
        "look": detector.look_,
        "reference": None if reference is None else reference.tolist(),
        "precision": graph.precision,
        "enough": preprocessing.min_decode_side,
        "box": box,
        **({} if usual is None else {"appearance": usual.to_header()}),
        "window": list(detector.embedder.window),
    }
