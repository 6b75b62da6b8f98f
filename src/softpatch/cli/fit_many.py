"""``softpatch fit-many``: one detector a camera, and which cameras need attention."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from softpatch.cli import options
from softpatch.cli.inputs import note_left_out
from softpatch.cli.old_spellings import ARGUMENTS
from softpatch.cli.options import argument, flag, option, to_output
from softpatch.cli.terminal import Display, progress_bars, say, show_table

if TYPE_CHECKING:
    from softpatch.fleet.fitting import Visit
    from softpatch.fleet.fleet import Fleet

# Options that the command advised for one camera does without.
_FLAGS, _WITH_VALUE = ("--check", "--force", "--json", "--report"), ("--only", "--report-dir")


@options.reads_pictures
@options.takes(*options.DETECTOR, options.Threshold)
def fit_many(
    context: typer.Context,
    plant: Path = argument("Folder of the cameras, at any depth."),
    output: Path = to_output("Folder of the models."),
    report: bool = flag("--report", "Also write fleet.csv, fleet.json and fleet.html."),
    report_dir: Path | None = option("Folder for these, implies --report.  [OUTPUT]"),
    as_json: bool = flag("--json", "One JSON line: everything."),
    check: bool = flag("--check", "Fit nothing: only compare new pictures with the models."),
    force: bool = flag("--force", "Fit again what has not changed, or has drifted."),
    only: list[str] | None = option("Name of a camera; may be given again.  [all]"),
    depth: int | None = option(
        "Cameras are the folders that many levels down, with all below: 2 for "
        "LINE/CAMERA/DATE.  [each folder with pictures]"
    ),
    jobs: int = option("Cameras at a time.", default=1),
    strict: bool = options.STRICT,
    *,
    method: str,
    given: dict[str, Any],
) -> None:
    """Fit one detector for each camera in PLANT, to OUTPUT/CAMERA.softpatch.

    A camera whose pictures and options have not changed is left alone. One whose new pictures look
    different to its model keeps that until you have looked at them: the report says so, and which
    cameras need attention for other reasons. A camera that fails does not stop the others; the
    exit code is 1 then.

    The page of the report needs the extra: pip install 'softpatch[audit]'

    Examples:
    softpatch fit-many plant/ -o models/ --report-dir fleet/

    softpatch fit-many plant/ -o models/ --check

    softpatch fit-many plant/ -o models/ --only line1/left --force
    """
    from softpatch.fleet import fleet
    from softpatch.fleet.report import BEGINNINGS, as_dict, write_report
    from softpatch.pages.render import need_jinja
    from softpatch.runtime.listing import LeftOut
    from softpatch.runtime.targets import check_results

    left_out = LeftOut()
    if report and report_dir is None:
        report_dir = output
    if report_dir is not None:
        need_jinja()
        check_results(report_dir, BEGINNINGS)
    again = _again(["fit-many", *context.meta[ARGUMENTS]])
    with Display("cameras", 0, output) as display:

        def finished(visits: Sequence[Visit], total: int) -> None:
            display.total = total
            display.finished([f"{one.camera}: {one.error or one.outcome}" for one in visits])

        found = fleet.fit_many(
            plant, output, method=method, depth=depth, only=only or (), check=check, force=force,
            strict=strict, jobs=jobs, command=again, finished=finished, left_out=left_out,
            progress=display.step, **given,
        )  # fmt: skip
    note_left_out(plant, left_out)
    written = []
    if report_dir is not None:
        with progress_bars() as progress:
            written = write_report(found, report_dir, progress)
    if as_json:
        typer.echo(json.dumps(as_dict(found)))
    else:
        _show(found)
        if written:
            say(f"wrote {', '.join(map(str, written))}")
    if found.failed:
        raise typer.Exit(1)


def _again(arguments: Sequence[str]) -> str:
    """The same command without options that narrow it down or only report."""
    kept = []
    rest = iter(arguments)
    for word in rest:
        if word in _WITH_VALUE:
            next(rest, None)
        elif word not in _FLAGS and word.partition("=")[0] not in _WITH_VALUE:
            kept.append(word)
    return shlex.join(["softpatch", *kept])


def _show(found: Fleet) -> None:
    from softpatch.fleet.report import cells, summary

    columns = ("camera", "attention", "pictures", "bad", "threshold", "drift")
    rows = ([cells(line)[column] for column in columns] for line in found.lines)
    show_table(f"Cameras of {found.plant}", columns, rows)
    for line in found.lines:
        for advice in line.advice[:1]:
            say(f"{line.visit.camera}: {advice.text}")
            for command in advice.commands:
                say(f"  {command}")
    say(summary(found))
