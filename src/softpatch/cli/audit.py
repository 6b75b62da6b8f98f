"""``softpatch audit``: which training pictures are bad, where, and how many."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softpatch.cli import engine as on
from softpatch.cli import options
from softpatch.cli.terminal import Skipped, progress_bars, say, stdout
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.auditing.audit import Audit, Look
    from softpatch.detectors import SoftPatch

SHOWN = 10


@options.builds_detector
def audit(
    folder: Annotated[str, typer.Argument(help="Training pictures, searched recursively.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for audit.csv, audit.json and audit.html."),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            help="What makes a picture suspicious: anywhere, or fused, lof, nearest, gaussian "
            "at every place; auto looks whether the pictures are aligned."
        ),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line: everything.")] = False,
    exclude: options.Exclude = None,
    strict: options.Strict = False,
    engine: on.Engine = "local",
    address: on.Address = None,
    *,
    method: str,
    given: dict[str, Any],
) -> None:
    """Rank the pictures in FOLDER by how suspicious they are; find odd files and duplicates.

    OUTPUT/audit.html shows them with heat maps, to be decided about by keyboard. What it exports
    goes to softpatch clean, or to softpatch fit --exclude.

    The page needs the extra: pip install 'softpatch[audit]'

    Examples:
    softpatch audit photos/ -o audit/

    softpatch audit photos/ --json --exclude decisions.json

    softpatch audit photos/ --rule lof

    softpatch audit s3://bucket/photos --json --engine ray --address auto
    """
    from softpatch.auditing.audit import audit as audit_pictures
    from softpatch.auditing.image_quality import measure_images
    from softpatch.auditing.report import write_report
    from softpatch.pages.render import need_jinja

    if method != "softpatch":
        raise UsageError(f"an audit has no method {method}; choose its --rule")
    if output is not None:
        if "://" in folder:
            raise UsageError(
                "the page of --output shows a folder's pictures; use --json with a URL"
            )
        need_jinja()
    skipped = Skipped(strict)
    written: list[Path] = []
    look: Look = measure_images
    moved: Callable[[SoftPatch], SoftPatch] | None = None
    with on.cluster_of(engine, address) as cluster, progress_bars() as progress:
        pictures = on.pictures_of(folder, cluster, exclude)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        if cluster is not None:
            from softpatch.distributed.looking import look_on, moved_to

            look, moved = look_on(cluster), moved_to(cluster)
        found = audit_pictures(
            pictures, rule=rule, look=look, moved=moved, on_unreadable=skipped.handler,
            progress=progress, **given,
        )  # fmt: skip
        if output is not None:
            written = write_report(found, Path(folder), output, progress)
    skipped.report()
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
        return
    _show(found)
    if written:
        say(f"wrote {', '.join(map(str, written))}")


def _show(found: Audit) -> None:
    from rich.markup import escape
    from rich.table import Table

    from softpatch.auditing.report import summary

    table = Table(
        "rank", "suspicion", "confidence", "picture", "reasons",
        title="Most suspicious training pictures",
    )  # fmt: skip
    for image in found.images[:SHOWN]:
        table.add_row(
            str(image.rank), f"{image.score:.3f}", f"{image.confidence:.0%}", escape(image.path),
            ", ".join(reason.code for reason in image.reasons),
        )  # fmt: skip
    stdout().print(table)
    for line in summary(found):
        say(line)
