"""``softpatch threshold``: where a fitted model draws the line, without fitting it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from softpatch.cli import options
from softpatch.cli.inputs import listed
from softpatch.cli.options import option, to_output
from softpatch.cli.terminal import Skipped, progress_bars, say
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.detectors import Detector


@options.reads_pictures
@options.changes("output", "model")
def threshold(
    model: Path = options.MODEL,
    max_false_alarms: float | None = option(
        "Share of good pictures that may be called anomalous, such as 0.05."
    ),
    validation: Path | None = option(
        "Folder with a few pictures that you know, in good/ and bad/."
    ),
    value: float | None = option("The score itself."),
    look_share: float | None = option(
        "Set the look limit instead: share of good pictures that may exceed it; 0: none."
    ),
    output: Path | None = to_output("Model file to write.  [MODEL]", None),
    weights: str | None = options.Features.weights,
    device: str = options.Running.device,
    strict: bool = options.STRICT,
) -> None:
    """Change the threshold of MODEL, by one of three ways, or its look limit.

    Without labels, by the scores that the training pictures had in fit, each without its own
    patches; with a few labels; or by hand. Pictures between the look limit and the threshold are
    worth a look.

    Examples:
    softpatch threshold part.softpatch --max-false-alarms 0.05

    softpatch threshold part.softpatch --validation known/

    softpatch threshold part.softpatch --look-share 0.1
    """
    ways = (max_false_alarms, validation, value, look_share)
    if sum(way is not None for way in ways) != 1:
        raise UsageError("give one of --max-false-alarms, --validation, --value and --look-share")

    from softpatch.storage.targets import is_model

    if output is not None:
        options.check_output(output, "the model", is_model)
    if value is not None:
        _set(model, value, output or model)
        return

    from softpatch.detectors import CalibratedDetector
    from softpatch.detectors.load import load

    detector = load(model, device=device, weights=weights)
    if validation is not None:
        detector.threshold_ = _by_labels(detector, validation, Skipped(strict))
        said = f"threshold {detector.threshold_:.6g}"
    elif not isinstance(detector, CalibratedDetector):
        raise UsageError(f"{model}: {detector.method} takes --validation or --value only")
    elif max_false_alarms is not None:
        said = str(detector.choose_threshold(max_false_alarms))
    else:
        found = detector.choose_look(look_share)
        said = "no look limit" if found is None else f"look limit {found:.6g}"
    detector.save(output or model)
    say(said)
    say(f"wrote {output or model}")


def _set(model: Path, value: float, output: Path) -> None:
    """Write the model with this threshold; nothing else of it changes, so nothing is loaded."""
    from softpatch.ranges.table import check
    from softpatch.runtime.targets import check_target
    from softpatch.storage.model_bytes import with_header, write
    from softpatch.storage.targets import is_model

    score = float(check("threshold", value))
    content = with_header(model, threshold=score)
    check_target(output, is_model)
    write(output, content)
    say(f"threshold {score:.6g}")
    say(f"wrote {output}")


def _by_labels(detector: Detector, folder: Path, skipped: Skipped) -> float:
    import numpy as np

    from softpatch.calling.threshold import threshold_with_labels
    from softpatch.errors import DatasetError

    pictures = {}
    for label in ("good", "bad"):
        if not (folder / label).is_dir():
            raise DatasetError(f"{folder}: expected the folders good and bad in it")
        pictures[label] = listed(folder / label)
    scores: dict[str, list[float]] = {"good": [], "bad": []}
    total = sum(map(len, pictures.values()))
    with progress_bars() as progress:
        for label, paths in pictures.items():
            for prediction in detector.predict(paths, on_unreadable=skipped.handler):
                scores[label].append(prediction.score)
                progress("predict", sum(map(len, scores.values())), total)
    skipped.report()
    good, bad = (np.array(scores[label]) for label in ("good", "bad"))
    chosen = threshold_with_labels(good, bad)
    say(
        f"{(good <= chosen).sum()} of {len(good)} good and {(bad > chosen).sum()} of {len(bad)} "
        "bad pictures are told right"
    )
    return chosen
