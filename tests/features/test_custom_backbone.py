"""A module of the user's own as backbone: copied, frozen, and refused where it makes no maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import weight_norm

from softpatch.errors import UsageError
from softpatch.features.backbones import backbone_name, custom_backbone
from softpatch.features.cache import cached_maps
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import FeatureConfig, configure
from tests.features.trained import trained

CPU = torch.device("cpu")
CONFIG = configure("edge", resize=32, dimension=24)


class Net(nn.Module):
    """Strides 4 and 8."""

    mean = (0.5, 0.4, 0.3)
    std = (0.2, 0.2, 0.25)

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 4, 4, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(8, 12, 2, 2), nn.BatchNorm2d(12), nn.ReLU())

    def forward(self, images: Tensor) -> Any:
        fine = self.fine(images)
        return [fine, self.coarse(fine)]


class Changed(Net):
    """Whose maps become what ``change`` makes of them."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.change = change

    def forward(self, images: Tensor) -> Any:
        return self.change(super().forward(images))


def net() -> Any:
    torch.manual_seed(0)
    return trained(Net())


def extractor(module: nn.Module, config: FeatureConfig = CONFIG) -> PatchExtractor:
    return PatchExtractor(config, CPU, backbone=module)


def some_images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_its_maps_are_embedded() -> None:
    module = net()
    found = extractor(module)
    with torch.inference_mode():
        expected = module(some_images())
    for one, other in zip(found.maps(some_images()), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert found.grid == (8, 8)
    assert found(some_images()).shape == (2, 8, 8, 24)
    assert (found.preprocessing.mean, found.preprocessing.std) == (Net.mean, Net.std)
    assert found.backbone.layers == ()
    assert "BatchNorm2d" not in repr(found.backbone.network)


def test_the_users_module_stays_as_it_is() -> None:
    module = Net().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    extractor(module, configure("edge", resize=32, precision="bf16"))(some_images())
    after = module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before | after)
    assert {tensor.dtype for tensor in module.parameters()} == {torch.float32}
    assert all(part.training for part in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_the_hash_is_that_of_names_dtypes_and_contents() -> None:
    module = net()
    known = custom_backbone(module).weights_hash
    assert custom_backbone(net()).weights_hash == known
    assert extractor(module).backbone.weights_hash == known  # of what was handed in, unfolded
    assert custom_backbone(net().half()).weights_hash != known
    with torch.no_grad():
        next(module.parameters())[0, 0, 0, 0] += 1e-3
    assert custom_backbone(module).weights_hash != known
    assert len(custom_backbone(net().bfloat16()).weights_hash) == 64


def test_the_name_is_its_own_or_that_of_its_class() -> None:
    module = net()
    assert backbone_name(module) == "tests.features.test_custom_backbone.Net"
    module.name = "my net"
    assert extractor(module).backbone.name == "my net"


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("mean", None, r"Net: mean is not 3 numbers; set mean and std"),
        ("std", (0.2, 0.2), r"Net: std is not 3 numbers"),
        ("std", "grey", r"Net: std is not 3 numbers"),
        ("std", (0.2, 0.0, 0.2), r"Net: std must be above 0, got \(0\.2, 0\.0, 0\.2\)"),
        ("mean", (0.2, float("nan"), 0.2), r"Net: mean must be finite"),
    ],
)
def test_normalisation_that_makes_no_sense(attribute: str, value: Any, message: str) -> None:
    module = net()
    setattr(module, attribute, value)
    with pytest.raises(UsageError, match=message):
        extractor(module)


def test_without_normalisation_the_message_says_what_to_set() -> None:
    with pytest.raises(UsageError, match=r"backbone torch\S*\.Identity: no mean; set mean and std"):
        extractor(nn.Identity())


def test_normalisation_may_be_tensors() -> None:
    module = net()
    module.std = torch.tensor([0.5, 0.25, 0.125]).view(1, 3, 1, 1)
    assert extractor(module).preprocessing.std == (0.5, 0.25, 0.125)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda maps: maps[0], "got Tensor"),
        (lambda maps: dict(enumerate(maps)), "got dict"),
        (lambda maps: [], "got an empty list"),
        (lambda maps: [maps], "got a list of list"),
        (lambda maps: [maps[0].flatten(1)], r"got torch.float32 \(1, 512\) for one image of 32x32"),
        (lambda maps: [maps[0].long()], "got torch.int64"),
        (lambda maps: [maps[0][0]], r"\(8, 8, 8\)"),
        (lambda maps: [maps[0].expand(5, -1, -1, -1)], r"\(5, 8, 8, 8\)"),
        (lambda maps: [maps[0].repeat(1, 4, 1, 1).permute(0, 2, 3, 1)], "are its channels last"),
        (lambda maps: [layer.permute(0, 2, 3, 1) for layer in maps], "are its channels last"),
        (lambda maps: maps[::-1], r"finest first, got \[\(1, 12, 4, 4\), \(1, 8, 8, 8\)\]"),
        (lambda maps: maps[7], "does not take pictures of 32x32"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_maps_is_an_error_in_one_line(change: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        extractor(Changed(change))
    assert "\n" not in str(caught.value)
    assert "tests.features.test_custom_backbone.Changed" in str(caught.value)


def test_maps_of_oblong_images() -> None:
    config = replace(CONFIG, resize=(8, 100), crop=(8, 100))
    assert extractor(net(), config).grid == (2, 25)


def test_one_that_cannot_be_copied_is_an_error() -> None:
    module = net()
    module.lock = iter([1]).__next__
    module.numbers = (number for number in range(3))
    with pytest.raises(UsageError, match="Net: cannot be copied"):
        extractor(module)


def test_layers_and_weights_go_with_names() -> None:
    for options in ({"layers": ("layer2",)}, {"weights": "random"}):
        with pytest.raises(UsageError, match="go with a backbone's name"):
            extractor(net(), configure("edge", resize=32, **options))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
def test_norms_that_cannot_be_folded_stay() -> None:
    class ByKeyword(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, images: Tensor) -> Tensor:
            norm: Tensor = self.inner(input=images)
            return norm

    by_keyword, computed = net(), net()
    by_keyword.fine[1] = ByKeyword(by_keyword.fine[1])
    with torch.no_grad():
        computed.coarse[0] = weight_norm(computed.coarse[0])
    with torch.inference_mode():
        expected = net()(some_images())
    for module in (by_keyword, computed):
        found = extractor(module)
        for one, other in zip(found.maps(some_images()), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        assert "BatchNorm2d" in repr(found.backbone.network)


def test_views_of_its_own_are_taken() -> None:
    """As of contiguous input: channels-last maps have no such view."""
    module = Changed(lambda maps: [layer.view(len(layer), -1).view_as(layer) for layer in maps])
    assert extractor(module)(some_images()).shape == (2, 8, 8, 24)


def test_its_maps_can_be_kept() -> None:
    kept: dict[str, Any] = {}

    class Store:
        def get(self, key: str) -> dict[str, Tensor] | None:
            return kept.get(key)

        def put(self, key: str, tensors: dict[str, Tensor]) -> None:
            kept[key] = tensors

    module = net()
    first = cached_maps(extractor(module), Store())(some_images())
    assert torch.equal(cached_maps(extractor(module), Store())(some_images()), first)
    assert len(kept) == 1
    with torch.no_grad():
        next(module.parameters())[0, 0, 0, 0] += 1
    assert not torch.equal(cached_maps(extractor(module), Store())(some_images()), first)
    assert len(kept) == 2
