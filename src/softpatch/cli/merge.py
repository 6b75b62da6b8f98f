"""``softpatch merge``: one model from two that were fitted apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from softpatch.cli import options
from softpatch.cli.options import argument, option, to_output
from softpatch.cli.terminal import note, progress_bars, say
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.detectors import BankDetector


@options.changes("output")
def merge(
    first: Path = options.MODEL,
    second: Path = argument("Another, of the same features and options."),
    output: Path = to_output("The model file to write."),
    bank_size: int | None = option("Vectors in the memory bank at most.  [as in FIRST and SECOND]"),
    weights: str | None = options.Features.weights,
    device: str = options.Running.device,
) -> None:
    """Bring the memory banks of FIRST and SECOND together in one model.

    Both have to see pictures in the same way: the same backbone, sizes and options.

    Example:
    softpatch merge line1.softpatch line2.softpatch -o both.softpatch
    """
    from softpatch.storage.targets import is_model

    options.check_output(output, "the model", is_model)

    from softpatch.detectors import BankDetector, merge
    from softpatch.detectors.load import load
    from softpatch.storage.versions import write_version

    models = []
    for path in (first, second):
        detector = load(path, device=device, weights=weights)
        if not isinstance(detector, BankDetector):
            raise UsageError(f"{path}: a {detector.method} model cannot be merged")
        models.append(detector)
    try:
        with progress_bars() as progress:
            merged = merge.merge(*models, bank_size=bank_size, progress=progress)
    except UsageError as error:
        raise UsageError(f"{first} and {second} {error}") from error
    write_version(merged, output)
    one, other = (len(model.image_names_) for model in models)
    every = len(merged.image_names_)
    shared = f"; {one + other - every} are in both and counted once" if every < one + other else ""
    say(
        f"merged {first} ({one} pictures) and {second} ({other} pictures){shared}: {output} knows "
        f"{every}, version {merged.lineage_.version}"
    )
    say(_kept(models, merged))
    _say_threshold(merged, output)
    for path, model in zip((first, second), models, strict=True):
        if model.threshold_ is not None and model.promise() is None:
            note(f"the threshold of {path}, {model.threshold_:.6g}, was set otherwise and is left")


def _kept(models: Sequence[BankDetector], merged: BankDetector) -> str:
    """What became of the two memory banks, in words."""
    from softpatch.detectors.merge import covering_radius

    one, other = (len(model.bank_) for model in models)
    radius = max(covering_radius(model.bank_.vectors, merged.bank_) for model in models)
    score = radius**2 if merged.distance == "squared" else radius
    said = f"memory bank: {len(merged.bank_)} of their {one} and {other} patches"
    if not score:
        return f"{said}; nothing that either model had is lost"
    return (
        f"{said}; what was left out scores {score:.3g} at most by what is kept, and heat maps "
        f"begin to show colour at {merged.normal_limit_:.3g}"
    )


def _say_threshold(merged: BankDetector, output: Path) -> None:
    if (promise := merged.promise()) is not None:
        say(f"a threshold was made without labels, from the pictures of both: {promise}")
        return
    ways = "--validation FOLDER with good/ and bad/"
    if merged.held_out_ is not None:
        ways += ", or --max-false-alarms 0.01"
    say(
        "it has no threshold and so gives no verdicts; "
        f"make one: softpatch threshold {output} {ways}"
    )
