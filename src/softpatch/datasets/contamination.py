"""Contaminating a clean training set with defective test pictures (METHOD: contamination)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from softpatch.datasets.samples import Category, Sample
from softpatch.errors import DatasetError, UsageError
from softpatch.files import write_atomically
from softpatch.images import ImageSource, read_image

# The released code's augmentation of injected pictures.
MAX_ROTATION = 10.0  # degrees
MAX_SHIFT = 0.05  # of the picture's width and height
SCALES = (0.95, 1.05)


@dataclass(frozen=True)
class Contamination:
    """A training set with known bad pictures in it, and what is left to test on.

    Attributes:
        category: the data set it was drawn from.
        noise: injected pictures as a share of the clean ones.
        overlap: whether the injected pictures stay in the test set: the hard case, since the
            same defect recurs.
        seed: of the draw.
        injected: the defective pictures added to ``category.train``.
        test: the test pictures.
        augment: whether injected pictures are randomly rotated, shifted, scaled and flipped.
    """

    category: Category
    noise: float
    overlap: bool
    seed: int
    injected: tuple[Sample, ...]
    augment: bool = False

    @property
    def policy(self) -> str:
        """``overlap`` or ``no-overlap``."""
        return "overlap" if self.overlap else "no-overlap"

    @property
    def test(self) -> tuple[Sample, ...]:
        """The test pictures under the policy."""
        if self.overlap:
            return self.category.test
        injected = set(self.injected)
        return tuple(sample for sample in self.category.test if sample not in injected)

    @property
    def train(self) -> list[ImageSource]:
        """All training pictures, the injected ones last."""
        clean = [ImageSource(str(sample.path), sample.path) for sample in self.category.train]
        return clean + [
            ImageSource(
                str(sample.path),
                partial(_augmented, sample.path, self.seed, index) if self.augment else sample.path,
            )
            for index, sample in enumerate(self.injected)
        ]

    def write_manifest(self, path: Path) -> None:
        """Write down the draw so that ``read_manifest`` can repeat it anywhere."""
        manifest = {
            "category": self.category.name,
            "noise": self.noise,
            "policy": self.policy,
            "seed": self.seed,
            "augment": self.augment,
            "n_clean": len(self.category.train),
            "injected": [
                sample.path.relative_to(self.category.folder).as_posix() for sample in self.injected
            ],
        }
        write_atomically(path, (json.dumps(manifest, indent=2) + "\n").encode())


def contaminate(
    category: Category, noise: float, *, overlap: bool, seed: int, augment: bool = False
) -> Contamination:
    """Draw ``int(noise * N_clean)`` defective test pictures.

    Raises:
        UsageError: a noise ratio below 0.
        DatasetError: fewer defective pictures than needed; the message names the largest ratio.
    """
    if not 0 <= noise < float("inf"):
        raise UsageError(f"the noise ratio must be at least 0, got {noise}")
    clean, defects = len(category.train), category.defects
    count = int(noise * clean + 1e-9)  # 0.29 * 100 is 28.999999999999996
    if count > len(defects):
        raise DatasetError(
            f"{category.name}: noise {noise:g} needs {count} defective pictures of {len(defects)}; "
            f"the largest possible ratio is {np.floor(len(defects) / clean * 1e4) / 1e4:g}"
        )
    drawn = np.random.default_rng(seed).permutation(len(defects))[:count]
    injected = tuple(defects[index] for index in sorted(drawn))
    return Contamination(category, noise, overlap, seed, injected, augment)


def read_manifest(path: Path, category: Category) -> Contamination:
    """Repeat a draw from its manifest.

    Raises:
        DatasetError: the manifest is damaged, or of another data set.
    """
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        names, clean = manifest["injected"], manifest["n_clean"]
        noise, seed = float(manifest["noise"]), int(manifest["seed"])
        overlap = {"overlap": True, "no-overlap": False}[manifest["policy"]]
        augment = bool(manifest["augment"])
        if len(set(names)) != len(names) or not all(isinstance(name, str) for name in names):
            raise ValueError("injected pictures must be names, each once")
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such manifest") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{path}: not a contamination manifest ({error!r})") from error
    known = {
        sample.path.relative_to(category.folder).as_posix(): sample for sample in category.defects
    }
    if missing := [name for name in names if name not in known]:
        raise DatasetError(f"{path}: names {missing[0]}, which {category.folder} does not have")
    if clean != len(category.train):
        raise DatasetError(
            f"{path}: was drawn for {clean} clean pictures, {category.folder} has "
            f"{len(category.train)}"
        )
    injected = tuple(known[name] for name in names)
    return Contamination(category, noise, overlap, seed, injected, augment)


def _augmented(path: Path, seed: int, index: int) -> Image.Image:
    """The picture, rotated, shifted, scaled and perhaps flipped, borders mirrored."""
    random = np.random.default_rng((seed, index))
    pixels = read_image(path).permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3)
    picture = Image.fromarray((pixels * 255).round().astype(np.uint8))
    if random.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    width, height = picture.size
    margin = (width // 2, height // 2)
    mirrored = Image.fromarray(
        np.pad(np.asarray(picture), ((margin[1],) * 2, (margin[0],) * 2, (0, 0)), mode="symmetric")
    )
    angle = random.uniform(-MAX_ROTATION, MAX_ROTATION)
    scale = random.uniform(*SCALES)
    shift = random.uniform(-MAX_SHIFT, MAX_SHIFT, size=2) * (width, height)
    cos, sin = np.cos(np.radians(angle)) / scale, np.sin(np.radians(angle)) / scale
    x, y = mirrored.width / 2, mirrored.height / 2
    matrix = (
        cos, sin, x - cos * x - sin * y + shift[0],
        -sin, cos, y + sin * x - cos * y + shift[1],
    )  # fmt: skip
    turned = mirrored.transform(
        mirrored.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return turned.crop((margin[0], margin[1], margin[0] + width, margin[1] + height))
