"""The training and test pictures every benchmark works on, and how peers read them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softpatch.datasets import contaminate, read_category
from softpatch.images.preprocessing import Preprocessing
from softpatch.images.sources import fail_unreadable, image_sources, prefetch

NOISE = 0.1
DATA = Path(os.environ.get("SOFTPATCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
# The paper's method on its patches of 256 -> 224 pixels, not our defaults: results stay comparable.
PAPER: dict[str, Any] = {
    "discriminator": "lof", "embedding": "neighbourhood", "resize": 256, "crop": 224,
    "backbone": "efficientnet_lite0", "max_false_alarms": None,
}  # fmt: skip
# The preset as it was when the figures in docs/deploy.md and docs/audit.md were measured.
EARLIER: dict[str, Any] = {"backbone": "efficientnet_lite0", "resize": 224}
PREDICTED = 20  # test pictures timed one by one


def training_and_test(folder: Path, most: int) -> tuple[list[Path], list[Path]]:
    """The contaminated training pictures of a category, ``most`` of them, and some test ones."""
    contamination = contaminate(read_category(folder), NOISE, overlap=True, seed=0)
    train = [Path(source.name) for source in contamination.train]
    # Evenly over the list: its last pictures are the injected ones.
    train = train[:: max(1, -(-len(train) // most))]
    test = [sample.path for sample in contamination.test]
    return train, test[:: max(1, len(test) // PREDICTED)][:PREDICTED]


def read_batches(paths: list[Path], preprocessing: Preprocessing, size: int) -> Iterator[Tensor]:
    """``(size, 3, *crop)`` batches, read by our own threads ahead of the network.

    Peers get our reader, so that no ratio is about decoding pictures.
    """
    batch: list[Tensor] = []
    for _, _, picture, _ in prefetch(
        image_sources(paths), lambda picture: preprocessing(picture.image), fail_unreadable,
        preprocessing.min_decode_side,
    ):  # fmt: skip
        batch.append(picture)  # (1, 3, *crop): no tiles
        if len(batch) == size:
            yield torch.cat(batch)
            batch = []
    if batch:
        yield torch.cat(batch)
