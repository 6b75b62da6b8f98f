"""Results as one page that needs nothing beside it, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from softpatch.benchmark.results import OK, SCALING, Row, read_table
from softpatch.benchmark.scaling_sections import scaling_sections
from softpatch.benchmark.section import Section
from softpatch.benchmark.sections import Results, sections
from softpatch.benchmark.setting import Setting, read_setting
from softpatch.benchmark.table import Labels
from softpatch.errors import MissingExtraError
from softpatch.runtime.files import write_files


def write_report(folder: Path, output: Path, command: str) -> list[Path]:
    """Write ``report.html`` and ``report.md`` about the results in ``folder``.

    Args:
        folder: that a benchmark has written.
        output: folder of the page.
        command: what repeats this, to be shown below the benchmark's own command.

    Returns:
        what was written.

    Raises:
        DatasetError: no results there, or damaged ones.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("benchmark", "softpatch report") from error

    setting = read_setting(folder)
    rows = read_table(folder / setting["table"])
    if setting["table"] == SCALING:
        parts = scaling_sections(rows)
    else:
        parts = sections(Results(rows, setting))
    commands = f"{setting['command']}\n{command}"
    facts = _facts(rows)
    template = files("softpatch.benchmark").joinpath("page.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = environment.from_string(template).render(
        title=setting["title"], about=setting["about"], commands=commands, facts=facts,
        sections=parts,
    )  # fmt: skip
    texts = {"report.html": page, "report.md": _markdown(setting, commands, facts, parts)}
    return write_files(
        output, {name: f"{text.rstrip()}\n".encode() for name, text in texts.items()}
    )


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


def _markdown(
    setting: Setting, commands: str, facts: Sequence[str], parts: Sequence[Section]
) -> str:
    blocks = [f"# {setting['title']}", setting["about"], f"```sh\n{commands}\n```", *facts]
    for part in parts:
        blocks += [f"## {part.title}", *part.text]
        if part.figures:
            blocks.append("Figures: see report.html.")
        blocks += [table.markdown() for table in part.tables]
    return "\n\n".join(block for block in blocks if block)
