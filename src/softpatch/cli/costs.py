"""What limits of a model cost, in parts that people count in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softpatch.calling.costs import costs_of
from softpatch.calling.threshold import counting, threshold_without_labels
from softpatch.calling.words import PARTS, rounded
from softpatch.cli.known import BAD
from softpatch.cli.terminal import say, show_table
from softpatch.errors import ModelFileError, NotFittedError
from softpatch.storage.model_bytes import damaged, read_array, read_header

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating]


def show_costs(model: Path) -> None:
    """What limits of a model cost; its network, which takes long and torch, is not loaded.

    Raises:
        NotFittedError: its training pictures were not scored.
        ModelFileError: it cannot be read.
    """
    header = read_header(model)
    try:
        scores = read_array(model, "held_out")
    except KeyError:
        raise NotFittedError(
            f"{model}: its training pictures were not scored for a threshold, so that what a limit "
            "costs is not known; give --validation, or fit with --max-false-alarms"
        ) from None
    try:
        own, asked = header.get("threshold"), header["parameters"].get("max_false_alarms")
        named = {} if own is None else {float(own): "the model's"}
        known_good = None
        if header.get("known_good"):
            known_good = np.isin(read_array(model, "held_out_of")[:, 0], header["known_good"])
        good = scores[counting(scores, known_good)]
        chosen = threshold_without_labels(scores, asked, known_good) if asked else None
        if chosen is not None and chosen.value == own:  # else it was set otherwise
            images = read_array(model, "held_out_of")[:, 0].tolist()
            said = chosen.told([header["images"][at] for at in images])
        else:
            said = []
    except (LookupError, TypeError, ValueError) as error:  # a file may hold anything
        raise ModelFileError(damaged(model, "what it holds of the threshold")) from error
    show_table_of_costs(good, named, {})
    for line in said:
        say(line)


def show_table_of_costs(
    good: Floats, named: Mapping[float, str], known: Mapping[str, Floats]
) -> None:
    """What limits cost.

    Args:
        good: held-out scores of training pictures, ascending; there may be none.
        named: limits to have in the table, and what they are.
        known: scores of pictures, by what they are known as.
    """
    costs = costs_of(good, tuple(named))
    columns, title = ["limit"], "What a limit costs"
    if len(good):
        columns.append(f"good pictures stopped, of {PARTS:,}")
        title += f", by {len(good)} training pictures, each scored without itself"
    for label, scores in known.items():
        columns.append(f"{label} {'found' if label == BAD else 'stopped'}, of {len(scores)} known")
    rows = []
    for cost in costs:
        cells = [rounded(cost.limit)]
        if cost.expected is not None:
            parts = f"{round(PARTS * cost.expected)}"
            cells.append(f"{parts} or fewer" if cost.least else f"about {parts}")
        cells += [str((scores > cost.limit).sum()) for scores in known.values()]
        rows.append([named.get(cost.limit, ""), *cells])
    show_table(title, ["", *columns], rows, numbers=1)
