"""``softpatch audit``: which training pictures are bad, where, and how many."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from softpatch.cli import inputs, options
from softpatch.cli.options import flag, option, to_output
from softpatch.cli.terminal import Skipped, progress_bars, say, say_next, show_table
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.auditing.audit import Audit, Backend

SHOWN = 10


@options.reads_pictures
@options.takes(options.Discriminator, options.Features, options.Running)
@options.changes("output")
def audit(
    folder: str = options.TRAINING,
    output: Path | None = to_output("Folder for audit.csv, audit.json and audit.html.", None),
    as_json: bool = flag("--json", "One JSON line: everything."),
    model: Path | None = option(
        "Model whose limit is in question: the pictures that it rests on come first."
    ),
    exclude: Path | None = options.EXCLUDE,
    strict: bool = options.JUDGE_ALL,
    engine: str = inputs.ENGINE,
    address: str | None = inputs.ADDRESS,
    *,
    given: dict[str, Any],
) -> None:
    """Rank the pictures in FOLDER by how suspicious they are; find odd files and duplicates.

    OUTPUT/audit.html shows them with heat maps, to be decided about by keyboard. What it exports
    goes to softpatch clean, or to softpatch fit --exclude.

    The page needs the extra: pip install 'softpatch[audit]'

    Examples:
    softpatch audit photos/ -o audit/

    softpatch audit photos/ --json --exclude decisions.json

    softpatch audit photos/ -o audit/ --model part.softpatch

    softpatch audit photos/ --discriminator lof

    softpatch audit s3://bucket/photos --json --engine ray --address auto
    """
    from softpatch.auditing.audit import audit as audit_pictures
    from softpatch.auditing.limit import limit_rests_on
    from softpatch.auditing.report import BEGINNINGS, write_report
    from softpatch.pages.render import need_jinja
    from softpatch.runtime.targets import check_results

    if model is not None:
        if "://" in folder:
            raise UsageError("--model goes with a folder of pictures")
        limit_rests_on(model, ())  # what is wrong should not wait for the audit
    if output is not None:
        if "://" in folder:
            raise UsageError(
                "the page of --output shows a folder's pictures; use --json with a URL"
            )
        need_jinja()
        check_results(output, BEGINNINGS)
    skipped = Skipped(strict)
    written: list[Path] = []
    backend: Backend | None = None
    with (
        inputs.cluster_of(engine, address) as cluster,
        progress_bars() as progress,
        ExitStack() as stack,
    ):
        pictures = inputs.images_of(folder, cluster, exclude)
        if output is not None:
            stack.enter_context(options.making(output))
        if cluster is not None:
            from softpatch.distributed.audit import ClusterBackend

            backend = ClusterBackend(cluster)
        found = audit_pictures(
            pictures, backend=backend, on_unreadable=skipped.add, progress=progress, **given,
        )  # fmt: skip
        if model is not None:
            paths = [image.path for image in found.images]
            found = replace(found, limit_rests_on=tuple(limit_rests_on(model, paths)))
        if output is not None:
            written = write_report(found, Path(folder), output, progress, model)
    skipped.report()
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
    else:
        _show(found)
        if written:
            say(f"wrote {', '.join(map(str, written))}")
            more = f"  (decide in {written[-1]}, which exports it)"
            comes = ("clean", folder) if model is None else ("threshold", model, "--decisions")
            say_next("softpatch", *comes, "decisions.json", more=more)
        elif "://" not in folder:
            say_next("softpatch", "audit", folder, "-o", "audit/", more="  (a page to decide on)")
    skipped.end()


def _show(found: Audit) -> None:
    from softpatch.auditing.report import summary

    rows = []
    for image in found.images[:SHOWN]:
        reasons = ", ".join(reason.code for reason in image.reasons)
        score, confidence = f"{image.score:.3f}", f"{image.confidence:.0%}"
        group = "" if image.group is None else str(image.group)
        rows.append((str(image.rank), score, confidence, image.path, group, reasons))
    columns = ("rank", "suspicion", "confidence", "picture", "group", "reasons")
    show_table("Most suspicious training pictures", columns, rows)
    for line in summary(found):
        say(line)
