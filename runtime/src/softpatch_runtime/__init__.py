"""Runs what ``softpatch export`` wrote, without torch.

>>> from softpatch_runtime import Detector                    # doctest: +SKIP
>>> Detector("part.onnx").predict("new.png").score            # doctest: +SKIP
"""

from softpatch_runtime.detector import Detector
from softpatch_runtime.errors import ImageError, ModelFileError, RuntimeFault, UsageError
from softpatch_runtime.prediction import Prediction

__all__ = ["Detector", "ImageError", "ModelFileError", "Prediction", "RuntimeFault", "UsageError"]
__version__ = "0.1.0"
