"""``softpatch verify``: are model files and exports still what was written?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer

from softpatch.cli.options import argument
from softpatch.cli.terminal import say
from softpatch.errors import ModelFileError, SoftPatchError

EXPORTS = (".onnx", ".xml")
FOUND = (".softpatch", ".drift", *EXPORTS)  # in folders


def verify(
    files: list[Path] = argument("Models, exported models, and folders of them."),
) -> None:
    """Check FILES for damage, by the checksums in them; one line a file.

    Of a folder, such as PART.softpatch.versions or that of softpatch fit-many, all models in it are
    checked. Exit code 1 if any is damaged, missing or no model.

    Examples:
    softpatch verify part.softpatch part.softpatch.versions/

    softpatch verify part.onnx models/
    """
    damaged = False
    for given in files:
        for file in _models(given):
            try:
                say(f"{file}: {_state(file)}")
            except (SoftPatchError, OSError) as error:
                damaged = True
                say(
                    str(error) if isinstance(error, SoftPatchError) else f"{file}: {error.strerror}"
                )
    if damaged:
        raise typer.Exit(1)


def _models(given: Path) -> Iterator[Path]:
    if not given.is_dir():
        yield given
        return
    inside = (path for path in sorted(given.rglob("*")) if path.suffix in FOUND and path.is_file())
    shown = [path for path in inside if "/." not in f"/{path.relative_to(given).as_posix()}"]
    yield from shown or [given]


def _state(file: Path) -> str:
    """That it is intact, or as good as can be told; SoftPatchError if it is not."""
    if file.is_dir():
        raise ModelFileError(f"{file}: no models in this folder")
    if file.suffix in EXPORTS:
        from softpatch.runtime.engine import open_model
        from softpatch.runtime.exported import read_exported

        checked = read_exported(file).checked
        if not checked:
            open_model(file)
    else:
        from softpatch.storage import model_file
        from softpatch.storage.versions import lineage_of

        model_file.read(file)
        lineage_of(file)
        checked = model_file.has_checksums(file)
    return "intact" if checked else "can be read; has no checksums, as an earlier version wrote it"
