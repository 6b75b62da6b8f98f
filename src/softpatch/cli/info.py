"""``softpatch info``: what is in a model file, without loading its backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from softpatch.cli.terminal import stdout


def info(
    model: Annotated[Path, typer.Argument(help="A file written by softpatch fit.")],
    as_json: Annotated[bool, typer.Option("--json", help="The whole header as JSON.")] = False,
) -> None:
    """Show what MODEL is: method, backbone, parameters, training pictures.

    Example:
    softpatch info part.softpatch
    """
    from rich.markup import escape
    from rich.table import Table

    from softpatch.storage import model_file
    from softpatch.storage.versions import kept_versions, lineage_of

    header, state = model_file.read(model)
    if as_json:
        tensors = {key: list(tensor.shape) for key, tensor in state.items()}
        typer.echo(json.dumps({**header, "tensors": tensors}))
        return
    table = Table("", "", title=escape(str(model)), show_header=False)
    table.add_row("method", escape(str(header.get("method"))))
    for section in ("backbone", "features", "parameters", "preprocessing"):
        content = header.get(section)
        for key, value in content.items() if isinstance(content, dict) else ():
            table.add_row(f"{section} {key}", escape(str(value)))
    if "alignment" in state:
        table.add_row("alignment", f"{float(state['alignment']):.0%}")
    table.add_row("threshold", escape(str(header.get("threshold") or "none")))
    lineage = lineage_of(model)
    table.add_row("version", str(lineage.version))
    for parent in lineage.parents:
        table.add_row("made from", parent)
    if lineage.added:
        table.add_row("pictures added", str(lineage.added))
    if kept := kept_versions(model):
        table.add_row("versions kept", ", ".join(map(str, kept)))
    table.add_row("training pictures", str(len(header.get("images", []))))
    for key, tensor in state.items():
        table.add_row(f"tensor {key}", f"{tuple(tensor.shape)} {str(tensor.dtype)[6:]}")
    table.add_row("file size", f"{model.stat().st_size / 1e6:.1f} MB")
    stdout().print(table)
