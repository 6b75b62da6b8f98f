"""``softpatch fit-many``: one detector a camera, and which cameras need attention."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softpatch.cli import options
from softpatch.cli.display import Display
from softpatch.cli.terminal import progress_bars, say, stdout
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.fleet.fitting import Visit
    from softpatch.fleet.fleet import Fleet

# What does not belong to the command that is advised for one camera.
_FLAGS, _WITH_VALUE = ("--check", "--force", "--json"), ("--only", "--report")


@options.builds_detector
def fit_many(
    plant: Annotated[Path, typer.Argument(help="Folder of the cameras, at any depth.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the models.")],
    report: Annotated[
        Path | None, typer.Option(help="Folder for fleet.csv, fleet.json and fleet.html.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line: everything.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Fit nothing: only compare new pictures with the models."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Fit again what has not changed, or has drifted.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a camera; may be given again.  [all]")
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cameras are the folders that many levels down, with all below: 2 for "
            "LINE/CAMERA/DATE.  [each folder with pictures]",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cameras at a time.")] = 1,
    max_false_alarms: options.MaxFalseAlarms = None,
    strict: options.Strict = False,
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
    softpatch fit-many plant/ -o models/ --report fleet/

    softpatch fit-many plant/ -o models/ --check

    softpatch fit-many plant/ -o models/ --only line1/left --force
    """
    from softpatch.fleet import fleet
    from softpatch.fleet.report import as_dict, write_report
    from softpatch.pages.render import need_jinja

    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: not a folder; models go to OUTPUT/CAMERA.softpatch")
    if report is not None:
        need_jinja()
    given = options.with_threshold(method, given, max_false_alarms)
    with Display("cameras", 0, output) as display:

        def finished(visits: Sequence[Visit], total: int) -> None:
            display.total = total
            display.finished([f"{one.camera}: {one.error or one.outcome}" for one in visits])

        found = fleet.fit_many(
            plant, output, method=method, depth=depth, only=only or (), check=check, force=force,
            strict=strict, jobs=jobs, command=_again(sys.argv[1:]), finished=finished,
            progress=display.step, **given,
        )  # fmt: skip
    written = []
    if report is not None:
        with progress_bars() as progress:
            written = write_report(found, report, progress)
    if as_json:
        typer.echo(json.dumps(as_dict(found)))
    else:
        _show(found)
        if written:
            say(f"wrote {', '.join(map(str, written))}")
    if found.failed:
        raise typer.Exit(1)


def _again(arguments: Sequence[str]) -> str:
    """The same command without what narrows it down or only looks."""
    kept = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _WITH_VALUE:
            next(rest, None)
        elif argument not in _FLAGS and argument.partition("=")[0] not in _WITH_VALUE:
            kept.append(argument)
    return shlex.join(["softpatch", *kept])


def _show(found: Fleet) -> None:
    from rich.markup import escape
    from rich.table import Table

    from softpatch.fleet.report import cells, summary

    columns = ("camera", "attention", "pictures", "bad", "threshold", "drift")
    table = Table(*columns, title=f"Cameras of {escape(str(found.plant))}")
    for line in found.lines:
        words = cells(line)
        table.add_row(*(escape(words[column]) for column in columns))
    stdout().print(table)
    for line in found.lines:
        for advice in line.advice[:1]:
            say(f"{line.visit.camera}: {advice.text}")
            for command in advice.commands:
                say(f"  {command}")
    say(summary(found))
