"""``softpatch merge``: one model from two that were fitted apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softpatch.cli import options
from softpatch.cli.terminal import progress_bars, say
from softpatch.errors import UsageError


def merge(
    first: Annotated[Path, typer.Argument(help="A file written by softpatch fit.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same features and options.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file to write.")],
    bank_size: Annotated[
        int | None,
        typer.Option(help="Vectors in the memory bank at most.  [as in FIRST and SECOND]"),
    ] = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
) -> None:
    """Bring the memory banks of FIRST and SECOND together in one model.

    Both have to see pictures in the same way: the same backbone, sizes and options.

    Example:
    softpatch merge line1.softpatch line2.softpatch -o both.softpatch
    """
    options.check_folder_of(output, "the model")

    from softpatch.detectors import merge
    from softpatch.detectors.load import load
    from softpatch.detectors.patchcore import MemoryBankDetector
    from softpatch.storage.versions import write_version

    models = []
    for path in (first, second):
        detector = load(path, device=device, weights=weights)
        if not isinstance(detector, MemoryBankDetector):
            raise UsageError(f"{path}: {detector.method} has no memory bank to merge")
        models.append(detector)
    try:
        with progress_bars() as progress:
            merged = merge.merge(*models, bank_size=bank_size, progress=progress)
    except UsageError as error:
        raise UsageError(f"{first} and {second} {error}") from error
    write_version(merged, output)
    radius = max(merge.covering_radius(model.bank.vectors, merged.bank) for model in models)
    say(
        f"merged {len(models[0].bank)} and {len(models[1].bank)} vectors into {len(merged.bank)}, "
        f"the farthest of them {radius:.3g} away; wrote {output}, version "
        f"{merged.lineage_.version}"
    )
