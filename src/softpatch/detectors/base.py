"""What every detector does: fit / predict / save / load around a method's own two steps."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict, Unpack

import torch
from torch import Tensor

from softpatch import model_file
from softpatch.anomaly_map import anomaly_map, image_score
from softpatch.errors import DatasetError, ImageError, ModelFileError, NotFittedError, UsageError
from softpatch.features.extractor import PatchExtractor, configure
from softpatch.images import (
    Images,
    OnUnreadable,
    fail_unreadable,
    image_sources,
    is_single_image,
    prefetch,
    warn_unreadable,
)
from softpatch.memory import Workspace
from softpatch.prediction import Prediction
from softpatch.preprocessing import Preprocessing
from softpatch.progress import Progress, silent


class CommonOptions(TypedDict, total=False):
    """Options every detector takes; what is not given comes from the preset.

    Attributes:
        preset: ``edge`` (default), ``paper`` or ``dino``.
        backbone, layers, weights, embedding, dimension, resize, crop, precision: see
            ``FeatureConfig``; sizes are one number or (height, width).
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
    precision: str | None
    seed: int
    device: str
    batch_size: int | None
    memory_limit: int | None


FEATURE_OPTIONS = (
    "backbone", "layers", "weights", "embedding", "dimension", "resize", "crop", "precision",
)  # fmt: skip
NORMAL_SHARE = 0.99  # of training patches, see Detector.normal_limit_


class Detector(ABC):
    """Base of SoftPatch, PatchCore and PaDiM.

    Attributes after ``fit``:
        images_: names of the training pictures, in order.
        skipped_: an ``ImageError`` for each training picture that could not be read.
        normal_limit_: the patch score that 99 % of the training patches stay below; the fixed
            point of heat-map colours.
    """

    method: ClassVar[str]  # the name in model files

    def __init__(self, **options: Unpack[CommonOptions]) -> None:
        unknown = set(options) - set(CommonOptions.__annotations__)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no option {sorted(unknown)[0]!r}")
        features = {name: options.get(name) for name in FEATURE_OPTIONS}
        self.features = configure(options.get("preset", "edge"), **features)
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
        self.images_: list[str] = []
        self.skipped_: list[ImageError] = []
        self.normal_limit_ = 0.0
        self._extractor: PatchExtractor | None = None
        self._fitted = False

    # -- what a method adds ------------------------------------------------------------------

    @abstractmethod
    def _fit(self, patches: Tensor, workspace: Workspace, progress: Progress) -> None:
        """Learn from ``(N, P, D)`` training patches and set ``normal_limit_``.

        They may be spilled: only parts of them may be copied, and other arrays of such a size
        come from the workspace, too.
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
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
    ) -> Self:
        """Learn what is normal from pictures of which most are.

        Args:
            images: a folder, paths, arrays, PIL images, tensors or a torch Dataset; see
                ``read_image`` for the shapes and dtypes.
            on_unreadable: called for every picture that cannot be read, which is then skipped
                and listed in ``skipped_``; ``fail_unreadable`` stops instead.
            progress: called as ``progress(step, done, total)``.

        Returns:
            itself.

        Raises:
            DatasetError: no readable pictures, or fewer than the method needs.
            UsageError: options that do not fit the backbone or the number of pictures.
            ScratchError: no room for the temporary files of a large fit.
        """
        self._fitted = False  # until all of the new state is there
        self.skipped_ = []

        def note(error: ImageError) -> None:
            self.skipped_.append(error)
            on_unreadable(error)

        self._get_extractor()  # in memory before the workspace looks at what is left
        workspace = Workspace(self.memory_limit, self.device)
        with torch.inference_mode():
            patches = self._collect(images, workspace, note, progress)
            self._fit(patches, workspace, progress)
        self._fitted = True
        return self

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
        if not self._fitted:
            raise NotFittedError(f"{type(self).__name__} has to be fitted or loaded first")
        if is_single_image(images):
            return next(self._predict(images, fail_unreadable))
        return self._predict(images, on_unreadable)

    def save(self, path: str | Path) -> None:
        """Write the model file (see ``model_file``): all of the fitted state, no code.

        Raises:
            NotFittedError: before ``fit``.
            ModelFileError: the file cannot be written.
        """
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
            "images": self.images_,
            "normal_limit": self.normal_limit_,
        }
        model_file.write(Path(path), header, self._state())

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
            detector = cls(**features, **header["parameters"], **run)
            detector.images_ = [str(name) for name in header["images"]]
            detector.normal_limit_ = header["normal_limit"]
            if not 0 <= detector.normal_limit_ < float("inf"):
                raise ValueError("the normal limit is no score")
            detector._restore({key: value.to(detector.device) for key, value in state.items()})
            expected = str(header["backbone"]["sha256"])
            stored = {key: tuple(value) for key, value in header["preprocessing"].items()}
            if stored != vars(detector.preprocessing):
                raise ValueError("features and preprocessing do not agree")
        except (
            KeyError, IndexError, AttributeError, TypeError, ValueError, OverflowError,
            RuntimeError,
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

    def _collect(
        self, images: Images, workspace: Workspace, on_unreadable: OnUnreadable, progress: Progress
    ) -> Tensor:
        """Embed the training pictures: ``(N, P, D)``; sets ``images_``."""
        extractor = self._get_extractor()
        sources = image_sources(images)
        if not isinstance(sources, Sized):
            sources = list(sources)
        self.images_ = []
        patches = workspace.empty(len(sources), extractor.positions, extractor.dimension)
        for names, _, batch in self._embed(sources, on_unreadable):
            patches[len(self.images_) :][: len(names)] = batch
            self.images_ += names
            progress("embed", len(self.images_), len(sources))
        if len(self.images_) < 2:
            raise DatasetError(
                f"{len(self.images_)} readable training pictures ({len(self.skipped_)} skipped); "
                "at least 2 are needed"
            )
        return patches[: len(self.images_)]

    def _embed(
        self, images: Any, on_unreadable: OnUnreadable
    ) -> Iterator[tuple[list[str], list[tuple[int, int]], Tensor]]:
        """Yield names, sizes and ``(b, P, D)`` patches batch by batch."""
        extractor = self._get_extractor()
        names: list[str] = []
        sizes: list[tuple[int, int]] = []
        batch: list[Tensor] = []
        for source, size, picture in prefetch(images, extractor.preprocessing, on_unreadable):
            names.append(source.name)
            sizes.append(size)
            batch.append(picture)
            if len(batch) == self.batch_size:
                yield names, sizes, extractor(torch.stack(batch)).flatten(1, 2)
                names, sizes, batch = [], [], []
        if batch:
            yield names, sizes, extractor(torch.stack(batch)).flatten(1, 2)

    def _predict(self, images: Images, on_unreadable: OnUnreadable) -> Iterator[Prediction]:
        preprocessing = self.preprocessing
        for names, sizes, patches in self._embed(image_sources(images), on_unreadable):
            with torch.inference_mode():
                scores = self._score(patches)  # (B, P)
                worst = self._image_scores(patches, scores).tolist()
                grid = scores.view(-1, *self._get_extractor().grid)  # (B, P) -> (B, h, w)
                maps = anomaly_map(grid, preprocessing.crop).cpu().numpy()
            for name, size, score, heat in zip(names, sizes, worst, maps, strict=True):
                yield Prediction(name, score, heat, size, preprocessing.box(*size))


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
