"""``softpatch rollback``: an earlier version of a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softpatch.cli.terminal import say


def rollback(
    model: Annotated[Path, typer.Argument(help="A model file with versions.")],
    to: Annotated[
        int | None,
        typer.Option(help="Number of the version.  [the one MODEL was made from]"),
    ] = None,
) -> None:
    """Bring an earlier version of MODEL back.

    The version that was current is kept, too: roll back to its number to undo this.

    Examples:
    softpatch rollback part.softpatch

    softpatch rollback part.softpatch --to 4
    """
    from softpatch.storage.versions import kept_versions, roll_back

    version = roll_back(model, to).version
    numbers = ", ".join(map(str, kept_versions(model)))
    say(f"{model} is version {version}; kept are versions {numbers}")
