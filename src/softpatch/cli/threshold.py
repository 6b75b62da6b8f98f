"""``softpatch threshold``: where a fitted model draws the line, and what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from softpatch.cli import options
from softpatch.cli.options import option, to_output
from softpatch.cli.terminal import Skipped, say
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from softpatch.calling.threshold import Floats
    from softpatch.detectors import Detector


@options.reads_pictures
def threshold(
    model: Path = options.MODEL,
    max_false_alarms: float | None = option(
        "Share of good pictures that may be called anomalous, such as 0.05."
    ),
    validation: Path | None = option(
        "Folder with a few pictures that you know, in good/ and bad/."
    ),
    max_misses: float | None = option(
        "With --validation: share of the bad ones that may be missed; the fewest false alarms."
    ),
    miss_cost: float | None = option(
        "With --validation: what a missed bad picture costs, in false alarms; the least cost."
    ),
    bad_share: float | None = option(
        "With --miss-cost: share of bad ones among pictures to come.  [that of the folder]"
    ),
    look_misses: float | None = option(
        "With --validation: also set the look limit, so that at most this share of the bad ones is "
        "called good."
    ),
    value: float | None = option("The score itself."),
    look_share: float | None = option(
        "Set the look limit instead: share of good pictures that may exceed it; 0: none."
    ),
    decisions: Path | None = option(
        "Decisions about training pictures, as the page of softpatch audit --model exports them."
    ),
    holdout: Path | None = option(
        "Folder with good pictures of another day: does the limit hold for them? Changes nothing."
    ),
    csv: Path | None = option("Also write the pictures of --validation or --holdout, scored."),
    output: Path | None = to_output("Model file to write.  [MODEL]", None),
    weights: str | None = options.Features.weights,
    device: str = options.Running.device,
    strict: bool = options.STRICT,
) -> None:
    """Show what limits of MODEL cost, or change its threshold or its look limit.

    Without labels, by the scores that the training pictures had in fit, each without its own
    patches; with a few labels; or by hand. Pictures between the look limit and the threshold are
    worth a look. Without any of these, nothing is changed.

    Examples:
    softpatch threshold part.softpatch

    softpatch threshold part.softpatch --max-false-alarms 0.05

    softpatch threshold part.softpatch --validation known/ --max-misses 0.02

    softpatch threshold part.softpatch --look-share 0.1

    softpatch threshold part.softpatch --decisions decisions.json

    softpatch threshold part.softpatch --holdout tuesday/
    """
    ways = (max_false_alarms, validation, value, look_share, decisions)
    if sum(way is not None for way in (*ways, holdout)) > 1:
        raise UsageError(
            "give one of --max-false-alarms, --validation, --value, --look-share, --decisions and "
            "--holdout, or none"
        )
    if validation is None and {max_misses, miss_cost, look_misses} != {None}:
        raise UsageError("--max-misses, --miss-cost and --look-misses go with --validation")
    if max_misses is not None and miss_cost is not None:
        raise UsageError("give one of --max-misses and --miss-cost")
    if bad_share is not None and miss_cost is None:
        raise UsageError("--bad-share goes with --miss-cost")
    if csv is not None and validation is None and holdout is None:
        raise UsageError("--csv goes with --validation or --holdout")
    changes = any(way is not None for way in ways)
    if output is not None and not changes:
        raise UsageError(
            "--output goes with --max-false-alarms, --validation, --value, --look-share or "
            "--decisions; nothing else changes a model"
        )
    from softpatch.storage.targets import is_judged, is_model

    options.check_output(output, "the model", is_model)
    options.check_output(csv, "the scores", is_judged)
    if csv is not None and csv.resolve() == (output or model).resolve():
        raise UsageError(f"{csv}: cannot be both the model and the scores")
    if not changes and holdout is None:
        from softpatch.cli.costs import show_costs

        show_costs(model)
        return
    from softpatch.calling.words import of_look_limit, rounded

    with options.alone((output or model) if changes else None):
        if value is not None:
            _set(model, value, output or model)
            return

        from softpatch.detectors import CalibratedDetector
        from softpatch.detectors.load import load

        detector = load(model, device=device, weights=weights)
        if holdout is not None:
            from softpatch.cli.holdout import hold_out

            hold_out(model, detector, holdout, Skipped(strict), csv)
            return
        if validation is not None:
            costs = {
                "max_misses": max_misses,
                "miss_cost": miss_cost,
                "bad_share": bad_share,
                "look_misses": look_misses,
            }
            said = _by_labels(detector, validation, costs, Skipped(strict), csv)
        elif not isinstance(detector, CalibratedDetector):
            raise UsageError(f"{model}: {detector.method} takes --validation or --value only")
        elif decisions is not None:
            from softpatch.cli.looks import after_looks

            said = after_looks(detector, decisions)
        elif max_false_alarms is not None:
            chosen = detector.choose_threshold(max_false_alarms)
            said = chosen.told(detector.image_names_)
        else:
            found = detector.choose_look(look_share)
            said = [of_look_limit(found, detector.threshold_)]
            if found is None and look_share:
                by_share = rounded(detector.learned_.calibration.choose(look_share).value)
                said[0] += f": that share exceeds {by_share}, which is above the threshold"
        detector.save(output or model)
    for line in said:
        say(line)
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


def _by_labels(
    detector: Detector,
    folder: Path,
    costs: Mapping[str, float | None],
    skipped: Skipped,
    csv: Path | None,
) -> list[str]:
    """Set the threshold; returns what to say of it once it is written."""
    import numpy as np

    from softpatch.calling.threshold import threshold_of_misses, threshold_with_labels
    from softpatch.calling.words import rounded
    from softpatch.cli import known
    from softpatch.cli.costs import show_table_of_costs

    found = known.scored(detector, known.labelled(folder), skipped.handler)
    skipped.report()
    good, bad = (known.scores_of(found, label) for label in (known.GOOD, known.BAD))
    max_misses, miss_cost = costs["max_misses"], costs["miss_cost"]
    if max_misses is not None:
        chosen = threshold_of_misses(good, bad, max_misses)
    elif miss_cost is not None:
        share = costs["bad_share"] or len(bad) / max(1, len(good) + len(bad))
        chosen = threshold_with_labels(good, bad, miss_cost=miss_cost, bad_share=share)
    else:
        chosen = threshold_with_labels(good, bad)
    before, detector.threshold_ = detector.threshold_, chosen
    reference = detector.learned_.calibration.reference
    held_out = np.array([]) if reference is None else reference
    named = {} if before is None else {before: "before"}
    show_table_of_costs(
        held_out, {**named, chosen: "chosen now"}, {known.GOOD: good, known.BAD: bad}
    )
    look = costs["look_misses"]
    if look is not None:
        limit = threshold_of_misses(good, bad, look)
        detector.look_ = limit if limit < chosen else None
    known.show_wrong(found, chosen)
    if csv is not None:
        known.write_judged(found, chosen, csv)
    stopped, caught = known.above(good, chosen), known.above(bad, chosen)
    return [
        f"threshold {rounded(chosen)}",
        f"{stopped.of - stopped.count} of {stopped.of} good and {caught.count} of {caught.of} "
        "bad pictures are told right",
        f"false alarms: {stopped}",
        f"found: {caught}",
        *([] if look is None else [_looked_at(detector.look_, good, bad)]),
        "of other pictures a little less well, as these have chosen it",
    ]


def _looked_at(look: float | None, good: Floats, bad: Floats) -> str:
    """What the look limit costs and saves; None lies above the threshold."""
    from softpatch.calling.words import rounded

    if look is None:
        return "no look limit: the threshold itself misses as few"
    return (
        f"look limit {rounded(look)}: {(bad <= look).sum()} of {len(bad)} bad ones are called "
        f"good, and {(good > look).sum()} of {len(good)} good ones are to be looked at, or bad"
    )
