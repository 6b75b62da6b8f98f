"""``softpatch rollback``: an earlier version of a model file."""

from __future__ import annotations

from pathlib import Path

from softpatch.cli import options
from softpatch.cli.options import argument, option
from softpatch.cli.terminal import say


@options.changes("model")
def rollback(
    model: Path = argument("A model file with versions."),
    to: int | None = option("Number of the version.  [the one MODEL was made from]"),
) -> None:
    """Bring an earlier version of MODEL back.

    The version that was current is kept, too: roll back to its number to undo this.

    Examples:
    softpatch rollback part.softpatch

    softpatch rollback part.softpatch --to 4
    """
    from softpatch.runtime.targets import refuse_link
    from softpatch.storage.versions import kept_versions, roll_back

    refuse_link(model)
    version = roll_back(model, to).version
    numbers = ", ".join(map(str, kept_versions(model)))
    say(f"{model} is version {version}; kept are versions {numbers}")
