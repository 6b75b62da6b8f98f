"""Why a picture deserves a look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One thing about a picture.

    Attributes:
        code: for programs: ``anomalous``, ``outlier``, ``duplicate``, ``near-duplicate``,
            ``repeated-defect``, ``other-size``, ``other-mode``, ``blank``, ``blurred``,
            ``too-dark`` or ``too-bright``.
        text: for people.
    """

    code: str
    text: str
