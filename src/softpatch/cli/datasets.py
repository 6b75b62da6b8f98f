"""``softpatch datasets``: which data sets can be read, and what is on this disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from softpatch.cli.options import argument, flag, option
from softpatch.cli.terminal import progress_bars, say, show_table
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.datasets import Layout


def datasets(
    roots: list[Path] | None = argument(
        "Folders to look at, one for each data set; or elpv, which is a package.", None
    ),
    layout: str | None = option("Read the folders in this layout.  [recognised]"),
    show: str | None = option("Show how this layout lies on disk.", metavar="LAYOUT"),
    as_json: bool = flag("--json", "As JSON, no bars."),
) -> None:
    """List the layouts that can be read, or what is found in ROOTS and what is wrong with it.

    Examples:
    softpatch datasets

    softpatch datasets --show visa

    softpatch datasets mvtec/ btad/ elpv
    """
    from softpatch.datasets import LAYOUTS, open_dataset, survey

    if layout is not None and not roots:
        raise UsageError("--layout goes with folders to look at")
    if show is not None:
        if roots:
            raise UsageError("--show shows a layout, without folders")
        if show not in LAYOUTS:
            raise UsageError(f"no layout is called {show!r}; there are {', '.join(LAYOUTS)}")
        _show_layout(LAYOUTS[show], as_json)
    elif not roots:
        _list_layouts(list(LAYOUTS.values()), as_json)
    else:
        opened = [open_dataset(root, layout) for root in roots]
        if as_json:
            typer.echo(json.dumps([survey(dataset) for dataset in opened]))
            return
        for dataset in opened:
            with progress_bars() as progress:
                found = survey(dataset, progress)
            _show_survey(found, dataset.layout)


def _show_survey(found: dict[str, Any], layout: Layout) -> None:
    from softpatch.datasets.check import COUNTS

    rows = (
        (row["category"], *("-" if row[key] is None else str(row[key]) for key in COUNTS))
        for row in found["categories"]
    )
    columns = ("category", "train", "test good", "defective", "with mask")
    show_table(f"{found['root']}: layout {layout.name}", columns, rows, numbers=1)
    here = {row["category"] for row in found["categories"]}
    absent = [name for name in layout.categories if name not in here]
    if 0 < len(absent) < len(layout.categories):  # a user's own parts may have this layout, too
        say(f"of {layout.title}, not here: {', '.join(absent)}")
    for row in found["categories"]:
        for problem in row["problems"]:
            say(f"{row['category']}: {problem}")


def _list_layouts(layouts: list[Layout], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([_described(layout) for layout in layouts]))
        return
    rows = []
    for layout in layouts:
        count = f"{len(layout.categories)}: " if len(layout.categories) > 1 else ""
        names = ", ".join(layout.categories) or "any"
        rows.append((layout.name, layout.title, layout.licence, count + names))
    show_table("", ("layout", "data set", "licence", "categories"), rows)
    say("softpatch datasets --show LAYOUT shows the tree; softpatch datasets ROOT what is there")


def _show_layout(layout: Layout, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_described(layout)))
        return
    say(f"{layout.title}, licence: {layout.licence}")
    if layout.url:
        say(layout.url)
    if layout.package is not None:
        say(
            f"comes with pip install 'softpatch[{layout.package.extra}]', "
            f"and is then opened by its name: softpatch datasets {layout.name}"
        )
    say(f"split: {layout.split}")
    if layout.categories:
        say(f"categories: {', '.join(layout.categories)}")
    say("")
    for line in layout.tree.splitlines():
        say(line)


def _described(layout: Layout) -> dict[str, Any]:
    keys = ("name", "title", "licence", "url", "categories", "split", "tree")
    extra = layout.package.extra if layout.package is not None else None
    return {key: getattr(layout, key) for key in keys} | {"extra": extra}
