"""The embedding's convolutions equal the paper's long way: unfold, upsample, pool, pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from softpatch.errors import UsageError
from softpatch.features.embedding import Embedding, PatchEmbedding
from tests.reference import embedding as reference

Map = tuple[int, int, int]  # channels, height, width
WIDE = [(512, 28, 28), (1024, 14, 14)]  # wide_resnet50_2, layer2 and layer3
NARROW = [(40, 28, 28), (112, 14, 14)]  # efficientnet_lite0


def random_maps(maps: Sequence[Map], batch: int = 1) -> list[Tensor]:
    """With a mean of their own, as maps after a ReLU have."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(batch, *shape, generator=generator) * 3 - 1 for shape in maps]


def embed(kind: Embedding, maps: list[Tensor], dimension: int = 1024) -> Tensor:
    patches: Tensor = PatchEmbedding([layer.shape[1] for layer in maps], kind, dimension)(maps)
    return patches


def assert_equal(patches: Tensor, expected: Tensor) -> None:
    """To 1e-4 of the largest number: single numbers may cancel to nearly nothing."""
    assert patches.dtype == torch.float32
    scale = float(expected.abs().max())
    torch.testing.assert_close(patches.double(), expected, rtol=1e-4, atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("maps", "dimension"),
    [
        pytest.param(WIDE, 1024, id="wide_resnet50_2"),
        pytest.param(NARROW, 1024, id="efficientnet_lite0"),
        pytest.param([(384, 4, 4), (384, 4, 4)], 1024, id="transformer"),
        pytest.param([(40, 6, 6)], 1024, id="one-layer"),
        pytest.param([(2048, 3, 3)], 1024, id="one-deep-layer"),
        pytest.param([(1, 5, 5)], 1024, id="one-channel"),
        pytest.param([(24, 8, 8), (40, 4, 4), (112, 2, 2)], 1024, id="three-layers-straddling"),
        pytest.param([(64, 9, 5), (128, 5, 3)], 1024, id="tall"),
        pytest.param([(16, 3, 11), (32, 2, 6)], 1024, id="wide-strip"),
        pytest.param([(16, 7, 7), (32, 3, 5)], 1024, id="uneven-strides"),
        pytest.param([(16, 1, 1), (32, 1, 1)], 1024, id="single-position"),
        pytest.param(NARROW, 1, id="one-number"),
        pytest.param([(24, 8, 8), (40, 4, 4)], 100, id="100-numbers"),
        pytest.param([(24, 8, 8), (40, 4, 4), (112, 2, 2)], 7, id="7-of-three-layers"),
        pytest.param([(24, 8, 8), (40, 4, 4)], 1537, id="an-odd-number"),
    ],
)
def test_neighbourhood_equals_the_long_way(maps: list[Map], dimension: int) -> None:
    layers = random_maps(maps, batch=2 if maps[0][0] < 512 else 1)
    patches = embed("neighbourhood", layers, dimension)
    assert patches.shape == (len(layers[0]), *maps[0][1:], dimension)
    assert_equal(patches, reference.neighbourhood(layers, dimension))


@pytest.mark.parametrize("maps", [WIDE, NARROW, [(5, 9, 4)], [(5, 6, 3), (7, 3, 2), (2, 1, 1)]])
def test_rooted_is_the_signed_root_of_the_neighbourhood(maps: list[Map]) -> None:
    layers = random_maps(maps)
    patches = embed("rooted", layers).double()
    # Squared again, as a root makes much of what rounding leaves near 0.
    assert_equal((patches * patches.abs()).float(), reference.neighbourhood(layers, 1024))


def test_rooted_keeps_signs_and_zeros() -> None:
    layer = torch.tensor([-4.0, 0.0, 9.0]).view(1, 1, 1, 3).repeat(1, 1, 3, 1)
    (plain, rooted) = (embed(kind, [layer], 9)[0, 1, :, 4] for kind in ("neighbourhood", "rooted"))
    assert plain.tolist() == [-4, 0, 9]
    assert rooted.tolist() == [-2, 0, 3]


