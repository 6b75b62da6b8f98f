"""Large made-up pictures in tiles: time and peak memory against the limit that was given.

Every size has a process of its own. A board of dots, the same in every picture but for noise; the
last test picture has a scratch, and its heat map can be kept.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import command, hardware, peak_memory_mb, resident_mb
from benchmarks.processes import RESULTS, in_own_process, say, write_json
from softpatch.benchmark.machine import reset_peak

SIZES = ((4096, 4096), (2000, 8000))  # (height, width)
TRAINING = 6
TILE = 512
LIMIT = 2_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training", type=int, default=TRAINING)
    parser.add_argument("--keep", type=Path, help="folder for the heat maps")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "tiles.json")
    parser.add_argument("--size", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.size:
        print(json.dumps(measure(tuple(arguments.size), arguments.training, arguments.keep)))
        return
    keep = ["--keep", str(arguments.keep)] if arguments.keep else []
    sizes = []
    for size in SIZES:
        say(f"== {size[1]} x {size[0]} pixels")
        own = ["--training", str(arguments.training), "--size", *map(str, size)]
        sizes.append(in_own_process("benchmarks.tiles", *own, *keep))
        say(f"   {json.dumps(sizes[-1])}")
    result = {"command": command("benchmarks.tiles"), "hardware": hardware(), "sizes": sizes}
    write_json(arguments.output, result)


def measure(size: tuple[int, int], training: int, keep: Path | None) -> dict[str, Any]:
    from softpatch import SoftPatch
    from softpatch.predictions.overlays import overlay

    model = SoftPatch(tile=TILE, memory_limit=LIMIT, max_false_alarms=None)
    views = model.preprocessing.layout(*size).tiles  # loads the network
    before = resident_mb()
    reset_peak()
    started = time.perf_counter()
    model.fit([lambda index=index: board(size, index) for index in range(training)])
    fitted = time.perf_counter()
    good, bad = board(size, training), scratched(board(size, training + 1))
    predictions = [model.predict(picture) for picture in (good, bad)]
    predicted = time.perf_counter()
    peak = peak_memory_mb()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        drawn = overlay(bad, predictions[1], model.normal_limit_)
        drawn.save(keep / f"{size[1]}x{size[0]}.png")
    return {
        "height": size[0],
        "width": size[1],
        "tiles": len(views),
        "images": training,
        "fit_seconds": fitted - started,
        "predict_seconds": (predicted - fitted) / 2,
        "memory_limit_mb": LIMIT / 1e6,
        "memory_before_fit_mb": before,
        "peak_memory_mb": peak,
        "good_score": predictions[0].score,
        "scratched_score": predictions[1].score,
    }


def board(size: tuple[int, int], index: int) -> npt.NDArray[np.uint8]:
    height, width = size
    down = np.sin(np.arange(height, dtype=np.float32) / 20)[:, None]
    across = np.sin(np.arange(width, dtype=np.float32) / 20)[None, :]
    dots = (120 + 60 * (down * across > 0.3)).astype(np.uint8)
    noise = np.random.default_rng(index).integers(0, 25, size=size, dtype=np.uint8)
    return np.repeat((dots + noise)[:, :, None], 3, axis=2)


def scratched(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = picture.shape[:2]
    for step in range(400):
        row, column = height // 3 + step // 2, width // 2 + step
        picture[row : row + 12, column : column + 12] = (230, 40, 40)
    return picture


if __name__ == "__main__":
    main()
