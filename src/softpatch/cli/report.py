"""``softpatch report``: the results of a benchmark as a page."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from softpatch.cli.options import argument, to_output
from softpatch.cli.terminal import say


def report(
    results: Path = argument("Folder that softpatch benchmark has written."),
    output: Path | None = to_output("Folder of the page.  [RESULTS]", None),
) -> None:
    """Write report.html, one page that needs nothing beside it, and report.md.

    Needs the extra: pip install 'softpatch[benchmark]'

    Examples:
    softpatch report softpatch-benchmark

    softpatch report softpatch-benchmark -o docs/results/prevalence
    """
    from softpatch.benchmark.report import write_report

    written = write_report(results, output or results, shlex.join(["softpatch", *sys.argv[1:]]))
    say(f"wrote {', '.join(map(str, written))}")