@pytest.mark.parametrize("maps", [WIDE, NARROW, [(5, 9, 4)], [(5, 6, 3), (7, 3, 2), (2, 1, 1)]])
def test_average_equals_the_mean_of_unfolded_neighbourhoods(maps: list[Map]) -> None:
    layers = random_maps(maps)
    patches = embed("average", layers)
    assert patches.shape[-1] == sum(channels for channels, *_ in maps)
    assert_equal(patches, reference.average(layers))


@pytest.mark.parametrize("maps", [WIDE, NARROW, [(5, 9, 4)], [(5, 6, 3), (7, 3, 2), (2, 1, 1)]])
def test_concat_equals_the_upsampled_channels(maps: list[Map]) -> None:
    layers = random_maps(maps)
    patches = embed("concat", layers)
    assert patches.shape[-1] == sum(channels for channels, *_ in maps)
    assert_equal(patches, reference.concatenated(layers))


def test_wide_maps_collapse_to_averages() -> None:
    """METHOD 1: layer2 averaged with weights .1 x 8 and .2 in turn, layer3 in adjacent pairs."""
    layers = random_maps(WIDE)
    patches = embed("neighbourhood", layers)
    fine, coarse = patches[..., :512], patches[..., 512:]
    pairs = reference.average([layers[1]]).view(1, 14, 14, 512, 2).mean(dim=-1)
    pairs = reference.upsampled(pairs.permute(0, 3, 1, 2), (28, 28)).permute(0, 2, 3, 1)
    assert_equal(coarse, pairs)
    kernel = torch.full((3, 3), 0.1, dtype=torch.float64)
    kernel[1, 1] = 0.2
    inner = layers[0][0, 77, 4:7, 9:12].double()
    assert float(fine[0, 5, 10, 77]) == pytest.approx(float((inner * kernel).sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("channels", "layer", "groups"),
    [
        pytest.param((512, 1024), 0, 512, id="layer2-depthwise"),
        pytest.param((512, 1024), 1, 512, id="layer3-in-pairs"),
        pytest.param((1024,), 0, 1024, id="one-layer-depthwise"),
    ],
)
def test_wide_layers_become_grouped_convolutions(
    channels: tuple[int, ...], layer: int, groups: int
) -> None:
    pooling: Any = PatchEmbedding(channels, "neighbourhood", 1024).pooling[layer]
    assert pooling.groups == groups
    assert pooling.kernel.numel() == channels[layer] * 9  # not one weight that is always 0


def test_a_narrow_layer_keeps_its_neighbourhood_structure() -> None:
    """Averaging it away costs pixel AUROC (METHOD 1): a shift within 3x3 must show."""
    one, other = torch.zeros(1, 40, 5, 5), torch.zeros(1, 40, 5, 5)
    one[0, 20, 2, 2] = 1.0
    other[0, 20, 2, 3] = 1.0
    centre = [embed("neighbourhood", [layer])[0, 2, 2] for layer in (one, other)]
    assert not torch.allclose(centre[0], centre[1], atol=1e-3)


@pytest.mark.parametrize("kind", get_args(Embedding))
def test_pictures_of_a_batch_do_not_mix(kind: Embedding) -> None:
    layers = random_maps([(6, 5, 4), (9, 3, 2)], batch=3)
    together = embed(kind, layers, 50)
    for index in range(3):
        alone = embed(kind, [layer[index : index + 1] for layer in layers], 50)
        torch.testing.assert_close(together[index : index + 1], alone)


def test_unknown_kind_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(
        UsageError, match="must be neighbourhood, rooted, average or concat, got 'sum'"
    ):
        PatchEmbedding([4], "sum", 10)  # type: ignore[arg-type]


def test_dimension_below_one_is_an_error() -> None:
    with pytest.raises(UsageError, match="dimension must be at least 1, got 0"):
        PatchEmbedding([4], "neighbourhood", 0)
