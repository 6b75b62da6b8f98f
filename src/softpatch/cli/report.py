"""``softpatch report``: the results of a benchmark as a page."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from softpatch.cli.terminal import stdout


def report(
    results: Annotated[Path, typer.Argument(help="Folder that softpatch benchmark has written.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the page.  [RESULTS]")
    ] = None,
) -> None:
    """Write report.html, one page that needs nothing beside it, and report.md.

    Needs the extra: pip install 'softpatch[benchmark]'

    Examples:
    softpatch report softpatch-benchmark

    softpatch report softpatch-benchmark -o docs/results/prevalence
    """
    from softpatch.benchmark.report import write_report

    target = output or results
    target.mkdir(parents=True, exist_ok=True)
    written = write_report(results, target, shlex.join(["softpatch", *sys.argv[1:]]))
    stdout().print(
        f"wrote {', '.join(map(str, written))}", markup=False, highlight=False, soft_wrap=True
    )
