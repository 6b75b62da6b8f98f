"""The detectors: SoftPatch, supported bank, PatchCore, PaDiM, random banks, what they share."""

from softpatch.detectors.bank_detector import BankDetector
from softpatch.detectors.base import Detector
from softpatch.detectors.calibrated import CalibratedDetector
from softpatch.detectors.padim import PaDiM
from softpatch.detectors.patchcore import PatchCore
from softpatch.detectors.random_bank import RandomBank
from softpatch.detectors.random_ensemble import RandomEnsemble
from softpatch.detectors.registry import METHODS, make_detector, no_threshold
from softpatch.detectors.softpatch import SoftPatch

__all__ = [
    "METHODS",
    "BankDetector",
    "CalibratedDetector",
    "Detector",
    "PaDiM",
    "PatchCore",
    "RandomBank",
    "RandomEnsemble",
    "SoftPatch",
    "make_detector",
    "no_threshold",
]
