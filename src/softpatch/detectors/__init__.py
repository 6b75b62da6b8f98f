"""The detectors: SoftPatch, PatchCore, PaDiM, and what they share."""

from softpatch.detectors.bank_detector import BankDetector
from softpatch.detectors.base import Detector
from softpatch.detectors.padim import PaDiM
from softpatch.detectors.patchcore import PatchCore
from softpatch.detectors.registry import METHODS, make_detector, no_threshold
from softpatch.detectors.softpatch import SoftPatch

__all__ = [
    "METHODS",
    "BankDetector",
    "Detector",
    "PaDiM",
    "PatchCore",
    "SoftPatch",
    "make_detector",
    "no_threshold",
]
