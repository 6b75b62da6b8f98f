"""``softpatch info``: what is in a model file, without loading its backbone."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from softpatch.cli import options
from softpatch.cli.options import flag
from softpatch.cli.terminal import show_table


def info(
    model: Path = options.MODEL,
    as_json: bool = flag("--json", "The whole header as JSON."),
) -> None:
    """Show what MODEL is: method, backbone, parameters, training pictures.

    Example:
    softpatch info part.softpatch
    """
    from softpatch.bank.floor_rule import FloorRule
    from softpatch.storage.model_bytes import read_array, read_checked
    from softpatch.storage.versions import kept_versions, lineage_in

    contents = read_checked(model)
    header, checked = contents.header, contents.checksums is not None
    if as_json:
        tensors = {name: list(place.shape) for name, place in contents.places.items()}
        typer.echo(json.dumps({**header, "tensors": tensors, "checksums": checked}))
        return
    rows = [("method", header["method"])]
    for section in ("backbone", "features", "parameters", "preprocessing"):
        rows += [(f"{section} {key}", str(value)) for key, value in header[section].items()]
    if "floors" in contents.places:
        rank, near, spread, spacing = read_array(model, "floors").tolist()
        rows.append(("a good patch needs", str(FloorRule(int(rank), bool(near), spread))))
        rows.append(("spacing of the bank", f"{spacing:.4g}"))
    threshold = header.get("threshold")
    rows.append(("threshold", "none" if threshold is None else str(threshold)))
    look = header.get("look")
    without_use = look is not None and threshold is not None and look >= threshold
    words = ", without effect, as it is not below the threshold"
    rows.append(("look limit", "none" if look is None else f"{look}{words if without_use else ''}"))
    lineage = lineage_in(model, header)
    rows.append(("version", str(lineage.version)))
    rows += [("made from", parent) for parent in lineage.parents]
    if lineage.added:
        rows.append(("pictures added", str(lineage.added)))
    if kept := kept_versions(model):
        rows.append(("versions kept", ", ".join(map(str, kept))))
    rows.append(("training pictures", str(len(header["images"]))))
    for name, place in contents.places.items():
        rows.append((f"tensor {name}", f"{place.shape} {place.dtype}"))
    words = "right" if checked else "none, as an earlier version wrote the file"
    rows.append(("checksums", words))
    rows.append(("file size", f"{model.stat().st_size / 1e6:.1f} MB"))
    show_table(str(model), ("", ""), rows)
