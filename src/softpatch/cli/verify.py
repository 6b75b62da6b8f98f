"""``softpatch verify``: are model files and exports still what was written?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import typer

from softpatch.cli.options import argument
from softpatch.cli.terminal import say
from softpatch.errors import ModelFileError, SoftPatchError, reason_of
from softpatch.runtime.files import open_ordinary

EXPORTS = (".onnx", ".xml")
FOUND = (".softpatch", ".drift", *EXPORTS)  # in folders
ELEMENT = re.compile(rb"<([A-Za-z_][\w.-]*)")  # of XML, the first; that of OpenVINO is <net>


def verify(
    files: list[Path] = argument("Models, exported models, and folders of them."),
) -> None:
    """Check FILES for damage, by the checksums in them; one line a file.

    Of a folder, such as PART.softpatch.versions or that of softpatch fit-many, all models in it are
    checked, but for hidden ones. Exit code 1 if any is damaged, missing or no model, or a folder
    cannot be read or has none.

    Examples:
    softpatch verify part.softpatch part.softpatch.versions/

    softpatch verify part.onnx models/
    """
    damaged = False
    for given in files:
        unread: list[OSError] = []
        for file in _models(given, unread):
            try:
                say(f"{file}: {_state(file)}")
            except (SoftPatchError, OSError) as error:
                damaged = True
                ours = isinstance(error, SoftPatchError)
                say(str(error) if ours else f"{file}: {reason_of(error)}")
        for locked in unread:
            damaged = True
            say(f"{locked.filename}: {reason_of(locked)}")
    if damaged:
        raise typer.Exit(1)


def _models(given: Path, unread: list[OSError]) -> Iterator[Path]:
    """What to check: a file, or what a folder has by its names; the folder itself if that is none.

    ``unread`` takes the folders that cannot be read. Linked folders are followed, each folder once.
    """
    if not os.path.isdir(given):  # noqa: PTH112  # False where it may not be looked up
        yield given
        return
    seen, found = set[str](), False
    for here, folders, names in os.walk(given, onerror=unread.append, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = sorted(name for name in folders if real not in seen and name[0] != ".")
        for name in sorted(names) if real not in seen else ():
            if _is_model(Path(here, name)):
                found = True
                yield Path(here, name)
        seen.add(real)
    if not found and not unread:
        yield given


def _is_model(file: Path) -> bool:
    """Whether a file in a folder may be a model: by its name, and of XML, by what it begins with.

    Annotations, say, are XML, too. What has its weights beside it is a model, however damaged.
    """
    if file.suffix not in FOUND or file.name[0] == ".":
        return False
    if file.suffix != ".xml" or file.with_suffix(".bin").exists():
        return True
    try:
        with open_ordinary(file) as opened:
            first = ELEMENT.search(opened.read(4096))
    except OSError:  # which is told
        return True
    return first is None or first[1] == b"net"


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
        from softpatch.storage.model_bytes import read_checked
        from softpatch.storage.versions import lineage_in

        contents = read_checked(file)
        lineage_in(file, contents.header)
        checked = contents.checksums is not None
    return "intact" if checked else "can be read; has no checksums, as an earlier version wrote it"
