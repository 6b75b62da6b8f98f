"""Which pictures of a lot are bad, so that few of those called so are good."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from softpatch.ranges.table import check
from softpatch.runtime.writers import Row, Writer


def discoveries(p_values: Sequence[float], share: float) -> npt.NDArray[np.bool_]:
    """``(n,)``: the pictures of a lot that are bad, by Benjamini and Hochberg's procedure (1995).

    Of lots whose good pictures are exchangeable with those of the reference, on average at most
    that share of the pictures called bad is good: conformal p-values that have one reference
    depend on each other in a way that the procedure allows (Bates et al., Annals of Statistics 51,
    2023).

    Args:
        p_values: as ``softpatch.runtime.verdict.p_value`` has them.
        share: in (0, 1).

    Raises:
        UsageError: ``share`` outside (0, 1).
    """
    share = check("fdr", share)
    values = np.asarray(p_values, dtype=np.float64)
    ascending = np.sort(values)
    kept = ascending <= share * np.arange(1, len(values) + 1) / max(1, len(values))
    largest = ascending[kept].max() if kept.any() else -1.0
    found: npt.NDArray[np.bool_] = values <= largest
    return found


class Discoveries(Writer):
    """A column ``discovery``: whether a picture is among those of its lot."""

    def __init__(self, share: float, reference: int) -> None:
        """``share`` as ``discoveries`` takes and refuses it; p-values are by so many pictures."""
        self.share = float(check("fdr", share))
        self.reference = reference

    def finish(self, rows: Sequence[Row]) -> None:
        """Add it to rows with p-values."""
        rated = [row for row in rows if "p_value" in row]
        found = discoveries([row["p_value"] for row in rated], self.share)
        for row, one in zip(rated, found.tolist(), strict=True):
            row["discovery"] = one

    def words(self, rows: Sequence[Row]) -> str:
        """What that comes to, after ``finish``."""
        found = [row for row in rows if row.get("discovery")]
        of_ten = f"of such lists at most {100 * self.share:.4g}% is good on average"
        if found:
            return f"{len(found)} of {len(rows)} pictures are bad as a lot: {of_ten}"
        least = min(row["p_value"] for row in rows if "p_value" in row)
        return (
            f"none of {len(rows)} pictures is bad as a lot: {of_ten}, and the least p-value is "
            f"{least:.2g}{self._fewest(len(rows))}"
        )

    def _fewest(self, pictures: int) -> str:
        """How few can be called so, where that is not one: no p-value is below 1 / (n + 1)."""
        fewest = math.ceil(pictures / (self.share * (self.reference + 1)) - 1e-9)
        if fewest > pictures:
            return f"; {self.reference} training pictures are too few to call any so"
        if fewest > 1:
            return (
                f"; by {self.reference} training pictures no fewer than {fewest} can be called so"
            )
        return ""
