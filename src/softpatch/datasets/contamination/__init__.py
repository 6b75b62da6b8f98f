"""Contaminating a clean training set on purpose: kinds, draws and manifests.

kinds.py     what can go wrong, and which pictures that draws from
severity.py  how bad a defect looks, for the mild ones
pictures.py  pictures taken again: turned and shifted a little, or photographed badly
draw.py      the draw itself, its manifest, and the training and test sets it makes
"""

from softpatch.datasets.contamination.draw import (
    Contamination,
    contaminate,
    largest_noise,
    read_manifest,
)
from softpatch.datasets.contamination.kinds import KINDS

__all__ = ["KINDS", "Contamination", "contaminate", "largest_noise", "read_manifest"]
