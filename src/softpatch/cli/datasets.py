"""``softpatch datasets``: which data sets can be read, and what is on this disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softpatch.cli.terminal import progress_bars, stdout
from softpatch.errors import DatasetError

if TYPE_CHECKING:
    from softpatch.compute.progress import Progress
    from softpatch.datasets import Dataset, Layout

COUNTS = ("train", "good", "defective", "masked")


def datasets(
    roots: Annotated[
        list[Path] | None, typer.Argument(help="Folders to look at, one for each data set.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Read the folders in this layout.  [recognised]")
    ] = None,
    show: Annotated[
        str | None, typer.Option(metavar="LAYOUT", help="Show how this layout lies on disk.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, no bars.")] = False,
) -> None:
    """List the layouts that can be read, or what is found in ROOTS and what is wrong with it.

    Examples:
    softpatch datasets

    softpatch datasets --show visa

    softpatch datasets mvtec/ btad/
    """
    from softpatch.compute.progress import silent
    from softpatch.datasets import LAYOUTS, open_dataset
    from softpatch.errors import UsageError

    if show is not None:
        if show not in LAYOUTS:
            raise UsageError(f"no layout is called {show!r}; there are {', '.join(LAYOUTS)}")
        _show_layout(LAYOUTS[show], as_json)
    elif not roots:
        _list_layouts(list(LAYOUTS.values()), as_json)
    else:
        opened = [open_dataset(root, layout) for root in roots]
        if as_json:
            typer.echo(json.dumps([_survey(dataset, silent) for dataset in opened]))
            return
        for dataset in opened:
            with progress_bars() as progress:
                survey = _survey(dataset, progress)
            _show_survey(survey, dataset.layout)


def _survey(dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """What is in a data set; a category that cannot be read has its reason as its problem."""
    from softpatch.datasets import find_problems

    categories: list[dict[str, Any]] = []
    row: dict[str, Any]
    for done, name in enumerate(dataset.categories, start=1):
        try:
            category = dataset.read(name)
        except DatasetError as error:
            row = {**dict.fromkeys(COUNTS), "problems": [str(error)]}
        else:
            defects = category.defects
            row = {
                "train": len(category.train),
                "good": len(category.test) - len(defects),
                "defective": len(defects),
                "masked": sum(bool(sample.masks) for sample in defects),
                "problems": find_problems(category),
            }
        categories.append({"category": name, **row})
        progress("checking", done, len(dataset.categories))
    return {
        "root": str(dataset.root), "layout": dataset.layout.name, "categories": categories,
    }  # fmt: skip


def _show_survey(survey: dict[str, Any], layout: Layout) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{survey['root']}: layout {layout.name}"))
    table.add_column("category")
    for heading in ("train", "test good", "defective", "with mask"):
        table.add_column(heading, justify="right")
    for row in survey["categories"]:
        numbers = ("-" if row[key] is None else str(row[key]) for key in COUNTS)
        table.add_row(escape(row["category"]), *numbers)
    stdout().print(table)
    here = {row["category"] for row in survey["categories"]}
    absent = [name for name in layout.categories if name not in here]
    if 0 < len(absent) < len(layout.categories):  # one's own parts may lie in this layout too
        _say(f"of {layout.title}, not here: {', '.join(absent)}")
    for row in survey["categories"]:
        for problem in row["problems"]:
            _say(f"{row['category']}: {problem}")


def _list_layouts(layouts: list[Layout], as_json: bool) -> None:
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps([_described(layout) for layout in layouts]))
        return
    table = Table("layout", "data set", "licence", "categories")
    for layout in layouts:
        count = f"{len(layout.categories)}: " if len(layout.categories) > 1 else ""
        names = ", ".join(layout.categories) or "any"
        table.add_row(layout.name, layout.title, layout.licence, count + names)
    stdout().print(table)
    _say("softpatch datasets --show LAYOUT shows the tree; softpatch datasets ROOT what is there")


def _show_layout(layout: Layout, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_described(layout)))
        return
    _say(f"{layout.title}, licence: {layout.licence}")
    if layout.url:
        _say(layout.url)
    _say(f"split: {layout.split}")
    if layout.categories:
        _say(f"categories: {', '.join(layout.categories)}")
    _say("")
    _say(layout.tree)


def _described(layout: Layout) -> dict[str, Any]:
    keys = ("name", "title", "licence", "url", "categories", "split", "tree")
    return {key: getattr(layout, key) for key in keys}


def _say(text: str) -> None:
    stdout().print(text, markup=False, highlight=False, soft_wrap=True)
