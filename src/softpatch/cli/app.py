"""The command's frame: subcommands, and errors as one line with an exit code."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from softpatch._version import __version__
from softpatch.cli import (
    audit,
    benchmark,
    clean,
    datasets,
    demo,
    estimate,
    evaluate,
    export,
    fit,
    fit_many,
    info,
    merge,
    predict,
    report,
    rollback,
    serve,
    threshold,
    update,
    watch,
)
from softpatch.cli.terminal import stderr
from softpatch.errors import SoftPatchError, UsageError

app = typer.Typer(
    name="softpatch",
    help="Visual anomaly detection for people who cannot promise clean training data.",
    epilog="Start with: softpatch demo   or   softpatch fit PHOTOS/ -o part.softpatch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("fit")(fit.fit)
app.command("fit-many")(fit_many.fit_many)
app.command("audit")(audit.audit)
app.command("clean")(clean.clean)
app.command("estimate")(estimate.estimate)
app.command("update")(update.update)
app.command("merge")(merge.merge)
app.command("rollback")(rollback.rollback)
app.command("predict")(predict.predict)
app.command("export")(export.export)
app.command("watch")(watch.watch)
app.command("serve")(serve.serve)
app.command("evaluate")(evaluate.evaluate)
app.command("datasets")(datasets.datasets)
app.command("benchmark")(benchmark.benchmark)
app.command("report")(report.report)
app.command("threshold")(threshold.threshold)
app.command("info")(info.info)
app.command("demo")(demo.demo)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"softpatch {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; exit code 0, 1 (the work failed) or 2 (bad use)."""
    # Oversized pictures are refused with our own message; Pillow's extra warning says less.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    try:
        app()
    except UsageError as error:
        _fail(str(error), 2)
    except SoftPatchError as error:
        _fail(str(error), 1)
    except MemoryError:
        _fail("out of memory; use fewer pictures, a smaller --coreset-ratio or --resize", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", 1)


def _fail(message: str, code: int) -> None:
    stderr().print(f"[bold red]error:[/] {_escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(code)


def _escape(message: str) -> str:
    from rich.markup import escape

    return escape(message)
