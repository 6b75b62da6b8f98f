"""``softpatch merge``: one model from two that were fitted apart."""

from __future__ import annotations

from pathlib import Path

from softpatch.cli import options
from softpatch.cli.options import argument, option, to_output
from softpatch.cli.terminal import note, progress_bars, say
from softpatch.errors import UsageError


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
    radius = max(merge.covering_radius(model.bank_.vectors, merged.bank_) for model in models)
    one, other = (len(model.bank_) for model in models)
    say(
        f"merged {one} and {other} vectors into {len(merged.bank_)}, the farthest of them "
        f"{radius:.3g} away; wrote {output}, version {merged.lineage_.version}"
    )
    if (promise := merged.promise()) is not None:
        say(str(promise))
    for path, model in zip((first, second), models, strict=True):
        if model.threshold_ is not None and model.promise() is None:
            note(f"the threshold of {path}, {model.threshold_:.6g}, was set otherwise and is left")
