"""The routes compared: softpatch with and without its options, and its peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from benchmarks.ours import NotAvailableError
from softpatch.export.graph import Precision
from softpatch.features import FeatureConfig

RATIO = 0.1  # of all patches enter every route's bank


class Route(Protocol):
    """One way from pictures to a memory bank and scores. Building it loads the backbone."""

    def fit(self, paths: list[Path]) -> dict[str, float]:
        """Learn, reading the pictures included; seconds by step."""
        ...

    def predict(self, path: Path) -> float:
        """One picture's score; its map is computed too."""
        ...

    def describe(self) -> dict[str, Any]:
        """What decides its cost, after ``fit``: vectors in the bank and their length at least."""
        ...


# Constructor options of SoftPatch by route; a route whose option it does not have is left out.
OURS: dict[str, dict[str, Any]] = {
    "softpatch": {},
    "softpatch-bf16": {"precision": "bf16"},
    "softpatch-1gb": {"memory_limit": 1_000_000_000},
    "softpatch-100": {},
}
EXPORTED: dict[str, Precision] = {"softpatch-openvino": "fp32", "softpatch-int8": "int8"}
ROUTES = (*OURS, *EXPORTED, "released", "anomalib")
# Training pictures of a route at most. anomalib's coreset was not through with all of bottle's
# after 20 minutes; ours has the same few to be compared with it.
MOST = {"softpatch-100": 100, "anomalib": 100}


def make_route(name: str, config: FeatureConfig) -> Route:
    """Build a route.

    Raises:
        NotAvailableError: an option or a package it needs is missing.
    """
    try:
        if name == "released":
            import faiss  # noqa: F401, before the work begins

            from benchmarks.reference.released import ReleasedSoftPatch

            return ReleasedSoftPatch(config, ratio=RATIO)
        if name == "anomalib":
            from benchmarks.reference.anomalib_patchcore import AnomalibPatchCore

            return AnomalibPatchCore(config, ratio=RATIO)
    except ModuleNotFoundError as error:
        raise NotAvailableError(f"{error.name} is not installed") from error
    from benchmarks.ours import OurExported, OurSoftPatch

    if name in EXPORTED:
        return OurExported(config, RATIO, EXPORTED[name])
    return OurSoftPatch(config, RATIO, OURS[name])
