"""An exported model that scores images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .appearance import Appearance, UsualAppearance
from .engine import open_model
from .errors import ImageError, UsageError, reason_of
from .images import read_levels
from .intensity import FULL, Intensity
from .listing import list_images
from .prediction import Prediction
from .tile_scores import score_tiles
from .tiling import TileLayout
from .verdict import Floats

One = str | Path | npt.NDArray[np.uint8]


def fail_unreadable(error: ImageError) -> None:
    """Stop at the first unreadable image (the default)."""
    raise error


class Detector:
    """What ``softpatch export`` wrote, ready to run.

    Attributes:
        metadata: of the model: method, parameters, backbone, threshold and so on.
        normal_limit: patch score that good training patches stay below; fixes heat-map colours.
        threshold: images that score above it are anomalous; None if the model has none.
        look: images that score above it, but not above the threshold, should be looked at; None if
            the model has none.
        reference: ``(n,)`` held-out scores of good training images, ascending; None in a model
            without.
        intensity: which values of images of more than 8 bits are black and white.
        appearance: what nearly all training images look like; None in exports of before.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        """Load an exported file.

        Args:
            path: ``.onnx``, or ``.xml`` with its ``.bin`` beside it.
            threads: that compute, at most 1024; the runtime chooses if None.

        Raises:
            ModelFileError: missing, foreign, newer, or its runtime is not installed.
            UsageError: no number of threads.
        """
        self._run, self.metadata = open_model(Path(path), threads)
        self.normal_limit: float = self.metadata["normal_limit"]
        self.threshold: float | None = self.metadata["threshold"]
        self.look: float | None = self.metadata.get("look")
        reference = self.metadata.get("reference")
        self.reference: Floats | None = None if reference is None else np.array(reference, float)
        self.intensity = Intensity(*self.metadata["preprocessing"].get("intensity", FULL))
        about = self.metadata.get("appearance")
        self.appearance = None if about is None else UsualAppearance.from_header(about)

    def predict(
        self, images: Any, *, on_unreadable: Callable[[ImageError], None] = fail_unreadable
    ) -> Any:
        """Score images.

        Args:
            images: a path, a uint8 array ``(H, W)`` or ``(H, W, 3|4)``, a folder, or several
                paths or arrays (an array ``(N, H, W, 3)`` among them).
            on_unreadable: called for each image of several that cannot be read.

        Returns:
            one ``Prediction`` for one image; for a folder or several a lazy iterator, in order.

        Raises:
            ImageError: a single image that cannot be read.
            DatasetError: a folder without images, or one that cannot be read.
            UsageError: what is no image.
        """
        if isinstance(images, str | Path):
            if not Path(images).is_dir():
                return self._predict_one(images, str(images))
            images = list_images(Path(images))
        elif isinstance(images, np.ndarray) and images.ndim < 4:
            return self._predict_one(images, "image 0")
        elif not isinstance(images, Iterable):
            raise UsageError(f"a {type(images).__name__} is no picture")
        return self._predict_all(images, on_unreadable)

    def _predict_all(
        self, images: Iterable[One], on_unreadable: Callable[[ImageError], None]
    ) -> Iterator[Prediction]:
        for index, one in enumerate(images):
            name = f"image {index}" if isinstance(one, np.ndarray) else str(one)
            try:
                prediction = self._predict_one(one, name)
            except ImageError as error:
                on_unreadable(error)
            except Exception as error:  # whatever it is, the other images go on
                on_unreadable(ImageError(name, reason_of(error)))
            else:
                yield prediction

    def _predict_one(self, content: One, name: str) -> Prediction:
        if isinstance(content, np.ndarray) and content.dtype != np.uint8:
            raise ImageError(name, f"{content.dtype} values; expected uint8")
        decoded = read_levels(content, name, self.metadata["enough"], self.intensity)
        levels, (height, width), remark = decoded.values, decoded.size, decoded.remark
        if self.appearance is not None and remark is None:
            window = self.metadata["window"]
            seen = Appearance.of(levels, decoded.size, decoded.deep, window)
            remark = self.appearance.check(name, seen)
        if self.metadata["box"] is None:  # with tiles it depends on the image's size
            preprocessing = self.metadata["preprocessing"]
            sides = (preprocessing[key] for key in ("tile", "resize", "crop"))
            layout = TileLayout.of((height, width), *sides)
            score, heat = score_tiles(self._run, levels, layout)
            box = layout.box
        else:
            outputs = self._run(levels[None])
            score, heat = float(outputs["score"][0]), outputs["map"][0]
            left, top, right, bottom = self.metadata["box"]
            box = (left * width, top * height, right * width, bottom * height)
        return Prediction(
            name, score, heat, (height, width), box, self.threshold, remark, self.intensity,
            self.look, self.reference,
        )  # fmt: skip
