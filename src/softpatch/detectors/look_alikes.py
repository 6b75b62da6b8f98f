"""An image's score beside what the training images most like it score.

Where light or finish differ from picture to picture, some good pictures score more than others do,
and those most like them do so, too, when they are held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from softpatch.detectors.reservoir import renumber, take_union
from softpatch.storage.model_file import LARGEST_NUMBER

KEPT = 500  # training images at most
ALIKE = 30  # of them, the most similar, are looked at; with so few in all no score changes
# Good pictures' held-out scores lie within 0.89 and 1.18 of their median on four of six real sets.
# Bad ones that recur reach 2.3 times it, and without a limit would excuse each other: turned
# bottles, 30 % bad, lose 0.20 of image AUROC, with this limit 0.002.
MOST = 1.25


@dataclass(frozen=True)
class LookAlikes:
    """What some training images look like, and what each of them scores when it is held out.

    Attributes:
        looks: ``(n, D)`` float32, of each image, or tile, the mean of its patches.
        scores: ``(n,)`` float32, of each by the bank without its image's own vectors, at least 0.
        images: ``(n,)`` int64, index of each one's training image.
    """

    looks: Tensor
    scores: Tensor
    images: Tensor

    @classmethod
    def of(cls, looks: Tensor, scores: Tensor, images: Tensor) -> Self:
        """Some of all training images; those without a finite score tell nothing."""
        there = scores.isfinite().nonzero().flatten()
        there = there[torch.linspace(0, len(there) - 1, min(KEPT, len(there))).long()]
        return cls(looks[there], scores[there], images[there])

    def allowance(self, looks: Tensor, images: Tensor | None = None) -> Tensor:
        """How much more than the usual one scores what is most like an image: median by median.

        Args:
            looks: ``(B, D)`` means of the patches of images.
            images: ``(B,)`` int64, which training images they are: these are no look-alikes of
                their own.

        Returns:
            ``(B,)`` in 1 / ``MOST``..``MOST``; 1 where there is nothing to compare with.
        """
        # Not by a matrix product: means of patches are alike, and squares would cancel.
        apart = (looks.unsqueeze(1) - self.looks).square().sum(dim=2)  # (B, n)
        scores, others = self.scores.expand(len(looks), -1), len(self.looks)
        if images is not None:
            own = images.unsqueeze(1) == self.images
            apart, scores = apart.masked_fill(own, torch.inf), scores.masked_fill(own, torch.inf)
            others -= int(own.sum(dim=1).amax())
        if others < 1:
            return looks.new_ones(len(looks))
        alike = apart.topk(min(ALIKE, others), largest=False).indices
        usual, everywhere = _median(self.scores[alike]), _median(scores, others)
        tiny = torch.finfo(scores.dtype).tiny  # where all of them are the same picture
        return ((usual + tiny) / (everywhere + tiny)).clamp(1 / MOST, MOST)

    def joined(self, other: Self, numbers: Tensor, share: float, draw: int) -> Self:
        """With another's images that are not among these, which are that share of all.

        ``numbers`` ``(n,)`` int64 says which of all images each of the other's is.
        """
        images = renumber(other.images, numbers)
        new = ~torch.isin(images, self.images.to(images.device))
        return type(self)(
            *(
                take_union(one, another[new], KEPT, share, draw)
                for one, another in (
                    (self.looks, other.looks),
                    (self.scores, other.scores),
                    (self.images, images),
                )
            )
        )

    def tensors(self) -> dict[str, Tensor]:
        """What a model file holds of it."""
        return {"looks": self.looks, "looks_scores": self.scores, "looks_images": self.images}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], dimension: int, images: int) -> Self | None:
        """What a model file, which may hold anything, has of it; None where it has none.

        Raises:
            KeyError, ValueError: not of so many numbers a patch and so many images.
        """
        if "looks" not in tensors:
            return None
        looks, scores, of = (tensors[name] for name in ("looks", "looks_scores", "looks_images"))
        if looks.ndim != 2 or looks.shape[1] != dimension or not 0 < len(looks) <= KEPT:
            raise ValueError("the look-alikes are not this backbone's")
        if not scores.shape == of.shape == looks.shape[:1]:
            raise ValueError("the look-alikes do not belong together")
        if {looks.dtype, scores.dtype} != {torch.float32} or of.dtype != torch.int64:
            raise ValueError("the look-alikes are not what a model holds")
        if looks.abs().max() > LARGEST_NUMBER or not 0 <= scores.min() <= scores.max():
            raise ValueError("the look-alikes hold numbers no picture has")
        if not 0 <= int(of.min()) <= int(of.max()) < images:
            raise ValueError("the look-alikes are of pictures that there are not")
        return cls(looks, scores, of)


def _median(values: Tensor, count: int | None = None) -> Tensor:
    """``(B, n)`` -> ``(B,)``, of the ``count`` smallest, the lower one of two.

    An exported model has no median of its own.
    """
    count = values.shape[1] if count is None else count
    return values.topk((count + 1) // 2, largest=False).values[:, -1]
