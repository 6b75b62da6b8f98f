"""Batch normalisation folded into the convolutions before it.

A frozen norm scales and shifts every channel, which the convolution can do as well. Nothing else
changes, and a pass over every map is saved: on 2 cores wide_resnet50_2 takes 0.85 of the time and
efficientnet_lite0 0.6 to 0.8.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

# Other kinds may compute their kernel from the weights at every call.
CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
ROUNDING = 1e-4  # of the largest number of a map; measured 1e-6 to 3e-6


@torch.no_grad()  # weights made in inference mode are refused by bf16 where the CPU has none
def folded(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy of a frozen network that makes the same maps to float32's digits, with fewer passes.

    Args:
        network: in evaluation mode; ``(B, 3, H, W)`` -> a list of maps. Left as it is.
        images: of a size that it takes; they show which norm reads which convolution's output.

    Returns:
        The copy, or the network itself where there is nothing to fold, where that fails (weights
        computed from others cannot be set), or where it changes the maps, as it does if
        something else than the norm reads a convolution's output, too.
    """
    maps, pairs = _run(network, images)
    if not pairs:
        return network
    copy = deepcopy(network)
    try:
        for convolution, norm in pairs:
            _fold(copy, convolution, norm, network.get_submodule(norm))
        same = all(
            torch.allclose(before, after, rtol=0, atol=ROUNDING * float(before.abs().amax()))
            for before, after in zip(maps, copy(images), strict=True)
        )
    except Exception:  # in a module of the user's own, of any kind
        return network
    return copy if same else network


def _run(network: nn.Module, images: Tensor) -> tuple[list[Tensor], list[tuple[str, str]]]:
    """The maps, and the names of each convolution and the norm that reads its output next."""
    latest: tuple[str, Tensor] | None = None  # what a convolution made last, and which
    pairs: list[tuple[str, str]] = []

    def made(name: str, _: nn.Module, __: Any, output: Tensor) -> None:
        nonlocal latest
        latest = name, output

    def read(name: str, _: nn.Module, inputs: tuple[Tensor]) -> None:
        if latest is not None and inputs and inputs[0] is latest[1]:
            pairs.append((latest[0], name))

    hooks = []
    for name, module in network.named_modules():
        if type(module) in CONVOLUTIONS:
            hooks.append(module.register_forward_hook(partial(made, name)))
        elif isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(partial(read, name)))
    maps: list[Tensor] = network(images)
    for hook in hooks:
        hook.remove()
    return maps, list(dict.fromkeys(pairs))


def _fold(network: nn.Module, convolution: str, norm: str, bn: Any) -> None:
    """Change the convolution, and leave of the norm the activation that timm puts into some."""
    conv: Any = network.get_submodule(convolution)
    statistics = bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics)
    parent, _, leaf = norm.rpartition(".")
    rest = [getattr(bn, part) for part in ("drop", "act") if hasattr(bn, part)]
    setattr(network.get_submodule(parent), leaf, nn.Sequential(*rest))
