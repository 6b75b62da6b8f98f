"""``softpatch-runtime MODEL IMAGES -o OUTPUT``: score images with an exported model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .errors import ImageError, SoftPatchError, UsageError


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit code 0, 1 (the work failed) or 2 (bad use)."""
    try:
        _run(_parser().parse_args(arguments))
    except UsageError as error:
        _fail(str(error), 2)
    except SoftPatchError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except MemoryError:
        _fail("out of memory", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", 1)


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


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
    parser.add_argument("--threads", type=int, help="that compute; all cores if not given")
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first unreadable picture"
    )
    return parser


def _run(options: argparse.Namespace) -> None:
    from .detector import Detector, fail_unreadable
    from .files import csv_bytes, write_atomically
    from .heatmap import overlay, png_bytes
    from .images import list_images

    if options.threads is not None and options.threads < 1:
        raise UsageError(f"--threads must be at least 1, got {options.threads}")
    images, output = options.images, options.output
    root = images if images.is_dir() else images.parent
    paths = list_images(images) if images.is_dir() else [images]
    own = output.resolve()  # a second run must not score the first one's heat maps
    paths = [path for path in paths if not path.resolve().is_relative_to(own)]
    detector = Detector(options.model, threads=options.threads)
    output.mkdir(parents=True, exist_ok=True)

    skipped: list[ImageError] = []
    on_unreadable = fail_unreadable if options.strict else skipped.append
    rows: list[dict[str, object]] = []
    for prediction in detector.predict(paths, on_unreadable=on_unreadable):
        height, width = prediction.size
        row: dict[str, object] = {
            "path": prediction.name, "score": prediction.score, **prediction.verdict,
            "width": width, "height": height,
        }  # fmt: skip
        if not options.no_heatmaps:
            # The whole file name is kept: a.png and a.jpg may be side by side.
            target = Path("heatmaps") / f"{Path(prediction.name).relative_to(root)}.png"
            (output / target).parent.mkdir(parents=True, exist_ok=True)
            drawing = overlay(prediction.name, prediction, detector.normal_limit)
            write_atomically(output / target, png_bytes(drawing))
            row["heatmap"] = target.as_posix()
        rows.append(row)
        if sys.stderr.isatty():
            print(f"\rscored {len(rows)} of {len(paths)}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    for error in skipped:
        print(f"skipped {error}", file=sys.stderr)
    if not rows:
        raise ImageError(str(images), "none of the pictures can be read")

    rows.sort(key=lambda row: -float(str(row["score"])))
    result = {
        "model": str(options.model),
        "normal_limit": detector.normal_limit,
        "threshold": detector.threshold,
        "predictions": rows,
        "skipped": [{"path": error.name, "reason": error.reason} for error in skipped],
    }
    write_atomically(output / "predictions.csv", csv_bytes(rows))
    write_atomically(output / "predictions.json", (json.dumps(result, indent=2) + "\n").encode())
    print(f"scored {len(rows)} pictures, wrote {output}")
