"""The command's frame: subcommands, and errors as one line with an exit code."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any, NoReturn, TextIO

import typer

from softpatch._version import __version__
from softpatch.cli import (
    INTERRUPTED,
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
    verify,
    watch,
)
from softpatch.cli.old_spellings import Command
from softpatch.cli.options import in_ranges
from softpatch.cli.terminal import fail, note
from softpatch.errors import (
    MissingExtraError,
    SoftPatchError,
    is_out_of_memory,
    memory_needed,
)
from softpatch.runtime.errors import any_character, check_arguments, last_words

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
PANELS = {
    "Learn": (fit.fit, fit_many.fit_many, estimate.estimate, update.update, merge.merge,
              rollback.rollback),
    "Clean": (audit.audit, clean.clean),
    "Use": (predict.predict, watch.watch, serve.serve, export.export, threshold.threshold,
            info.info, verify.verify),
    "Measure": (evaluate.evaluate, benchmark.benchmark, report.report, datasets.datasets,
                demo.demo),
}  # fmt: skip


class _Command(Command):
    """A subcommand that takes no empty arguments, and says that it was interrupted."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, or raise UsageError."""
        check_arguments(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run it; typer would end without a word where Ctrl-C does."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _fail("interrupted", INTERRUPTED)


for panel, commands in PANELS.items():
    for command in commands:
        name = command.__name__.replace("_", "-")
        app.command(name, cls=_Command, rich_help_panel=panel)(in_ranges(command))


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


def run() -> None:
    """Run the command, all but what becomes of Ctrl-C."""
    any_character(sys.stdout, sys.stderr)
    # Oversized pictures are refused with our own message; Pillow's extra warning says less.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    warnings.showwarning = _show_warning
    try:
        app()
    except Exception as error:
        # A library that is there but finds no room looks as if it were missing.
        clear = isinstance(error, SoftPatchError) and not isinstance(error, MissingExtraError)
        if not clear and is_out_of_memory(error):
            _fail(
                f"out of memory{memory_needed(error)}; use fewer pictures, a smaller "
                "--coreset-ratio or --resize",
                1,
            )
        if not isinstance(error, SoftPatchError | OSError):
            raise
        _fail(*last_words(error))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Ours in one line, without the place in the code; others as ever."""
    if category.__module__.startswith("softpatch."):
        note(str(message))
    else:
        words = warnings.formatwarning(message, category, filename, lineno, line)
        print(words, end="", file=file or sys.stderr)


def _fail(message: str, code: int) -> NoReturn:
    fail(message)
    sys.exit(code)
