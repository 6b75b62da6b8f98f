"""Scores and shares as people read them: ``6253``, and ``15 of 1,000``."""

from __future__ import annotations

PARTS = 1_000  # that a share is told of
MOST_PARTS = 100_000


def of_so_many(*shares: float) -> tuple[tuple[int, ...], int]:
    """Each as a number of parts, and of how many: 1,000, or more where that would not tell them.

    Shares below 1 of 1,000 are not told by it, nor are two that differ by less.
    """
    base = PARTS
    while base < MOST_PARTS:
        parts = {round(share * base) for share in shares}
        if min(parts) > 0 and len(parts) == len(set(shares)):
            break
        base *= 10
    return tuple(round(share * base) for share in shares), base


def of_look_limit(look: float | None, threshold: float | None) -> str:
    """What a look limit does, which has no effect from the threshold on."""
    if look is None:
        return "no look limit"
    if threshold is not None and look >= threshold:
        return f"look limit {rounded(look)}, not below the limit: pictures are good or bad alone"
    return f"look limit {rounded(look)}: pictures above it, up to the limit, are worth a look"


def rounded(score: float) -> str:
    """To about four digits."""
    return f"{score:.0f}" if 1000 <= score < 1e7 else f"{score:.4g}"
