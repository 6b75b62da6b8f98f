"""A folded network makes the maps of the network it was."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers.std_conv import StdConv2d
from torch import Tensor, nn

from softpatch.features.fold_batchnorm import folded
from tests.features.trained import trained

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@torch.inference_mode()
def assert_same_maps(network: nn.Module, other: nn.Module) -> None:
    for expected, found in zip(network(IMAGES), other(IMAGES), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("resnet18", 0),
        ("tf_efficientnet_lite0", 0),  # convolutions that pad by themselves, norms that activate
        ("mobilenetv3_small_100", 0),
        ("regnety_002", 0),
        ("densenet121", 62),  # norms that read what several layers have put together
        ("vgg11_bn", 0),
    ],
)
def test_equal_maps_with_fewer_norms(name: str, left: int) -> None:
    torch.manual_seed(0)
    network = trained(timm.create_model(name, features_only=True, pretrained=False))
    before = norms(network)
    result = folded(network, IMAGES[:1])
    assert norms(result) == left < before == norms(network)
    assert_same_maps(network, result)


class Shared(nn.Module):
    """One norm after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.norm, self.other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.norm(self.first(images)), self.norm(self.second(images))]


def test_a_norm_after_two_convolutions() -> None:
    network = trained(Shared())
    result = folded(network, IMAGES)
    assert norms(result) == 1  # the one that is never used
    assert_same_maps(network, result)


def test_a_convolution_before_two_norms_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: Shared, images: Tensor) -> list[Tensor]:
        return [self.norm(self.first(images)), self.other(self.first(images))]

    monkeypatch.setattr(Shared, "forward", forward)
    network = trained(Shared())
    assert folded(network, IMAGES) is network


class Tapped(nn.Module):
    """A residual block that adds what its first norm reads."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> list[Tensor]:
        raw = self.convolution(images)
        return [raw + self.norm(raw)]


def test_a_convolution_that_is_read_twice_is_left_alone() -> None:
    network = trained(Tapped())
    assert folded(network, IMAGES) is network


def test_one_that_makes_its_kernel_at_every_call_is_left_alone() -> None:
    network = trained(nn.Sequential(StdConv2d(3, 4, 3), nn.BatchNorm2d(4)))
    assert folded(network, IMAGES) is network


def test_a_network_without_norms_is_left_alone() -> None:
    network = nn.Conv2d(3, 4, 3).eval()
    assert folded(network, IMAGES) is network
