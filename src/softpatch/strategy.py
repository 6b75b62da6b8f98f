"""What is done about noise: how it is told, how much stays out, whether the bank is softened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from softpatch.noise import Tau

AUTO: Literal["auto"] = "auto"
ALIGNED = 0.9  # alignment from which places in different pictures show the same


@dataclass(frozen=True)
class Strategy:
    """The three choices that go together.

    Attributes:
        discriminator: what the outlier scores W are.
        tau: how many of the patches stay out of the bank, see ``noise_threshold``.
        soft_weight: whether W softens what is in the bank.
    """

    discriminator: str
    tau: Tau
    soft_weight: bool


PAPER = Strategy("lof", 0.15, soft_weight=True)
# Its scores grow with distance, which would soften what is rare and good: 0.01 of pixel AUROC on
# bottle, 0.03 on magnetic tile.
FUSED = Strategy("fused", "auto", soft_weight=False)
ANYWHERE = Strategy("anywhere", 0.15, soft_weight=False)


def strategy_of(
    discriminator: str, tau: Tau | None, soft_weight: bool | None, alignment: float | None
) -> Strategy:
    """The choices that were made, and for those left open what was measured to go well with them.

    Where parts lie in place, distances tell defects from good patches however often they recur,
    and few good patches have to go. Where they do not, a place shows something else in every
    picture: what has its like anywhere in two others stays. See docs/robust.md.

    Args:
        discriminator: by name, or ``auto``: by the alignment.
        tau: None leaves it open.
        soft_weight: None leaves it open.
        alignment: see ``softpatch.alignment``; None is unknown, which counts as not aligned.
    """
    if discriminator == AUTO:
        aligned = alignment is not None and alignment >= ALIGNED
        discriminator = (FUSED if aligned else ANYWHERE).discriminator
    usual = {each.discriminator: each for each in (FUSED, ANYWHERE)}.get(discriminator, PAPER)
    return Strategy(
        discriminator,
        usual.tau if tau is None else tau,
        usual.soft_weight if soft_weight is None else soft_weight,
    )
