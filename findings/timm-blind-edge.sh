#!/usr/bin/env bash
# A ConvNeXt never looks at the last rows and columns of a picture of 250 pixels.
#
# Networks that timm offers as feature extractors say by how much a map is smaller
# (`reduction`), and ResNet and EfficientNet round its size up, so one would guess that every
# pixel counts in every map. ConvNeXt rounds down, without padding: at 250 pixels the last two
# rows and columns change none of its features, and the coarsest map leaves out more. Nothing
# warns of it; the picture can be any size. EdgeNeXt and RDNet do the same.
#
# Seen with timm 1.0.31 and torch 2.14.1. It matters because defects lie at edges too: such a
# one can have any contrast and the score is that of a good part, to the last bit. A map that
# is enlarged to the whole picture is shifted as well.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 timm==1.0.31

cd "$work"
"$work/env/bin/python" - <<'PYTHON'
import sys

import timm
import torch

torch.manual_seed(0)
print(f"timm {timm.__version__}, torch {torch.__version__}")
seen = {}
for name in ("efficientnet_lite0", "convnext_atto"):
    network = timm.create_model(name, pretrained=False, features_only=True).eval()
    for side in (256, 250):
        picture = torch.rand(1, 3, side, side)
        defective = picture.clone()
        defective[:, :, -2:, :] = 0
        defective[:, :, :, -2:] = 0
        with torch.inference_mode():
            pairs = list(zip(network(picture), network(defective), strict=True))
        seen[name, side] = [not torch.equal(good, bad) for good, bad in pairs]
        sides = [good.shape[-1] for good, _ in pairs]
        print(
            f"{name}, {side} pixels, reductions {network.feature_info.reduction()}: maps of"
            f" {sides}; that see the last two rows and columns: {sum(seen[name, side])}"
        )
if not (
    all(seen["efficientnet_lite0", 250])
    and all(seen["convnext_atto", 256])
    and not any(seen["convnext_atto", 250])
):
    sys.exit("changed: ConvNeXt saw the last two rows and columns of 256 pixels, not of 250")
PYTHON
