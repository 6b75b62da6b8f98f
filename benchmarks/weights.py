"""Random weights whose features vary in as many directions as trained ones do.

timm starts the last normalisation of every residual block at zero, so in a network with random
weights no block adds anything, and nearly all variance of its features is in a few directions.
That flatters softpatch: its coreset and search skip pairs by leading directions, and peers
compare every pair whatever the features are. Here every normalisation starts at one and takes its
mean and variance from the training pictures. Features then vary in somewhat more directions than
with trained weights: softpatch's steps cost at least what they would there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import safetensors.torch
import timm
import torch
from torch import nn

from benchmarks.pictures import read_batches, training_and_test
from softpatch.features.backbones import named_backbone
from softpatch.features.presets import configure
from softpatch.images.preprocessing import Preprocessing

PICTURES = 16
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--file", type=Path, required=True)
    arguments = parser.parse_args()
    paths, _ = training_and_test(arguments.data, PICTURES)
    network = calibrated(arguments.backbone, paths)
    safetensors.torch.save_file(network.state_dict(), arguments.file)
    print(json.dumps({"file": str(arguments.file)}))


@torch.inference_mode()
def calibrated(name: str, paths: list[Path]) -> nn.Module:
    """A timm network with random weights, normalised on the pictures."""
    torch.manual_seed(0)
    network: nn.Module = timm.create_model(name, pretrained=False)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.ones_(norm.weight)
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    config = configure("edge", backbone=name)
    backbone = named_backbone(name, None, "random")
    preprocessing = Preprocessing(config.resize, config.crop, backbone.mean, backbone.std)
    for images in read_batches(paths, preprocessing, BATCH):
        network.train()(images)
    return network.eval()


if __name__ == "__main__":
    main()
