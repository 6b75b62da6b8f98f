"""What every detector does: fit / predict / save / load around a method's own two steps."""

from __future__ import annotations

import hashlib
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict, Unpack

import torch
from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors.estimate import PROBE_IMAGES, Estimate, FitCost, memory_and_scratch
from softpatch.detectors.patch_table import TrainingPatches
from softpatch.errors import DatasetError, ImageError, ModelFileError, NotFittedError, UsageError
from softpatch.features.cache import cached_maps
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import configure
from softpatch.images.preprocessing import Preprocessing
from softpatch.images.roi import RegionOfInterest, Tile, tiles_of
from softpatch.images.sources import (
    Images,
    OnUnreadable,
    fail_unreadable,
    ignore_unreadable,
    image_sources,
    is_single_image,
    listed_sources,
    prefetch,
    warn_unreadable,
)
from softpatch.predictions.anomaly_map import image_score, tiled_anomaly_map
from softpatch.runtime.prediction import Prediction
from softpatch.runtime.tiling import TileLayout
from softpatch.storage import model_file
from softpatch.storage.checkpoint import Checkpoint, of_the_fit
from softpatch.storage.lineage import Lineage


class CommonOptions(TypedDict, total=False):
    """Options every detector takes; what is not given comes from the preset.

    Attributes:
        preset: ``edge`` (default), ``paper`` or ``dino``.
        backbone, layers, weights, embedding, dimension, resize, crop, tile, precision: see
            ``FeatureConfig``; sizes are one number or (height, width).
        roi: the region of interest, as ``RegionOfInterest`` takes it: a mask picture, white where
            training and scoring look. Everywhere if None.
        seed: of every random draw.
        device: ``auto`` (default: CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1`` ...;
            of the run, not of the model: it does not enter the model file.
        batch_size: pictures the backbone sees at once; likewise, and results do not depend on it.
        memory_limit: bytes the process may have resident while it fits; what does not fit goes
            to temporary files. Likewise. Half of the available memory if None.
    """

    preset: str
    backbone: str | None
    layers: tuple[str, ...] | None
    weights: str | None
    embedding: str | None
    dimension: int | None
    resize: int | tuple[int, int] | None
    crop: int | tuple[int, int] | None
    tile: int | tuple[int, int] | None
    roi: Any
    precision: str | None
    seed: int
    device: str
    batch_size: int | None
    memory_limit: int | None


FEATURE_OPTIONS = (
    "backbone", "layers", "weights", "embedding", "dimension", "resize", "crop", "tile",
    "precision",
)  # fmt: skip
NORMAL_SHARE = 0.99  # of training patches, see Detector.normal_limit_


