"""``softpatch-runtime MODEL IMAGES -o OUTPUT``: score images with an exported model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import (
    ImageError,
    SoftPatchError,
    any_character,
    check_arguments,
    is_out_of_memory,
    last_words,
    memory_needed,
    printable,
)
from .ranges import RANGES

if TYPE_CHECKING:
    from .prediction import Prediction


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit code 0, 1 (the work failed) or 2 (bad use)."""
    any_character(sys.stdout, sys.stderr)
    try:
        check_arguments(sys.argv[1:] if arguments is None else arguments)
        options = _parser().parse_args(arguments)
        for name, row in RANGES.items():
            if (text := getattr(options, name)) is not None:
                setattr(options, name, row.check_text(f"--{name.replace('_', '-')}", text))
        from .images import allowing

        with allowing(options.max_pixels):
            _run(options)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except Exception as error:
        if is_out_of_memory(error) and not isinstance(error, SoftPatchError):
            _fail(f"out of memory{memory_needed(error)}", 1)
        if not isinstance(error, SoftPatchError | OSError):
            raise
        _fail(*last_words(error))


def _fail(message: str, code: int) -> None:
    _note(f"error: {message}")
    sys.exit(code)


def _note(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="softpatch-runtime",
        description="Score pictures with a model that softpatch export wrote.",
        epilog="example: softpatch-runtime part.onnx new/ -o results/",
    )
    parser.add_argument("model", type=Path, help="part.onnx, or part.xml for OpenVINO")
    parser.add_argument("images", type=Path, help="a picture, or a folder searched recursively")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for the table and heat maps"
    )
    parser.add_argument("--no-heatmaps", action="store_true", help="write no heat maps")
    parser.add_argument(
        "--max-pixels", help="refuse larger pictures; for line scans, more than 64000000"
    )
    parser.add_argument("--threads", help="that compute; all cores if not given")
    parser.add_argument(
        "--strict", action="store_true", help="exit code 1 if a picture cannot be judged, or is odd"
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    from .detector import Detector
    from .heatmap import overlay
    from .listing import LeftOut, list_images
    from .prediction import odd_ones
    from .targets import check_results
    from .verdict import tally
    from .writers import (
        BEGINNINGS,
        Drawings,
        Tables,
        Writer,
        remarks,
        without_drawing,
        write_predictions,
    )

    images, output = options.images, options.output
    check_results(output, BEGINNINGS)
    root = images if images.is_dir() else images.parent
    left_out = LeftOut()
    paths = list_images(images, left_out) if images.is_dir() else [images]
    if left_out:
        _note(f"left out of {images}: {left_out}")
    detector = Detector(options.model, threads=options.threads)
    output.mkdir(parents=True, exist_ok=True)

    skipped: list[ImageError] = []
    limit = detector.normal_limit
    about = options.model, limit, detector.threshold
    writers: list[Writer] = [Tables(output, *about, skipped, detector.look)]
    if not options.no_heatmaps:
        writers.insert(0, Drawings(output, root, "heatmap", lambda p: overlay(p.name, p, limit)))

    def predictions() -> Iterator[Prediction]:
        found = detector.predict(paths, on_unreadable=skipped.append)
        for count, prediction in enumerate(found, 1):
            yield prediction
            if sys.stderr.isatty():
                print(f"\rscored {count} of {len(paths)}", end="", file=sys.stderr, flush=True)

    rows = write_predictions(predictions(), writers)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    failed = [*skipped, *without_drawing(rows)]
    for error in failed:
        _note(f"skipped {error}")
    odd = remarks(rows)
    if words := odd_ones(odd):
        _note(words)
    if not rows and not options.strict:
        raise ImageError(str(images), "none of the pictures can be judged")
    if words := tally(row.get("verdict") for row in rows):
        print(words)
    if rows:
        print(printable(f"scored {len(rows)} pictures, wrote {output}"))
    if options.strict and failed:
        raise failed[0]
    if options.strict and odd:
        raise ImageError(*odd[0])
