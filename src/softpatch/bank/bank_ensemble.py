"""Several memory banks: a patch is as far away as the median of them says."""

from __future__ import annotations

import torch
from torch import Tensor

from softpatch.bank.bounds import sketch_of
from softpatch.bank.memory_bank import Distance, MemoryBank


class BankEnsemble:
    """Memory banks of one size, without weights.

    Attributes:
        vectors: ``(b, m, D)`` float32, m vectors in each of b banks.
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        ones = vectors.new_ones(vectors.shape[1])
        sketch = sketch_of(vectors.flatten(0, 1))
        self._banks = [MemoryBank(one, ones, sketch) for one in vectors]

    def score(
        self, patches: Tensor, distance: Distance, skip_own: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """``(q, D)`` -> ``(q,)`` patch scores: the median of the distances to the b banks, squared.

        The distance to a bank is that to its nearest vector, exactly; ``euclidean`` leaves the
        median as it is.

        Args:
            patches: ``(q, D)`` float32.
            distance: whether the median is squared.
            skip_own: image indices of the patches ``(q,)`` and of the vectors ``(b, m)``. Vectors
                of a patch's own image are skipped; a bank that has no others has no say.

        Returns:
            ``(q,)`` float32, at least 0; infinite where all vectors of all banks were skipped.
        """
        found = []
        for number, bank in enumerate(self._banks):
            skipped = None if skip_own is None else (skip_own[0], skip_own[1][number])
            found.append(bank.nearest(patches, skipped)[0])
        median = finite_median(torch.stack(found))
        return median.square() if distance == "squared" else median


def finite_median(values: Tensor) -> Tensor:
    """``(b, q)`` -> ``(q,)``: the median of each column's finite values; infinite without any.

    Of an even number, the mean of the two in the middle.
    """
    ascending = values.sort(dim=0).values
    count = ascending.isfinite().sum(dim=0, keepdim=True)  # (1, q)
    lower = ascending.gather(0, (count - 1).clamp(min=0) // 2)
    upper = ascending.gather(0, count // 2)
    return ((lower + upper) / 2).squeeze(0)
