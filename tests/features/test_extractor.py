"""From prepared pictures to patch vectors, and the presets that decide what those are."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from softpatch.errors import BackboneError, UsageError
from softpatch.features.backbones import named_backbone
from softpatch.features.embedding import Embedding
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import PRESETS, FeatureConfig, configure
from tests.reference import embedding as reference

CPU = torch.device("cpu")


def small(**changes: Any) -> PatchExtractor:
    """Random weights: quick to make."""
    settings = {"backbone": "resnet18", "weights": "random", "resize": 64}
    return PatchExtractor(configure("edge", **{**settings, **changes}), CPU)


def noise(*shape: int) -> Tensor:
    images: Tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return images


@pytest.mark.parametrize(
    ("crop", "grid"), [(64, (8, 8)), ((64, 96), (8, 12)), ((40, 64), (5, 8)), (33, (5, 5))]
)
def test_grid_is_the_finer_map(crop: int | tuple[int, int], grid: tuple[int, int]) -> None:
    extractor = small(resize=crop)
    assert extractor.grid == grid
    patches = extractor(noise(2, 3, *extractor.preprocessing.crop))
    assert patches.shape == (2, *grid, 1024)
    assert patches.dtype == torch.float32


@pytest.mark.parametrize("embedding", get_args(Embedding))
def test_patches_are_the_embedded_maps(embedding: Embedding) -> None:
    extractor = small(embedding=embedding, dimension=200)
    images = noise(2, 3, 64, 64)
    with torch.inference_mode():
        maps = named_backbone("resnet18", None, "random")(images)
    expected = {
        "neighbourhood": lambda: reference.neighbourhood(maps, 200),
        "rooted": lambda: reference.rooted(maps, 200),
        "average": lambda: reference.average(maps),
        "concat": lambda: reference.concatenated(maps),
    }[embedding]()
    patches = extractor(images)
    assert patches.shape[-1] == extractor.dimension == expected.shape[-1]
    torch.testing.assert_close(
        patches.double(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
    )


@pytest.mark.parametrize("embedding", get_args(Embedding))
def test_real_features_of_the_default_backbone(embedding: Embedding) -> None:
    extractor = PatchExtractor(configure("edge", embedding=embedding, resize=64), CPU)
    assert extractor.grid == (8, 8)
    assert extractor.dimension == (1024 if embedding in ("neighbourhood", "rooted") else 48 + 120)
    assert extractor(noise(1, 3, 64, 64)).std() > 0


@pytest.mark.parametrize("layers", [None, ("blocks.3",), ("blocks.2", "blocks.5", "blocks.11")])
def test_transformer_tokens_lie_where_their_pixels_lie(layers: tuple[str, ...] | None) -> None:
    """Class and register tokens are left out: changing one patch's pixels moves its vector most."""
    extractor = PatchExtractor(
        configure("dino", weights="random", layers=layers, resize=(56, 84), embedding="concat"), CPU
    )
    assert extractor.grid == (4, 6)
    assert extractor.dimension == 384 * (len(layers) if layers else 2)
    images = noise(1, 3, 56, 84)
    before = extractor(images)
    for row, column in ((0, 0), (1, 4), (3, 5)):
        changed = images.clone()
        changed[:, :, 14 * row : 14 * row + 14, 14 * column : 14 * column + 14] += 1
        moved = (extractor(changed) - before).norm(dim=-1)[0]
        assert divmod(int(moved.argmax()), 6) == (row, column)


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_batch_does_not_matter(batch: int) -> None:
    extractor = small()
    images = noise(5, 3, 64, 64)
    whole = extractor(images)
    parts = torch.cat([extractor(images[i : i + batch]) for i in range(0, 5, batch)])
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


def test_bf16_makes_the_same_patches_to_its_digits() -> None:
    """Wherever it runs: not every processor has instructions for it."""
    images = noise(2, 3, 64, 64)
    expected, found = (
        small(embedding="neighbourhood", precision=precision)(images)
        for precision in ("fp32", "bf16")
    )
    assert found.dtype == torch.float32
    difference = float((found - expected).square().mean().sqrt())
    assert 0 < difference < 0.03 * float(expected.square().mean().sqrt())


def test_preprocessing_follows_the_backbone_and_the_sizes() -> None:
    extractor = small(resize=(80, 64), crop=(64, 48))
    assert extractor.preprocessing.resize == (80, 64)
    assert extractor.preprocessing.crop == (64, 48)
    assert extractor.preprocessing.mean == extractor.backbone.mean
    assert extractor.preprocessing.std == extractor.backbone.std


def test_a_size_the_backbone_does_not_take_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"vit_small_patch14_reg4_dinov2 .* 57x57"):
        PatchExtractor(configure("dino", weights="random", resize=57), CPU)


def test_a_crop_larger_than_the_picture_is_an_error() -> None:
    with pytest.raises(UsageError, match="must lie within resize"):
        small(resize=64, crop=65)
    with pytest.raises(UsageError, match="crop must be 32 to 8,192 pixels a side"):
        configure("edge", crop=10**20)  # before a network is tried on as much


def test_an_unknown_backbone_is_an_error() -> None:
    with pytest.raises(BackboneError, match="'nonet'"):
        small(backbone="nonet")


def test_paper_preset_is_the_papers() -> None:
    assert configure("paper") == FeatureConfig(
        backbone="wide_resnet50_2",
        layers=("layer2", "layer3"),
        weights=None,
        embedding="neighbourhood",
        dimension=1024,
        resize=(256, 256),
        crop=(224, 224),
    )


def test_paper_preset_has_the_papers_maps() -> None:
    extractor = PatchExtractor(configure("paper", weights="random", resize=32), CPU)
    assert extractor.embedding.channels == (512, 1024)
    assert extractor.grid == (4, 4)
    assert extractor.dimension == 1024


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_takes_random_weights(preset: str) -> None:
    assert PRESETS[preset].weights is None


@pytest.mark.parametrize(
    ("changes", "resize", "crop"),
    [
        ({}, (224, 224), (224, 224)),  # whole pictures
        ({"resize": 512}, (512, 512), (512, 512)),  # no crop unless asked for
        ({"resize": (100, 200)}, (100, 200), (100, 200)),
        ({"resize": 100, "crop": 64}, (100, 100), (64, 64)),
        ({"crop": (64, 32)}, (224, 224), (64, 32)),
        ({"resize": 256, "crop": 224}, (256, 256), (224, 224)),  # the paper's
        ({"resize": None, "crop": None}, (224, 224), (224, 224)),
    ],
)
def test_sizes_are_one_number_or_two(
    changes: dict[str, Any], resize: tuple[int, int], crop: tuple[int, int]
) -> None:
    config = configure("edge", **changes)
    assert (config.resize, config.crop) == (resize, crop)


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({}, ("layer2", "layer3")),
        ({"backbone": "wide_resnet50_2"}, ("layer2", "layer3")),
        ({"backbone": "resnet18"}, None),  # would not have the preset's
        ({"backbone": "resnet18", "layers": ["layer1"]}, ("layer1",)),
        ({"layers": ["layer1"]}, ("layer1",)),
    ],
)
def test_another_backbone_drops_the_presets_layers(
    changes: dict[str, Any], layers: tuple[str, ...] | None
) -> None:
    assert configure("paper", **changes).layers == layers


def test_unknown_preset_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match="'fast'; there are edge, paper, dino"):
        configure("fast")
