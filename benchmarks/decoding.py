"""Large JPEG photographs decoded whole and at a fraction: time, and what it does to the scores.

The pictures are the category's, enlarged to a camera's size and saved as JPEG.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from benchmarks.pictures import DATA, PAPER, training_and_test
from softpatch import SoftPatch
from softpatch.images.decode import decode_reduced

SIZE = (4000, 3000)
QUALITY = 92
COUNT = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA / "mvtec_bottle")
    folder = parser.parse_args().data
    train, test = training_and_test(folder, COUNT)
    model = SoftPatch(**PAPER).fit(train)
    enough = model.preprocessing.min_decode_side
    with tempfile.TemporaryDirectory() as scratch:
        photographs = [enlarged(path, Path(scratch)) for path in test]
        whole = median_ms(lambda path: decode_reduced(path, str(path), None), photographs)
        part = median_ms(lambda path: decode_reduced(path, str(path), enough), photographs)
        changes = []
        for path in photographs:
            picture, *_ = decode_reduced(path, str(path), None)
            scores = model.predict(path).score, model.predict(picture).score
            changes.append(abs(scores[0] / scores[1] - 1))
    print(f"whole {whole:.0f} ms, reduced {part:.0f} ms, ratio {whole / part:.1f}")
    print(f"scores change by {statistics.median(changes):.2%}, at most {max(changes):.2%}")


def enlarged(path: Path, folder: Path) -> Path:
    target = folder / f"{len(list(folder.iterdir()))}.jpg"
    with Image.open(path) as picture:
        large = picture.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
    large.save(target, quality=QUALITY)
    return target


def median_ms(work: Callable[[Path], object], paths: list[Path]) -> float:
    took = []
    for path in paths:
        started = time.perf_counter()
        work(path)
        took.append(1000 * (time.perf_counter() - started))
    return statistics.median(took)


if __name__ == "__main__":
    main()
