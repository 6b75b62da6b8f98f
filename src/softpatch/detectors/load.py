"""Open a model file as the detector it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, overload

from torch import Tensor, nn

from softpatch.detectors.base import Detector
from softpatch.detectors.registry import METHODS
from softpatch.errors import (
    ImageError,
    ModelFileError,
    OutOfMemoryError,
    is_out_of_memory,
    memory_asked,
    memory_needed,
)
from softpatch.noise.discriminators import (
    OLD_NAMES,
    Discriminator,
    Unavailable,
    discriminator_name,
)
from softpatch.noise.policy import AUTO
from softpatch.runtime.appearance import UsualAppearance
from softpatch.runtime.intensity import FULL
from softpatch.storage import model_file
from softpatch.storage.lineage import Lineage

D = TypeVar("D", bound=Detector)
ABSURD = 1e12  # bytes; a header that asks for as much is damaged


@overload
def load(
    path: str | Path,
    kind: type[D],
    *,
    device: str = ...,
    weights: str | None = ...,
    batch_size: int | None = ...,
    discriminator: Discriminator | None = ...,
    backbone: nn.Module | None = ...,
) -> D: ...
@overload
def load(
    path: str | Path,
    *,
    device: str = ...,
    weights: str | None = ...,
    batch_size: int | None = ...,
    discriminator: Discriminator | None = ...,
    backbone: nn.Module | None = ...,
) -> Detector: ...


def load(
    path: str | Path,
    kind: type[Detector] = Detector,
    *,
    device: str = "auto",
    weights: str | None = None,
    batch_size: int | None = None,
    discriminator: Discriminator | None = None,
    backbone: nn.Module | None = None,
) -> Detector:
    """Load a fitted detector.

    Args:
        path: a file written by ``save``.
        kind: the class it has to be, such as ``SoftPatch``, for what only that class can do.
        device: see ``CommonOptions``.
        weights: where the backbone's checkpoint is now, if it was a local file.
        batch_size: see ``CommonOptions``.
        discriminator: the model's, if it was one of your own; only ``update`` needs it.
        backbone: the model's, if it was one of your own.

    Raises:
        ModelFileError: cut, damaged, foreign, newer or hostile file, a model of another kind, other
            backbone weights, or a part of its own that was not given or is another.
        OutOfMemoryError: it does not fit into memory.
        BackboneError: the backbone's weights cannot be had here.
    """
    path = Path(path)
    header, tensors = model_file.read(path)
    run = {"device": device, "weights": weights, "batch_size": batch_size}
    detector = restore(path, header, tensors, run, discriminator, backbone)
    if not isinstance(detector, kind):
        raise ModelFileError(f"{path}: holds a {detector.method} model, no {kind.__name__}")
    return detector


def restore(
    path: Path,
    header: dict[str, Any],
    tensors: dict[str, Tensor],
    run: dict[str, Any],
    discriminator: Discriminator | None = None,
    backbone: nn.Module | None = None,
) -> Detector:
    """``load`` from what ``model_file.read`` gave; ``run`` are options that replace the file's."""
    kinds = {kind.method: kind for kind, _ in METHODS.values()}
    method = header.get("method")
    if method not in kinds:  # a string, as the header was checked
        raise ModelFileError(f"{path}: unknown method {method!r}")
    run = {name: value for name, value in run.items() if value is not None}
    kinds[method](**run)  # wrong options of the run are not the file's fault
    try:
        options = _options(path, header, discriminator, backbone)
        if options.get("discriminator") == AUTO and "floors" not in tensors:
            options["discriminator"] = _chosen_before_floors(tensors)
        if not set(options) <= kinds[method].option_names() - {"roi", "device", "batch_size"}:
            raise ValueError("options that the method does not have")
        detector = kinds[method](**options | run, roi=tensors.pop("roi", None))
        detector.lineage_ = Lineage.from_header(header)
        moved = {name: tensor.to(detector.device) for name, tensor in tensors.items()}
        detector._learned = detector._restored(header, moved)
        detector.digests_ = _digests(header)
        if "appearance" in header:
            detector.appearance_ = UsualAppearance.from_header(header["appearance"])
        stored = {"intensity": FULL} | {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in header["preprocessing"].items()
        }
        if stored != vars(detector.preprocessing):
            raise ValueError("features and preprocessing do not agree")
        expected = str(header["backbone"]["sha256"])
    except (
        KeyError, IndexError, AttributeError, TypeError, ValueError, OverflowError,
        RuntimeError, ImageError,
    ) as error:  # fmt: skip
        if is_out_of_memory(error) and memory_asked(error) < ABSURD:
            raise OutOfMemoryError(
                f"{path}: not enough memory to load it{memory_needed(error)}"
            ) from error
        raise ModelFileError(f"{path}: damaged model file ({error})") from error
    found = detector.extractor.backbone
    if found.weights_hash != expected:
        raise ModelFileError(
            f"{path}: was fitted with other weights of {found.name} than the ones here; "
            "give the same ones with --weights FILE, or fit again"
        )
    return detector


def _digests(header: dict[str, Any]) -> list[str | None]:
    """Of the images, which models of a version without do not have."""
    digests: list[str | None] = header.get("digests", [None] * len(header["images"]))
    fitting = isinstance(digests, list) and len(digests) == len(header["images"])
    if not fitting or not all(isinstance(one, str | None) for one in digests):
        raise ValueError("the digests do not match the list of images")
    return digests


def _chosen_before_floors(tensors: dict[str, Tensor]) -> str:
    """Which discriminator ``auto`` chose in models of a version that had no floors.

    It went by how aligned the training images were, 0..1, which nobody knew of tiles.
    """
    alignment = tensors.pop("alignment", None)
    return "lof-distance" if alignment is not None and alignment >= 0.9 else "position-free"


def _options(
    path: Path,
    header: dict[str, Any],
    discriminator: Discriminator | None,
    backbone: nn.Module | None,
) -> dict[str, Any]:
    """Constructor options, from the header and the parts of one's own that were given."""
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (header["features"] | header["parameters"]).items()
    }
    if header["backbone"].get("own"):
        if backbone is None:
            raise ModelFileError(
                f"{path}: was fitted with a backbone of its own, {header['backbone']['name']}; "
                "give it: softpatch.load(path, backbone=...)"
            )
        options["backbone"] = backbone
    elif backbone is not None:
        raise ModelFileError(f"{path}: has the backbone {options['backbone']}, none of its own")
    if options.pop("projection", None) is not None:
        raise ModelFileError(
            f"{path}: was fitted on a random projection, which softpatch has no more; fit again"
        )
    options.pop("projection_dimension", None)
    kept = options.get("discriminator")
    if isinstance(kept, dict):
        options["discriminator"] = discriminator or Unavailable(**kept)
        if discriminator is not None and discriminator_name(discriminator) != kept["name"]:
            raise ModelFileError(
                f"{path}: was fitted with the discriminator {kept['name']}, not with "
                f"{discriminator_name(discriminator)}"
            )
    elif discriminator is not None:
        raise ModelFileError(f"{path}: has the discriminator {kept}, none of its own")
    elif isinstance(kept, str):
        options["discriminator"] = OLD_NAMES.get(kept, kept)
    return options
