"""Spellings of the version before, accepted with a note for one version; then this file goes."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from softpatch.cli.terminal import note

OPTIONS = {("watch", "--out"): "--output", ("audit", "--rule"): "--discriminator"}
NAMES = {
    "fused": "lof-distance",
    "anywhere": "position-free",
    "softpatch-fused": "softpatch-lof-distance",
    "softpatch-anywhere": "softpatch-position-free",
}
NAMED_BY = ("--method", "--methods", "--discriminator")
ARGUMENTS = "softpatch.arguments"  # where a command finds its own in the new spelling


class Command(TyperCommand):
    """A subcommand that also takes old spellings, which its help does not show."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments in the new spelling."""
        name = str(self.name)
        given: list[str] = []
        for position, argument in enumerate(args):
            if argument == "--":
                given += args[position:]
                break
            option, equals, value = argument.partition("=")
            new = OPTIONS.get((name, option), option)
            _note(option, new)
            if equals and new in NAMED_BY:
                value = _current_names(value)
            elif given and given[-1] in NAMED_BY:
                new = _current_names(new)
            given.append(f"{new}{equals}{value}")
        if name == "fit-many":
            given = self._with_report_dir(ctx, given)
        ctx.meta[ARGUMENTS] = given
        return super().parse_args(ctx, given.copy())  # it empties the list

    def _with_report_dir(self, ctx: Any, given: list[str]) -> list[str]:
        """``--report`` took a folder, which is an argument too many since it is a flag."""
        for position, argument in enumerate(given):
            option, equals, _ = argument.partition("=")
            if option == "--report":
                new = given.copy()
                new[position] = f"--report-dir{argument.removeprefix(option)}"
                if equals or self.make_parser(ctx).parse_args(given.copy())[1]:
                    _note("--report FOLDER", "--report-dir FOLDER")
                    return new
        return given


def _current_names(names: str) -> str:
    """Methods or discriminators, separated by commas, by their new names."""
    old = [name.strip() for name in names.split(",")]
    new = [NAMES.get(name, name) for name in old]
    for pair in zip(old, new, strict=True):
        _note(*pair)
    return ",".join(new) if new != old else names


def _note(old: str, new: str) -> None:
    if new != old:
        note(f"{old} is called {new} now; the old spelling goes with the next version")
