"""What every detector does: options, fit, predict and save around a method's own ``_learn``."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, Unpack, overload

import torch
from PIL import Image
from torch import Tensor, nn

from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors.calibration import Calibration
from softpatch.detectors.embedder import Embed, Embedder
from softpatch.detectors.estimate import Estimate, FitCost, estimate
from softpatch.detectors.options import DEFAULTS, FEATURE_OPTIONS, CommonOptions
from softpatch.detectors.patch_table import LocalPatches, PatchTable
from softpatch.detectors.predictor import Predictor
from softpatch.detectors.run import Run
from softpatch.errors import ImageError, NotFittedError, UsageError
from softpatch.features.backbones import backbone_name
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import FeatureConfig, configure
from softpatch.images.image_source import ImageSource
from softpatch.images.preprocessing import Preprocessing
from softpatch.images.roi import RegionOfInterest
from softpatch.images.shape import input_size
from softpatch.images.sources import (
    Images,
    OnUnreadable,
    fail_unreadable,
    image_sources,
    is_single_image,
    listed_sources,
    noting,
    warn_unreadable,
)
from softpatch.images.value_range import seen_intensity
from softpatch.ranges.table import RANGES, check
from softpatch.runtime.appearance import ENOUGH, UsualAppearance
from softpatch.runtime.intensity import FULL
from softpatch.runtime.prediction import Prediction
from softpatch.runtime.targets import check_target
from softpatch.storage import model_file
from softpatch.storage.checkpoint import Checkpoint, machine
from softpatch.storage.lineage import Lineage, image_digests
from softpatch.storage.targets import is_model

SHORT = (str, int, float, tuple, Path, type(None))  # options that a repr shows as they are


class Learned(Protocol):
    """What a fit leaves behind: a frozen dataclass."""

    @property
    def image_names(self) -> list[str]:
        """Of the training images, in order."""
        ...

    @property
    def calibration(self) -> Calibration:
        """What its scores mean."""
        ...

    def score(self, patches: Tensor) -> Tensor:
        """``(B, P, D)`` -> ``(B, P)`` patch scores, at least 0."""
        ...

    def image_scores(self, patches: Tensor, scores: Tensor) -> Tensor:
        """``(B, P, D)`` patches and their ``(B, P)`` scores -> ``(B,)`` image scores."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """All that a model file holds of it beside its header."""
        ...


class Detector(ABC):
    """Base of every method of ``METHODS``.

    Options are kept as given, so that ``get_params``, ``set_params`` and scikit-learn's ``clone``
    work. A method adds ``_learn``, ``_restored`` and ``_cost``.

    Attributes after ``fit``:
        image_names_: of the training images, in order.
        skipped_: an ``ImageError`` for each training image that could not be read.
        normal_limit_: the patch score that 99 % of the training patches stay below, those of
            images more likely bad than good left out where the method can tell; the fixed point
            of heat-map colours.
        threshold_: images with a larger score are called anomalous; None calls none so. May be
            set at any time after ``fit``.
        look_: images with a larger score, but none above ``threshold_``, should be looked at; None
            for no such verdict. May be set at any time after ``fit``.
        digests_: of the files of the training images, by which ``softpatch update`` knows them
            again; None for each that was none.
        lineage_: which version of a model this is, and of which models it was made.
        appearance_: what nearly all training images look like; None in models of before and
            of fewer than ``ENOUGH``, which say nothing about images that look otherwise.
    """

    method: ClassVar[str]  # the name in model files
    default_embedding: ClassVar[str | None] = None  # in place of the preset's

    def __init__(self, **options: Unpack[CommonOptions]) -> None:
        unknown = set(options) - set(CommonOptions.__annotations__)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no option {sorted(unknown)[0]!r}")
        given = {**DEFAULTS, **options}
        self._common = given
        backbone = given["backbone"]
        self._own_backbone = backbone if isinstance(backbone, nn.Module) else None
        features = {name: given[name] for name in FEATURE_OPTIONS}
        if isinstance(backbone, nn.Module):
            backbone = backbone_name(backbone)
        features["backbone"] = backbone
        if features["embedding"] is None:
            features["embedding"] = self.default_embedding
        self.features = self._as_given = configure(given["preset"], **features)
        # Sizes of one's own and those of papers stay as they are.
        sizes = (given[name] for name in ("resize", "crop", "tile"))
        self._fits_images = given["preset"] == "edge" and all(size is None for size in sizes)
        self._fits_values = given["intensity"] is None
        self.roi = None if given["roi"] is None else RegionOfInterest(given["roi"])
        self.seed: int = check("seed", given["seed"])
        self.device = _device(check("device", given["device"]))
        # On 2 cores efficientnet_lite0 takes 12 ms an image in fours, 18 one by one.
        usual = 4 if self.device.type == "cpu" else 32
        self.batch_size: int = check("batch_size", given["batch_size"]) or usual
        self.memory_limit: int | None = check("memory_limit", given["memory_limit"])
        self.skipped_: list[ImageError] = []
        self.lineage_ = Lineage()
        self.digests_: list[str | None] = []
        self.appearance_: UsualAppearance | None = None
        self._learned: Learned | None = None
        self._extractor: PatchExtractor | None = None
        self._checkpoint: Checkpoint | None = None  # of the fit, until the model is saved

    # -- what a method adds ------------------------------------------------------------------

    @abstractmethod
    def _learn(self, table: PatchTable, run: Run) -> Learned:
        """What there is to know of the training patches, at least two images' of them.

        The table may be spilled to files or be on a cluster: only parts of it may be copied, and
        other arrays as large come from ``run.scratch``.
        """

    @abstractmethod
    def _restored(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> Learned:
        """What ``tensors()`` gave; KeyError, TypeError or ValueError if it does not fit."""

    @abstractmethod
    def _cost(self, sample: LocalPatches, images: int) -> FitCost:
        """What ``_learn`` will take on that many images like those of the sample."""

    # -- options -----------------------------------------------------------------------------

    @classmethod
    def option_names(cls) -> set[str]:
        """Every constructor argument, the common ones included."""
        return {*cls._own_options(), *CommonOptions.__annotations__}

    @classmethod
    def _own_options(cls) -> dict[str, Any]:
        """The method's own constructor arguments and their defaults."""
        parameters = inspect.signature(cls.__init__).parameters
        return {
            name: parameter.default
            for name, parameter in parameters.items()
            if name not in ("self", "options")
        }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All options, as given; ``deep`` is there for scikit-learn."""
        del deep
        return {name: getattr(self, name) for name in self._own_options()} | self._common

    def set_params(self, **params: Any) -> Self:
        """Change options; the detector has to be fitted again.

        Raises:
            UsageError: an option it does not have, or a value that is wrong; nothing is changed.
        """
        for name in params:
            if name not in self.option_names():
                raise UsageError(f"{self.method} has no option {name!r}")
        changed = type(self)(**{**self.get_params(), **params})
        vars(self).clear()
        vars(self).update(vars(changed))
        return self

    def clone(self, **changes: Any) -> Self:
        """Another one, not fitted, with these options changed; it shares the network if it can."""
        other = type(self)(**{**self.get_params(), **changes})
        same = other._own_backbone is self._own_backbone and other.device == self.device
        if same and other._as_given == self._as_given:
            other.features, other._extractor = self.features, self._extractor
        return other

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn, which alone asks, needs to know of a pipeline's last step."""
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type="outlier_detector", target_tags=TargetTags(required=False))

    def __sklearn_is_fitted__(self) -> bool:
        return self._learned is not None

    def __repr__(self) -> str:
        usual = self._own_options() | DEFAULTS
        given = self.get_params().items()
        short = {name: value if isinstance(value, SHORT) else type(value) for name, value in given}
        changed = [f"{name}={one!r}" for name, one in short.items() if one != usual[name]]
        state = f"fitted on {len(self.image_names_)} images" if self._learned else "not fitted"
        return f"<{type(self).__name__}({', '.join(changed)}), {state}>"

    # -- fit, predict, save ------------------------------------------------------------------

    def fit(
        self,
        images: Images,
        y: object = None,
        *,
        embed: Embed = Embedder.collect,
        checkpoint: str | Path | None = None,
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
    ) -> Self:
        """Learn what is normal from images of which most are.

        Args:
            images: a folder, paths, arrays, PIL images, tensors or a torch Dataset; see
                ``read_image`` for the shapes and dtypes.
            y: ignored; scikit-learn's pipelines give it.
            embed: where the images become a table of patches: in this process, or on a cluster
                with ``softpatch.distributed.sharded_patches.OnCluster``.
            checkpoint: a folder that keeps what is finished, until ``save``; a fit that was
                killed goes on with it and learns the same, bit for bit.
            on_unreadable: called for every image that cannot be read, which is then skipped
                and listed in ``skipped_``; ``fail_unreadable`` stops instead.
            progress: called as ``progress(step, done, total)``.

        Returns:
            itself.

        Raises:
            DatasetError: no readable images, or fewer than the method needs.
            UsageError: options that do not fit the backbone or the number of images; or a
                ``checkpoint`` that holds other files.
            BusyError: another fit is using the checkpoint.
            ScratchError: no room for the checkpoint or the temporary files of a large fit.
        """
        del y
        self._learned, self.lineage_ = None, Lineage()  # until all of the new state is there
        note, self.skipped_ = noting(on_unreadable)
        sources = self._looked_at(images)
        self._see_values(sources)
        embedder = self.embedder  # in memory before the scratch space looks at what is left
        self._checkpoint = None if checkpoint is None else Checkpoint(Path(checkpoint))
        run = replace(self._run(progress), checkpoint=self._checkpoint)
        alone = nullcontext() if self._checkpoint is None else self._checkpoint.alone()
        with alone, torch.inference_mode():
            table = embed(embedder, sources, note, run)
            if self._checkpoint is not None and isinstance(table, LocalPatches):
                options = (self.method, self.seed, self._parameters())
                made_from = table.patches, table.image_index, options, *machine(self.device)
                run = replace(run, checkpoint=self._checkpoint.of(*made_from))
            self._learned = self._learn(table, run)
        looks = table.appearances
        self.appearance_ = UsualAppearance.of(looks) if len(looks) >= ENOUGH else None
        self.digests_ = image_digests(self.image_names_)
        return self

    def estimate(self, images: Images) -> Estimate:
        """Foresee what ``fit`` will take, from eight images that can be read; takes a few seconds.

        Args:
            images: as in ``fit``; all of one size, or tiles cannot be counted. Unreadable ones
                are passed over and counted.

        Raises:
            DatasetError: fewer than two can be read.
        """
        sources = self._looked_at(images)
        return estimate(self.embedder, sources, self._cost, self._run(silent))

    @overload
    def predict(
        self,
        images: Image.Image | bytes,
        *,
        on_unreadable: OnUnreadable = ...,
        refuse_unusable: bool = ...,
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        images: list[Any] | tuple[Any, ...],
        *,
        on_unreadable: OnUnreadable = ...,
        refuse_unusable: bool = ...,
    ) -> Iterator[Prediction]: ...
    @overload
    def predict(
        self, images: Images, *, on_unreadable: OnUnreadable = ..., refuse_unusable: bool = ...
    ) -> Any: ...

    def predict(
        self,
        images: Images,
        *,
        on_unreadable: OnUnreadable = warn_unreadable,
        refuse_unusable: bool = True,
    ) -> Any:
        """Score images.

        Args:
            images: one image, or a collection as in ``fit``. What a path or an array is only its
                content tells, and so its type here is ``Any``.
            on_unreadable: as in ``fit``; a single unreadable image is always an error.
            refuse_unusable: whether an image that is black, blown out, blurred or cut, as training
                images are not, counts as unreadable. If not, it is scored, with a ``remark``.

        Returns:
            one ``Prediction`` for one image; a lazy iterator of them, in order, for a folder or
            a collection, so that ten thousand fit in memory.

        Raises:
            NotFittedError: before ``fit``.
            ImageError: a single image that cannot be read.
        """
        learned, judge = self.learned_, None
        if self.appearance_ is not None:
            judge = self.appearance_.check if refuse_unusable else self.appearance_.remark
        predictor = Predictor(
            self.embedder, learned.score, learned.image_scores, learned.calibration, judge
        )
        if is_single_image(images):
            return next(predictor.predict(image_sources(images), fail_unreadable))
        return predictor.predict(image_sources(images), on_unreadable)

    def save(self, path: str | Path) -> None:
        """Write the model file (see ``model_file``): all of the fitted state, no code.

        The checkpoint of the fit, if it had one, is removed afterwards.

        Raises:
            NotFittedError: before ``fit``.
            ModelFileError: the file cannot be written.
            BusyError: another process is changing it.
            UsageError: there is something else than a model: a link, or another kind of file.
        """
        check_target(Path(path), is_model)
        model_file.write(Path(path), *self._content())
        if self._checkpoint is not None:
            self._checkpoint.remove()
            self._checkpoint = None

    def digest(self) -> str:
        """The sha256 of the file that ``save`` would write."""
        return hashlib.sha256(model_file.content(*self._content())).hexdigest()

    def described(self) -> dict[str, Any]:
        """Method, features and parameters as a model file names them."""
        return {
            "method": self.method,
            "features": _entries(self.extractor.config),
            "parameters": {"seed": self.seed, **self._parameters()},
        }

    def _content(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Header and tensors of the model file."""
        if (learned := self._learned) is None:
            raise NotFittedError(f"{type(self).__name__} has to be fitted before it is saved")
        backbone = self.extractor.backbone
        header = {
            **self.described(),
            "preprocessing": _entries(self.preprocessing),
            "backbone": {
                "name": backbone.name,
                "layers": backbone.layers,
                "sha256": backbone.weights_hash,
                **({} if self._own_backbone is None else {"own": True}),
            },
            "images": learned.image_names,
            "normal_limit": learned.calibration.normal_limit,
            "threshold": learned.calibration.threshold,
            "look": learned.calibration.look,
            "known_good": list(learned.calibration.known_good),
            "known_bad": list(learned.calibration.known_bad),
            "scale": learned.calibration.scale,
            **({"digests": self.digests_} if any(self.digests_) else {}),
            **({} if self.appearance_ is None else {"appearance": self.appearance_.to_header()}),
            **self.lineage_.to_header(),
        }
        tensors = learned.tensors()
        if self.roi is not None:
            tensors["roi"] = self.roi.mask
        return header, tensors

    def _parameters(self) -> dict[str, Any]:
        """The method's own options, for the model file."""
        own = {name: getattr(self, name) for name in self._own_options()}
        return {  # a grid of parameters may be of numpy's numbers, which JSON does not take
            name: check(name, one) if name in RANGES else one for name, one in own.items()
        }

    # -- what was learned --------------------------------------------------------------------

    @property
    def learned_(self) -> Learned:
        """The value that the fit has left; exports and merges are made of it.

        Raises:
            NotFittedError: before ``fit``; so do all attributes that a fit sets.
        """
        if self._learned is None:
            raise NotFittedError(f"{type(self).__name__} has to be fitted or loaded first")
        return self._learned

    @property
    def image_names_(self) -> list[str]:
        """See the class."""
        return list(self.learned_.image_names)

    @property
    def normal_limit_(self) -> float:
        """See the class."""
        return self.learned_.calibration.normal_limit

    @property
    def threshold_(self) -> float | None:
        """See the class."""
        return self.learned_.calibration.threshold

    @threshold_.setter
    def threshold_(self, value: float | None) -> None:
        score = check("threshold", value, "the threshold")
        self._recalibrate(threshold=None if score is None else float(score))

    @property
    def look_(self) -> float | None:
        """See the class."""
        return self.learned_.calibration.look

    @look_.setter
    def look_(self, value: float | None) -> None:
        score = check("threshold", value, "the look limit")
        self._recalibrate(look=None if score is None else float(score))

    def _recalibrate(self, **changes: Any) -> None:
        learned: Any = self.learned_
        self._learned = replace(learned, calibration=replace(learned.calibration, **changes))

    # -- parts -------------------------------------------------------------------------------

    @property
    def extractor(self) -> PatchExtractor:
        """Prepared images -> patches; the backbone is loaded when it is first needed."""
        if self._extractor is None:
            self._extractor = PatchExtractor(self.features, self.device, self._own_backbone)
        return self._extractor

    def share_extractor(self, extractor: PatchExtractor) -> None:
        """Take patches from an extractor that other detectors use too, instead of building one."""
        if extractor.config != self.features or extractor.device != self.device:
            raise UsageError("the extractor to share was made for other features")
        self._extractor = extractor

    def _looked_at(self, images: Images) -> Sequence[ImageSource]:
        """List the images to learn from, and choose the size of the network's input by theirs."""
        sources = listed_sources(images)
        if not self._fits_images:
            return sources
        size = input_size(sources, self._as_given.resize)
        if size != self.features.resize:
            # A network that takes squares alone, as some modules of one's own do, goes on so.
            with suppress(UsageError):
                self._extractor = self.extractor.resized(size)
                self.features = self._extractor.config
        return sources

    def _see_values(self, sources: Sequence[ImageSource]) -> None:
        """Take for black and white what suits all images to learn from, unless it was given."""
        if self._fits_values:
            intensity = seen_intensity(sources)
            if intensity != self.features.intensity:
                self._extractor = self.extractor.with_intensity(intensity)
                self.features = self._extractor.config

    @property
    def chosen_by_fit(self) -> frozenset[str]:
        """Names of the features that a fit chooses by its images."""
        sizes = ("resize", "crop") if self._fits_images else ()
        return frozenset({*sizes, "intensity"} if self._fits_values else sizes)

    @property
    def embedder(self) -> Embedder:
        """Images -> patches of their tiles."""
        return Embedder(self.extractor, self.roi, self.batch_size)

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes network input; loads the backbone on first use."""
        return self.extractor.preprocessing

    def _run(self, progress: Progress) -> Run:
        return Run(ScratchSpace(self.memory_limit, self.device), progress)


def _entries(record: FeatureConfig | Preprocessing) -> dict[str, Any]:
    """Of a model file, in which no intensity is that of 16 bits, as in files of before."""
    return {name: one for name, one in vars(record).items() if (name, one) != ("intensity", FULL)}


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available here; use --device cpu")
    return device
