"""Maps of timm's networks point where something is in the picture, whatever their layout."""

from __future__ import annotations

import pytest
import timm
import torch

from benchmarks.families import FAMILIES, farthest
from softpatch.errors import BackboneError
from softpatch.features.backbones import RANDOM_WEIGHTS, named_backbone

CELLS = 2.5  # random weights spread what they see
# Channels last; else.
SOME = ("mambaout", "swin_transformer", "efficientnet", "resnet", "vision_transformer")
NO_MAPS = "tresnet"
# Twenty convolutions of 7 x 7 with random weights lose the place; others leave out the border.
OFF = ("convmixer", "inception_v4")


@pytest.mark.parametrize("family", SOME)
def test_a_bright_spot_is_found_where_it_is(family: str) -> None:
    assert farthest(FAMILIES[family])[2] <= CELLS


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {*SOME, NO_MAPS, *OFF}))
def test_a_bright_spot_is_found_by_each_family(family: str) -> None:
    assert farthest(FAMILIES[family])[2] <= CELLS


@pytest.mark.long
def test_no_family_is_forgotten() -> None:
    assert set(timm.list_modules()) == FAMILIES.keys()


def test_a_network_without_maps_is_told() -> None:
    with pytest.raises(BackboneError, match="tresnet_m has no intermediate maps"):
        named_backbone(FAMILIES[NO_MAPS], None, RANDOM_WEIGHTS)


def test_strides_nearest_to_8_and_16_are_taken_where_there_are_none_of_them() -> None:
    assert named_backbone("sequencer2d_s", None, RANDOM_WEIGHTS).layers == (
        "stages.0", "stages.1", "stages.2", "stages.3"
    )  # fmt: skip


def test_maps_of_one_name_are_taken_once() -> None:
    backbone = named_backbone("coat_tiny", None, RANDOM_WEIGHTS)
    with torch.inference_mode():
        maps = backbone(torch.zeros(1, 3, 224, 224))
    assert len(maps) == len(backbone.layers) == 1
