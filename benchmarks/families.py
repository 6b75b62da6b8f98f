"""Whether maps of timm's families of networks point where something is in the picture.

``python -m benchmarks.families`` prints a table: one small network of each family, with random
weights, is shown noise with a bright spot in it; where its maps change most, the spot should be.
"""

from __future__ import annotations

import warnings

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from softpatch.errors import BackboneError
from softpatch.features.backbones import Backbone, named_backbone

# The smallest of each of ``timm.list_modules()`` that has maps.
FAMILIES = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window16_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
SPOTS = ((0.2, 0.3), (0.3, 0.75), (0.7, 0.2))  # shares of height and width
HALF = 4  # pixels, of a spot's side
SIZE = (224, 320)  # unlike in height and width, so that maps cannot be turned unnoticed


def farthest(name: str) -> tuple[Backbone, tuple[int, int], float]:
    """A network, the pictures it was shown, and how far from a spot a map changed most, in cells.

    Where the network does not take pictures of ``SIZE``, they have the size it was trained on.

    Raises:
        BackboneError: it has no maps, or takes neither.
    """
    backbone = named_backbone(name, None, "random")
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    own = config.input_size[1:]
    for size in (SIZE, own):
        pictures = noise(4, size)
        try:
            settle(backbone, pictures)
        except Exception:  # each network has its own
            continue
        return backbone, size, max(distances(backbone, pictures[:2]))
    raise BackboneError(f"{name} takes pictures of neither {SIZE} nor {own}")


def noise(count: int, size: tuple[int, int]) -> Tensor:
    height, width = size
    coarse = torch.randn(count, 3, height // 16, width // 16, generator=torch.manual_seed(0))
    return F.interpolate(coarse, size=size, mode="bilinear")


@torch.no_grad()
def settle(backbone: Backbone, pictures: Tensor) -> None:
    """Give batch norms the statistics of what they see, without which random maps explode."""
    norms = [each for each in backbone.modules() if isinstance(each, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    backbone(pictures)
    for norm in norms:
        norm.eval()


@torch.inference_mode()
def distances(backbone: Backbone, pictures: Tensor) -> list[float]:
    """Of each spot and map: from the spot's middle to that of the cell that changed most."""
    before = backbone(pictures)
    height, width = pictures.shape[2:]
    found = []
    for down, across in SPOTS:
        y, x = int(down * height), int(across * width)
        marked = pictures.clone()
        marked[:, :, y - HALF : y + HALF, x - HALF : x + HALF] += 3.0
        for old, new in zip(before, backbone(marked), strict=True):
            changed = (new - old).square().sum(dim=1).mean(dim=0)
            rows, columns = changed.shape
            row, column = divmod(int(changed.argmax()), columns)
            found.append(abs(row + 0.5 - y / height * rows))
            found.append(abs(column + 0.5 - x / width * columns))
    return found


def main() -> None:
    print(f"timm {timm.__version__}\n")
    print("| family | network | pictures | maps | farthest, in cells |\n|---|---|---|---|---|")
    for family, name in FAMILIES.items():
        try:
            backbone, size, cells = farthest(name)
        except BackboneError as error:
            print(f"| {family} | {name} | | | {error} |", flush=True)
            continue
        layers = ", ".join(backbone.layers)
        print(f"| {family} | {name} | {size[0]} x {size[1]} | {layers} | {cells:.1f} |", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