class Detector(ABC):
    """Base of SoftPatch, PatchCore and PaDiM.

    Attributes after ``fit``:
        image_names_: names of the training pictures, in order.
        skipped_: an ``ImageError`` for each training picture that could not be read.
        normal_limit_: the patch score that 99 % of the training patches stay below, those of
            pictures more likely bad than good left out where the method can tell; the fixed point
            of heat-map colours.
        lineage_: which version of a model this is, and of which models it was made.
        threshold_: pictures with a larger score are called anomalous; None calls none so. May be
            set at any time.
    """

    method: ClassVar[str]  # the name in model files

    def __init__(self, **options: Unpack[CommonOptions]) -> None:
        unknown = set(options) - set(CommonOptions.__annotations__)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no option {sorted(unknown)[0]!r}")
        features = {name: options.get(name) for name in FEATURE_OPTIONS}
        self.features = configure(options.get("preset", "edge"), **features)
        roi = options.get("roi")
        self.roi = None if roi is None else RegionOfInterest(roi)
        self.seed = options.get("seed", 0)
        self.device = _device(options.get("device", "auto"))
        # On 2 cores efficientnet_lite0 takes 12 ms an image in fours, 18 one by one.
        batch_size = options.get("batch_size")
        if batch_size is None:
            batch_size = 4 if self.device.type == "cpu" else 32
        self.batch_size = batch_size
        if self.batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {self.batch_size}")
        self.memory_limit = options.get("memory_limit")
        if self.memory_limit is not None and self.memory_limit < 1:
            raise UsageError(f"memory_limit must be at least 1 byte, got {self.memory_limit}")
        self.image_names_: list[str] = []
        self.skipped_: list[ImageError] = []
        self.normal_limit_ = 0.0
        self.lineage_ = Lineage()
        self.threshold_: float | None = None
        self._extractor: PatchExtractor | None = None
        self._layouts: list[TileLayout] = []  # of the pictures that were collected last
        self._checkpoint: Checkpoint | None = None  # of the fit, until the model is saved
        self._steps: Checkpoint | None = None  # of the fit that is running
        self._fitted = False

    # -- what a method adds ------------------------------------------------------------------

    @abstractmethod
    def _fit(
        self, patches: Tensor, image_index: Tensor, workspace: ScratchSpace, progress: Progress
    ) -> None:
        """Learn from training patches and set ``normal_limit_``.

        Args:
            patches: ``(M, P, D)``, of M pictures at P positions; or, where tiled pictures have
                different sizes, of M tiles. They may be spilled: only parts of them may be
                copied, and other arrays of such a size come from the workspace, too.
            image_index: ``(M,)`` int64, the index in ``image_names_`` of the picture each is from.
            workspace: see above.
            progress: see ``fit``.
        """

    @abstractmethod
    def _score(self, patches: Tensor) -> Tensor:
        """``(B, P, D)`` -> ``(B, P)`` patch scores, at least 0."""

    @abstractmethod
    def _parameters(self) -> dict[str, Any]:
        """The method's own constructor arguments, for the model file."""

    @abstractmethod
    def _state(self) -> dict[str, Tensor]:
        """All fitted tensors, for the model file."""

    @abstractmethod
    def _restore(self, state: dict[str, Tensor]) -> None:
        """Take back what ``_state`` gave; KeyError or ValueError if it does not fit."""

    @abstractmethod
    def _foresee(self, sample: Tensor, images: int) -> FitCost:
        """What ``_fit`` will take on that many pictures like those of the ``(m, P, D)`` sample."""

    def _image_scores(self, patches: Tensor, scores: Tensor) -> Tensor:
        """``(B, P, D)`` patches and their ``(B, P)`` scores -> ``(B,)`` image scores.

        The worst patch decides, whatever the patches are; PatchCore's re-weighting overrides it.
        """
        del patches
        return image_score(scores)

    # -- the public face ---------------------------------------------------------------------

    def fit(
        self,
        images: Images,
        *,
        checkpoint: str | Path | None = None,
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
    ) -> Self:
        """Learn what is normal from pictures of which most are.

        Args:
            images: a folder, paths, arrays, PIL images, tensors or a torch Dataset; see
                ``read_image`` for the shapes and dtypes.
            checkpoint: a folder that keeps what is finished, until ``save``; a fit that was
                killed goes on with it and learns the same, bit for bit.
            on_unreadable: called for every picture that cannot be read, which is then skipped
                and listed in ``skipped_``; ``fail_unreadable`` stops instead.
            progress: called as ``progress(step, done, total)``.

        Returns:
            itself.

        Raises:
            DatasetError: no readable pictures, or fewer than the method needs.
            UsageError: options that do not fit the backbone or the number of pictures; or a
                ``checkpoint`` that holds other files.
            ScratchError: no room for the checkpoint or the temporary files of a large fit.
        """
        self._fitted = False  # until all of the new state is there
        note = self._noting(on_unreadable)
        self._get_extractor()  # in memory before the workspace looks at what is left
        self._checkpoint = None if checkpoint is None else Checkpoint(Path(checkpoint))
        workspace = ScratchSpace(self.memory_limit, self.device)
        self._steps = self._checkpoint
        with torch.inference_mode():
            patches, image_index, self.image_names_ = self._collect(
                images, workspace, note, progress
            )
            options = (self.method, self.seed, self._parameters())
            self._steps = of_the_fit(self._checkpoint, patches, image_index, options)
            self._fit(patches, image_index, workspace, progress)
        self._steps = None
        self.lineage_ = Lineage()
        self._fitted = True
        return self

    def estimate(self, images: Images) -> Estimate:
        """Foresee what ``fit`` will take, from eight of the pictures; takes a few seconds.

        Args:
            images: as in ``fit``; all of one size, or tiles cannot be counted. Unreadable ones
                are passed over.

        Raises:
            DatasetError: none of the eight can be read.
        """
        every = listed_sources(images)
        probed = [
            every[at]
            for at in sorted({i * len(every) // PROBE_IMAGES for i in range(PROBE_IMAGES)})
        ]
        with torch.inference_mode():
            workspace = ScratchSpace(self.memory_limit, self.device)
            self._collect(probed[:1] * 2, workspace, ignore_unreadable, silent)  # warms up
            started = time.perf_counter()
            sample, _, names = self._collect(probed, workspace, ignore_unreadable, silent)
            embed = (time.perf_counter() - started) / len(names)
            foreseen = self._foresee(sample, len(every))
        patches = sample.shape[0] * sample.shape[1] * len(every) // len(names)
        bytes_of_patches = 4 * patches * sample.shape[2]
        memory, scratch = memory_and_scratch(
            [bytes_of_patches, *foreseen.arrays], self.memory_limit
        )
        return Estimate(
            images=len(every),
            patches=patches,
            seconds={"embed": embed * len(every), **foreseen.seconds},
            memory=memory,
            scratch=scratch,
            model=foreseen.model,
        )

    def predict(self, images: Images, *, on_unreadable: OnUnreadable = warn_unreadable) -> Any:
        """Score pictures.

        Args:
            images: one picture, or a collection as in ``fit``.
            on_unreadable: as in ``fit``; a single unreadable picture is always an error.

        Returns:
            one ``Prediction`` for one picture; a lazy iterator of them, in order, for a folder or
            a collection, so that ten thousand fit in memory.

        Raises:
            NotFittedError: before ``fit``.
            ImageError: a single picture that cannot be read.
        """
        self._require_fitted()
        if is_single_image(images):
            return next(self._predict(images, fail_unreadable))
        return self._predict(images, on_unreadable)

    def save(self, path: str | Path) -> None:
        """Write the model file (see ``model_file``): all of the fitted state, no code.

        The checkpoint of the fit, if it had one, is removed afterwards.

        Raises:
            NotFittedError: before ``fit``.
            ModelFileError: the file cannot be written.
        """
        model_file.write(Path(path), *self._content())
        if self._checkpoint is not None:
            self._checkpoint.remove()
            self._checkpoint = None

    def digest(self) -> str:
        """The sha256 of the file that ``save`` would write."""
        return hashlib.sha256(model_file.content(*self._content())).hexdigest()

    def _content(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Header and tensors of the model file."""
        if not self._fitted:
            raise NotFittedError(f"{type(self).__name__} has to be fitted before it is saved")
        backbone = self._get_extractor().backbone
        header = {
            "method": self.method,
            "features": vars(self.features),
            "parameters": {"seed": self.seed, **self._parameters()},
            "preprocessing": vars(self.preprocessing),
            "backbone": {
                "name": backbone.name,
                "layers": backbone.layers,
                "sha256": backbone.weights_hash,
            },
            "images": self.image_names_,
            "normal_limit": self.normal_limit_,
            "threshold": self.threshold_,
            **self.lineage_.to_header(),
        }
        state = self._state()
        if self.roi is not None:
            state["roi"] = self.roi.mask
        return header, state

    @classmethod
    def _load(
        cls, path: Path, header: dict[str, Any], state: dict[str, Tensor], run: dict[str, Any]
    ) -> Self:
        """Rebuild from a model file's content; used by ``softpatch.load``."""
        weights = run.pop("weights", None)
        cls(**run)  # wrong options of the run are not the file's fault
        try:
            features = dict(header["features"])
            if weights is not None:
                features["weights"] = weights
            roi = state.pop("roi", None)
            detector = cls(**features, **header["parameters"], roi=roi, **run)
            detector.image_names_ = [str(name) for name in header["images"]]
            detector.normal_limit_ = header["normal_limit"]
            if not 0 <= detector.normal_limit_ < float("inf"):
                raise ValueError("the normal limit is no score")
            detector.lineage_ = Lineage.from_header(header)
            threshold = header.get("threshold")
            detector.threshold_ = None if threshold is None else float(threshold)
            if not 0 <= (detector.threshold_ or 0.0) < float("inf"):
                raise ValueError("the threshold is no score")
            detector._restore({key: value.to(detector.device) for key, value in state.items()})
            expected = str(header["backbone"]["sha256"])
            stored = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in header["preprocessing"].items()
            }
            if {"tile": None, **stored} != vars(detector.preprocessing):
                raise ValueError("features and preprocessing do not agree")
        except (
            KeyError, IndexError, AttributeError, TypeError, ValueError, OverflowError,
            RuntimeError, ImageError,
        ) as error:  # fmt: skip
            raise ModelFileError(f"{path}: damaged model file ({error})") from error
        backbone = detector._get_extractor().backbone
        if backbone.weights_hash != expected:
            raise ModelFileError(
                f"{path}: was fitted with other weights of {backbone.name} than the ones here; "
                "give the same ones with --weights FILE, or fit again"
            )
        detector._fitted = True
        return detector

    @classmethod
    def option_names(cls) -> set[str]:
        """Every constructor argument, the common ones included."""
        own = inspect.signature(cls.__init__).parameters
        return (set(own) - {"self", "options"}) | set(CommonOptions.__annotations__)

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes network input; loads the backbone on first use."""
        return self._get_extractor().preprocessing

    # -- the shared steps --------------------------------------------------------------------

    def share_extractor(self, extractor: PatchExtractor) -> None:
        """Take patches from an extractor that other detectors use too, instead of building one."""
        if extractor.config != self.features or extractor.device != self.device:
            raise UsageError("the extractor to share was made for other features")
        self._extractor = extractor

    def _get_extractor(self) -> PatchExtractor:
        """The backbone is loaded when it is first needed."""
        if self._extractor is None:
            self._extractor = PatchExtractor(self.features, self.device)
        return self._extractor

    def _require_fitted(self) -> None:
        if not self._fitted:
            raise NotFittedError(f"{type(self).__name__} has to be fitted or loaded first")

    def _noting(self, on_unreadable: OnUnreadable) -> OnUnreadable:
        """Begin ``skipped_`` anew, and list what goes to ``on_unreadable`` there."""
        self.skipped_ = []

        def note(error: ImageError) -> None:
            self.skipped_.append(error)
            on_unreadable(error)

        return note

    def _collect(
        self,
        images: Images,
        workspace: ScratchSpace,
        on_unreadable: OnUnreadable,
        progress: Progress,
        least: int = 2,
    ) -> tuple[Tensor, Tensor, list[str]]:
        """Embed the training pictures: what ``_fit`` takes, and their names."""
        extractor = self._get_extractor()
        sources = listed_sources(images)
        collected = TrainingPatches(
            workspace, len(sources), extractor.positions, extractor.dimension
        )
        extract = cached_maps(extractor, self._steps)
        for views, batch in self._embed(sources, on_unreadable, extract):
            for view, patches in zip(views, batch, strict=True):
                collected.add(view, patches)
            progress("embed", len(collected.names), len(sources))
        self._check_enough(collected.names, least)
        self._layouts = collected.layouts
        return *collected.by_position(), collected.names

    def _check_enough(self, names: list[str], least: int) -> None:
        if len(names) < least:
            raise DatasetError(
                f"{len(names)} readable training pictures ({len(self.skipped_)} "
                f"skipped); at least {least} {'is' if least == 1 else 'are'} needed"
            )

    def _embed(
        self,
        images: Any,
        on_unreadable: OnUnreadable,
        extract: Callable[[Tensor], Tensor] | None = None,
    ) -> Iterator[tuple[list[Tile], Tensor]]:
        """Yield views and their ``(b, P, D)`` patches batch by batch.

        The last batch is filled up, unless there are fewer pictures than one batch takes: the last
        bits of a picture alone differ from those of one among others (2 threads, 112 pixels), and
        what a picture's patches are must not depend on how many there are, nor on who embeds it.
        """
        extractor = self._get_extractor()
        extract = extract or extractor
        preprocessing = extractor.preprocessing
        few = isinstance(images, Sized) and len(images) < self.batch_size
        views: list[Tile] = []
        batch: list[Tensor] = []
        for source, size, picture in prefetch(
            images, preprocessing, on_unreadable, preprocessing.min_decode_side
        ):
            for view in tiles_of(
                source.name, preprocessing.layout(*size), self.roi, extractor.grid
            ):
                views.append(view)
                batch.append(picture[view.number])
                if len(batch) == self.batch_size:
                    yield views, extract(torch.stack(batch)).flatten(1, 2)
                    views, batch = [], []
        if batch:
            count = len(batch)
            batch += [] if few else [batch[-1]] * (self.batch_size - count)
            yield views, extract(torch.stack(batch))[:count].flatten(1, 2)

    def _predict(self, images: Images, on_unreadable: OnUnreadable) -> Iterator[Prediction]:
        scored: list[tuple[Tile, Tensor, float]] = []  # of the picture that is not complete yet
        for views, patches in self._embed(image_sources(images), on_unreadable):
            with torch.inference_mode():
                parts = self._score_views(views, patches)
            for view, part in zip(views, parts, strict=True):
                scored.append((view, *part))
                if view.last:
                    yield self._prediction(scored)
                    scored = []

    def _score_views(self, views: list[Tile], patches: Tensor) -> list[tuple[Tensor, float]]:
        """``(b, P, D)`` -> every view's patch scores, inside the region, and its own score."""
        if self.roi is None:
            scores = self._score(patches)  # (b, P)
            return list(zip(scores, self._image_scores(patches, scores).tolist(), strict=True))
        parts = []
        for view, one in zip(views, patches, strict=True):
            seen = one[view.inside].unsqueeze(0)  # (P, D) -> (1, P inside, D)
            scores = self._score(seen)
            parts.append((scores[0], float(self._image_scores(seen, scores))))
        return parts

    @torch.inference_mode()
    def _prediction(self, scored: list[tuple[Tile, Tensor, float]]) -> Prediction:
        """One picture's record from its scored views."""
        view = scored[0][0]
        layout = view.layout
        grid = self._get_extractor().grid
        canvas = scored[0][1].new_zeros(len(layout.tiles), grid[0] * grid[1])
        for part, scores, _ in scored:
            canvas[part.number, ... if part.inside is None else part.inside] = scores
        heat = tiled_anomaly_map(canvas.view(-1, *grid), layout)
        if self.roi is not None and view.region is not None:
            # Means over the patches inside alone, up to the region's edge and not beyond it.
            weight = tiled_anomaly_map(view.region.to(canvas).view(-1, *grid), layout)
            within = self.roi.frame(layout).to(heat.device) & (weight > 0)
            heat = torch.where(within, heat / weight, 0)
        # The view of the worst patch speaks for the picture.
        worst = max(scored, key=lambda part: float(part[1].max()))
        return Prediction(
            view.name,
            worst[2],
            heat.cpu().numpy(),
            (layout.rows.side, layout.columns.side),
            layout.box,
            self.threshold_,
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no device is called {name!r}; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available here; use --device cpu")
    return device
