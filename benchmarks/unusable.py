"""Which pictures a model would not judge: those of test sets as they are, and good ones spoiled.

Nothing is fitted, as only what whole pictures look like counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from benchmarks.markdown import table, text
from benchmarks.pictures import DATA
from softpatch.datasets import Category, open_dataset
from softpatch.images.decode import decode_image, decode_reduced
from softpatch.runtime.appearance import AREA, Appearance, UsualAppearance

SETS = ("mvtec_bottle", "magnetic_tile", "mvtec_screw_512", "kolektor_sdd")
FEW, DRAWS = 5, 50  # training pictures, and how often so few are drawn
MOST, SPOILED = 150, 12  # pictures of a kind, and good ones that are spoiled

Levels = npt.NDArray[np.float64]  # (H, W, 3), 0..255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--categories", nargs="+", default=SETS)
    options = parser.parse_args()
    dataset = open_dataset(options.data)
    columns = [measured(dataset.read(name)) for name in options.categories]
    rows = [
        {"pictures": name, **{str(place): one[name] for place, one in enumerate(columns)}}
        for name in columns[0]
    ]
    headings = {"not judged of": text("pictures")}
    headings |= {name: text(str(place)) for place, name in enumerate(options.categories)}
    print(table(headings, rows))


def measured(category: Category) -> dict[str, str]:
    """How many pictures of a set are not judged, by kind."""
    good = [sample for sample in category.test if not sample.defective]
    train, good_ones, bad = (
        some([sample.path for sample in samples], MOST)
        for samples in (category.train, good, category.defects)
    )
    known = [decode_reduced(path, str(path), None).appearance() for path in train]
    test = [decode_reduced(path, str(path), None).appearance() for path in good_ones + bad]
    random = np.random.default_rng(0)
    draws = [
        UsualAppearance.of([known[place] for place in random.permutation(len(known))[:FEW]])
        for _ in range(DRAWS)
    ]
    usual = UsualAppearance.of(known)
    found = {
        f"good and bad test pictures, {FEW} learned from": share(draws, test),
        "the same, all learned from": share([usual], test),
    }
    for kind, spoil in SPOILS.items():
        spoiled = [of_values(spoil(values_of(path), random)) for path in some(good_ones, SPOILED)]
        found[kind] = share([usual], spoiled)
    return found


def share(usual: Sequence[UsualAppearance], pictures: Sequence[Appearance]) -> str:
    refused = [one.why_unusable(picture) is not None for one in usual for picture in pictures]
    return f"{np.mean(refused):.0%}"


def some(paths: list[Path], most: int) -> list[Path]:
    return paths[:: max(1, -(-len(paths) // most))]


def values_of(path: Path) -> Levels:
    return decode_image(path, str(path)).permute(1, 2, 0).numpy().astype(np.float64)


def of_values(values: Levels) -> Appearance:
    levels = np.rint(values.clip(0, 255)).astype(np.uint8)
    return Appearance.of(levels, levels.shape[:2], deep=False)


def noise(values: Levels, random: np.random.Generator, mean: float, deviation: float) -> Levels:
    return random.normal(mean, deviation, values.shape)


def scaled(values: Levels, random: np.random.Generator, factor: float) -> Levels:
    return values * factor + random.normal(0, 1, values.shape)


def blurred(values: Levels, random: np.random.Generator, sigma: float) -> Levels:
    """By as many of the pixels at which a picture is looked at."""
    del random
    image = Image.fromarray(values.astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(sigma * scale(values))), np.float64)


def moved(values: Levels, random: np.random.Generator, length: float) -> Levels:
    """While it was exposed, by as many of these pixels to the right."""
    del random
    count = round(length * scale(values))
    sums = np.pad(values, ((0, 0), (count, 0), (0, 0)), mode="edge").cumsum(axis=1)
    moving: Levels = (sums[:, count:] - sums[:, :-count]) / count
    return moving


def cut(values: Levels, random: np.random.Generator, share: float) -> Levels:
    """Without what comes last in the file."""
    del random
    left = values.copy()
    left[round(len(values) * (1 - share)) :] = 128
    return left


def scale(values: Levels) -> float:
    return max(1.0, float(np.sqrt(values.shape[0] * values.shape[1] / AREA)))


def with_(spoil: Callable[..., Levels], *amounts: float) -> Callable[..., Levels]:
    return lambda values, random: spoil(values, random, *amounts)


SPOILS: dict[str, Callable[[Levels, np.random.Generator], Levels]] = {
    "lens cap on": with_(noise, 4, 2),
    "a third as bright": with_(scaled, 1 / 3),
    "an eighth as bright": with_(scaled, 1 / 8),
    "3 times as bright": with_(scaled, 3),
    "8 times as bright": with_(scaled, 8),
    "white": with_(noise, 252, 2),
    "one grey": with_(noise, 128, 0),
    "blurred by 1 pixel": with_(blurred, 1),
    "blurred by 2 pixels": with_(blurred, 2),
    "blurred by 4 pixels": with_(blurred, 4),
    "moved by 5 pixels": with_(moved, 5),
    "moved by 11 pixels": with_(moved, 11),
    "cut by a tenth": with_(cut, 0.1),
    "cut by a quarter": with_(cut, 0.25),
    "cut by half": with_(cut, 0.5),
}

if __name__ == "__main__":
    main()
