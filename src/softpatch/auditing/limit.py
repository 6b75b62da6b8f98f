"""The training pictures that a model's limit rests on: a look at these tells most about it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from softpatch.calling.looks import LOOKS, to_look_at
from softpatch.errors import UsageError
from softpatch.storage.lineage import image_digests
from softpatch.storage.model_bytes import read_array, read_header


def limit_rests_on(model: Path, paths: Iterable[str], count: int = LOOKS) -> list[str]:
    """Which of the pictures to look at first, see ``softpatch.calling.looks``.

    Pictures are known by their content, as the model has their digests; those of models without
    digests, and only these, by their paths.

    Args:
        model: a model file; nothing but what it knows of its training pictures is read.
        paths: of pictures that may be among these.
        count: how many, at most.

    Raises:
        ModelFileError: it cannot be read.
        UsageError: its limit rests on no training pictures, or on none of these, if there are any.
    """
    header = read_header(model)
    try:
        scores, images = read_array(model, "held_out"), read_array(model, "held_out_of")[:, 0]
    except KeyError:
        raise UsageError(
            f"{model}: its training pictures were not scored for a limit; fit with "
            "--max-false-alarms"
        ) from None
    digests = header.get("digests") or [None] * len(header["images"])
    looked_at = np.isin(images, header.get("known_good", []))
    order = [int(images[at]) for at in to_look_at(scores, looked_at, len(scores))]
    by_name = {str(Path(path).resolve()): path for path in paths}
    by_digest = dict(zip(image_digests(by_name.values()), by_name.values(), strict=True))
    found = [
        by_name.get(str(Path(header["images"][at]).resolve()))
        if digests[at] is None
        else by_digest.get(digests[at])
        for at in order
    ]
    first = dict.fromkeys(found)  # copies of a picture are one to look at
    there = [path for path in list(first)[:count] if path is not None]
    if by_name and not there:
        raise UsageError(f"{model}: none of the pictures that its limit rests on is among these")
    return there
