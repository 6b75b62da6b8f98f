"""The row of a results table; without torch, so that a page of results is made without it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """One row of a results table; metrics lie in [0, 1] and are None where undefined.

    Attributes:
        pixel_at: where pixel metrics were taken, see ``Measurement``.
        n_test_bad: defective ones among the ``n_test`` pictures.
        false_alarms, found: shares of the good and of the defective test pictures above the model's
            own threshold; None without one.
        audit_auroc: how well suspicion separates the injected training images from the clean
            ones; None for methods without suspicion and for clean training sets.
    """

    method: str
    category: str
    noise: float
    policy: str
    seed: int
    n_train: int
    n_injected: int
    n_test: int
    image_auroc: float | None
    image_ap: float | None
    image_f1max: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    aupro: float | None
    fit_seconds: float
    predict_seconds_per_image: float
    peak_memory_mb: float | None
    kind: str
    pixel_at: str
    audit_auroc: float | None
    n_test_bad: int
    false_alarms: float | None
    found: float | None

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Costs:
    """What a fit and its predictions took."""

    fit_seconds: float
    predict_seconds_per_image: float
    peak_memory_mb: float | None
