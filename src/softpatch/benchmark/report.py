"""Results as one page that needs nothing beside it, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from softpatch.benchmark.results import OK, RESULTS, Row, read_setting, read_table
from softpatch.benchmark.sections import Results, sections
from softpatch.benchmark.table import Labels, Section
from softpatch.errors import MissingExtraError
from softpatch.pages.render import fill
from softpatch.runtime.files import write_files
from softpatch.runtime.targets import PAGE, begins, check_results

MARK = "<!-- Written by softpatch report. -->"
BEGINNINGS = {"report.html": begins(PAGE), "report.md": begins(MARK.encode())}


def write_report(folder: Path, output: Path, command: str) -> list[Path]:
    """Write ``report.html`` and ``report.md`` about the results in ``folder``.

    ``command`` repeats this, and is shown below the benchmark's own.

    Raises:
        DatasetError: no results there, or damaged ones.
        UsageError: ``output`` is no folder, or has a file of such a name that is no report.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("benchmark", "softpatch report") from error

    check_results(output, BEGINNINGS)
    setting = read_setting(folder)
    rows = read_table(folder / RESULTS)
    commands = f"{setting['command']}\n{command}"
    parts = sections(Results(rows, setting))
    return write_page(output, setting["title"], setting["about"], commands, rows, parts)


def write_page(
    output: Path, title: str, about: str, commands: str, rows: Sequence[Row],
    parts: Sequence[Section],
) -> list[Path]:  # fmt: skip
    """``report.html`` and ``report.md`` of these parts, about rows of any benchmark."""
    facts = _facts(rows)
    page = fill(
        "benchmark/page.html.jinja", title=title, about=about, commands=commands, facts=facts,
        sections=parts,
    )  # fmt: skip
    blocks = [MARK, f"# {title}", about, f"```sh\n{commands}\n```", *facts]
    for part in parts:
        blocks += [f"## {part.title}", *part.text]
        if part.figures:
            blocks.append("Figures: see report.html.")
        blocks += [table.markdown() for table in part.tables]
    text = "\n\n".join(block for block in blocks if block)
    output.mkdir(parents=True, exist_ok=True)
    return write_files(output, {"report.html": page, "report.md": f"{text.rstrip()}\n".encode()})


def _facts(rows: Sequence[Row]) -> list[str]:
    """What all the numbers have in common."""
    shared = Labels(rows).shared
    facts = [f"All cells: {shared}."] if shared else []
    return [*facts, *dict.fromkeys(_machine(row) for row in rows if row["status"] == OK)]


def _machine(row: Row) -> str:
    return (
        f"Measured on {row['processor']}, {row['cores']} cores, {row['threads']} threads a fit, "
        f"device {row['device']}; {row['versions']}."
    )
