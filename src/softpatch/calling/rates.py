"""So many of so many pictures: what that says of others, and whether two such counts agree."""

from __future__ import annotations

import math
from dataclasses import dataclass

NORMAL = 1.959963984540054  # quantile at 97.5 %: between it and its negative lie 95 %


@dataclass(frozen=True)
class Rate:
    """A count.

    Attributes:
        count: pictures, such as those above a limit.
        of: all that were looked at, at least 1.
    """

    count: int
    of: int

    @property
    def share(self) -> float:
        """In 0..1."""
        return self.count / self.of

    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share of all such pictures."""
        slack = NORMAL**2 / self.of
        centre = (self.share + slack / 2) / (1 + slack)
        half = math.sqrt(self.share * (1 - self.share) * slack + slack**2 / 4) / (1 + slack)
        low = 0.0 if self.count == 0 else centre - half
        return low, 1.0 if self.count == self.of else centre + half

    def __str__(self) -> str:
        low, high = self.interval()
        return (
            f"{self.count} of {self.of} ({self.share:.1%}; 95 % interval {low:.1%} to {high:.1%})"
        )


def chance_of_more(one: Rate, other: Rate) -> float:
    """P(that ``one`` has so many of what both have together, or more), all being alike.

    Fisher's exact test to one side. It is exact, too, if what is counted is what exceeds a limit
    that is one of the scores of ``other``.
    """
    return _chance(one, other, range(other.count + 1))


def chance_of_fewer(one: Rate, other: Rate) -> float:
    """P(that ``one`` has so few of what both have together, or fewer), all being alike."""
    most = min(other.of, one.count + other.count)
    return _chance(one, other, range(other.count, most + 1))


def _chance(one: Rate, other: Rate, of_other: range) -> float:
    """P(that ``other`` has that many of what both have together)."""
    both = one.count + other.count
    ways = sum(math.comb(other.of, at) * math.comb(one.of, both - at) for at in of_other)
    return ways / math.comb(one.of + other.of, both)
