"""SoftPatch (Jiang et al. 2022, arXiv 2403.14233): a memory bank that survives dirty data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor

from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.memory_bank import Distance, MemoryBank
from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace, chunks
from softpatch.detectors.base import CommonOptions
from softpatch.detectors.estimate import FitCost, seconds
from softpatch.detectors.patchcore import BANK_SIZE, MemoryBankDetector
from softpatch.detectors.reservoir import (
    DIMENSION,
    PatchReservoir,
    UpdateScores,
    compress,
    compression_axes,
    sample_size,
    sampled,
)
from softpatch.detectors.threshold import SUSPECT
from softpatch.errors import DatasetError
from softpatch.features.coarse import CoarseFeatures, averaged
from softpatch.features.projection import Projection, projection_matrix
from softpatch.images.sources import Images, OnUnreadable, warn_unreadable
from softpatch.noise.alignment import alignment, places
from softpatch.noise.contamination import (
    ContaminationEstimate,
    chance_of_bad,
    estimate_contamination,
)
from softpatch.noise.discriminators import Discriminator, PositionFree, make_discriminator
from softpatch.noise.neighbors import REFERENCES
from softpatch.noise.policy import (
    AUTO,
    PAPER,
    Strategy,
    Tau,
    check_tau,
    noise_threshold,
    strategy_of,
)
from softpatch.noise.position_free import ReferenceImages
from softpatch.runtime.tiling import TileLayout
from softpatch.storage.checkpoint import POSITIONS, Checkpoint, scored_in_parts

TRIED = 4  # positions that tell what the discriminator will take
SUSPICION_SHARE = 0.01  # of its patches, the worst, make a picture suspicious
MOST_PATCHES = 16


@dataclass(frozen=True)
class Discriminated:
    """What the discriminator makes of some pictures.

    Attributes:
        names: of the readable ones, in order.
        layouts: of the views of each.
        grid: (h, w) patches of a view.
        outlier: ``(M, P)`` scores W of the pictures or of their tiles, inside the region of
            interest.
        image_index: ``(M,)`` int64, the picture each is from, ascending.
    """

    names: list[str]
    layouts: list[TileLayout]
    grid: tuple[int, int]
    outlier: Tensor
    image_index: Tensor


class SoftPatch(MemoryBankDetector):
    """SoftPatch: denoise the patches, pick a coreset, soften it with the outlier scores.

    Args:
        discriminator: ``lof`` (paper's best), ``nearest``, ``gaussian``, ``fused`` (``lof`` times
            distance, see there) or ``anywhere`` (distance to what is most similar anywhere in the
            other pictures); ``auto`` takes ``fused`` where the pictures are aligned, ``anywhere``
            where they are not.
        k: neighbours of ``lof`` and ``fused``.
        tau: share of patches, those with the largest outlier scores, kept out of the bank; or
            ``auto``: those whose score is out of the usual. None takes ``auto`` for ``fused`` and
            the paper's 0.15 for the others.
        denoise: False keeps every patch (ablation).
        soft_weight: False scores by plain distances; None does so with ``fused`` and ``anywhere``.
        references: images that all but ``gaussian`` compare each image with, at most.
        coreset_ratio: size of the memory bank as a share of all training patches.
        bank_size: vectors in the bank at most, whatever their share.
        distance: patch score is W times the ``squared`` distance (as the released code) or the
            ``euclidean`` one (as the paper writes).
        max_false_alarms: choose a threshold that so large a share of good pictures exceeds at
            most; scores the training pictures, which takes as long as to predict them. None
            chooses none.
        projection: None works on the patches themselves; ``orthonormal`` or ``gaussian`` computes
            outlier scores and picks on a seeded random projection.
        projection_dimension: length of the projected vectors.
        options: see ``CommonOptions``.

    Attributes after ``fit``:
        bank: the ``MemoryBank``.
        alignment_: how aligned the pictures are, 0..1; None where nobody had to know.
        suspicion_: ``(N,)`` float32, how suspicious each training picture is; for ``lof`` clean
            pictures lie a little above 1.
        sample_: what ``update`` compares new pictures with.
    """

    method: ClassVar[str] = "softpatch"

    def __init__(
        self,
        *,
        discriminator: str = AUTO,
        k: int = 6,
        tau: Tau | None = None,
        denoise: bool = True,
        soft_weight: bool | None = None,
        references: int = REFERENCES,
        coreset_ratio: float = 0.1,
        bank_size: int = BANK_SIZE,
        distance: Distance = "squared",
        max_false_alarms: float | None = None,
        projection: Projection | None = None,
        projection_dimension: int = 128,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(
            coreset_ratio=coreset_ratio, bank_size=bank_size, distance=distance,
            max_false_alarms=max_false_alarms, **options,
        )  # fmt: skip
        if tau is not None:
            check_tau(tau)
        self.discriminator = discriminator
        self.k = k
        self.tau = tau
        self.denoise = denoise
        self.soft_weight = soft_weight
        self.references = references
        self.projection = projection
        self.projection_dimension = projection_dimension
        self.alignment_: float | None = None
        self.suspicion_: Tensor
        self.sample_: PatchReservoir | None = None
        self._make_discriminator()  # what is wrong should not wait for fit

    @property
    def strategy(self) -> Strategy:
        """What is done about noise; under ``auto``, what ``fit`` has chosen."""
        return strategy_of(self.discriminator, self.tau, self.soft_weight, self.alignment_)

    def _fit(
        self, patches: Tensor, image_index: Tensor, workspace: ScratchSpace, progress: Progress
    ) -> None:
        projected = self._project(patches, workspace)
        self._look_for_alignment(projected)
        compared = self._compared(patches, projected, workspace)
        outlier = self._scores_of_all(compared, progress, self._steps)  # (N, P)
        self.suspicion_ = suspicion(outlier, image_index)
        outlier = outlier.flatten()  # (n,)

        picks = greedy_coreset(
            projected.flatten(0, 1),
            self.coreset_size(len(outlier)),
            eligible=outlier <= self._noise_threshold(outlier),
            seed=self.seed,
            scratch=workspace,
            checkpoint=self._steps,
            progress=progress,
        )
        self.bank = MemoryBank(patches.flatten(0, 1)[picks], self._weights(outlier[picks]))
        images, positions, length = compared.shape
        rows = sampled(images, positions, length, self.seed)
        directions = compression_axes(compared.flatten(0, 1))
        short = compress(compared, directions, rows)
        self.sample_ = PatchReservoir.of(short, rows, image_index, picks, directions)
        self._set_held_out(patches, image_index, image_index[picks // patches.shape[1]], progress)

    def _judge(
        self, patches: Tensor, image_index: Tensor, workspace: ScratchSpace, progress: Progress
    ) -> UpdateScores:
        """Compare new pictures and the sample of those before with each other."""
        if self.sample_ is None:
            raise DatasetError("the model was fitted before models could be updated; fit it again")
        kept = self.sample_.patches
        if kept.shape[1] != patches.shape[1]:
            raise DatasetError(
                f"the new pictures have {patches.shape[1]} patches and those before "
                f"{kept.shape[1]}; a model is updated with pictures of the same size"
            )
        directions = self.sample_.directions
        compared = self._compared(patches, self._project(patches, workspace), workspace)
        short = compress(compared, directions)
        every = torch.arange(short.shape[:2].numel())
        new = PatchReservoir.of(short, torch.arange(len(short)), image_index, every, directions)
        pictures = self.sample_.joined(new, len(self.image_names_))
        outlier = self._outlier_scores(pictures.patches.float(), progress)  # (r + M, P)
        known = pictures.of_bank >= 0
        found = outlier.flatten()[pictures.of_bank]
        old = slice(len(self.bank))
        if self.strategy.soft_weight:
            # Either is an estimate: the one from fewer pictures, the other from shorter patches.
            both = (self.bank.weights * found[old]).sqrt()
            found[old] = torch.where(known[old], both, self.bank.weights)
        limit = torch.full_like(found, self._noise_threshold(outlier.flatten()))
        # A bank is what lies farthest out, so a sixth of it would leave at every update for small
        # changes of W, and not come back: ten of them took 0.006 of image AUROC on magnetic tile.
        limit[old] *= limit[old] / outlier.median()
        admitted = ~known | (found <= limit)
        return UpdateScores(self._weights(found), admitted, outlier, pictures)

    def _picking_space(self, vectors: Tensor, workspace: ScratchSpace) -> Tensor:
        return self._project(vectors.unsqueeze(1), workspace).squeeze(1)

    def _remember(
        self, image_index: Tensor, judged: UpdateScores, picks: Tensor, share: float
    ) -> None:
        pictures, outlier = judged.pictures, judged.outlier
        if pictures is None or outlier is None:
            return
        new = suspicion(outlier[-len(image_index) :], image_index)
        self.suspicion_ = torch.cat([self.suspicion_, new])
        whole = pictures.image_index >= 0  # those before are judged anew
        self.suspicion_[pictures.image_index[whole]] = worst(outlier[whole])
        draw = self.seed + len(self.image_names_)
        self.sample_ = pictures.drawn(picks, len(image_index), share, draw)

    def _suspected(self) -> Tensor:
        chances = torch.from_numpy(chance_of_bad(self.suspicion_.cpu().numpy()))
        return (chances > SUSPECT).nonzero().flatten().to(self.device)

    def _foresee(self, sample: Tensor, images: int) -> FitCost:
        bank = super()._foresee(sample, images)
        positions = sample.shape[1]
        if not self._fitted:
            self._look_for_alignment(sample)
        dimension = self._compared_length(sample.shape[2])
        discriminate = self._make_discriminator()
        # Random numbers will do: the cost does not depend on what they are.
        arrays = bank.arrays
        if isinstance(discriminate, PositionFree):
            arrays = [4 * images * positions * dimension, *arrays]
            one = torch.rand(positions, dimension, device=sample.device)
            references = len(discriminate.chosen(images, positions))
            samples = torch.rand(references, discriminate.sampled(positions), dimension)
            memory = ReferenceImages(samples.to(one))
            scored = seconds(lambda: memory.to_similar(one))
            taken = references * seconds(lambda: discriminate.sample(one)) + images * scored
        else:
            few = torch.rand(min(positions, TRIED), images, dimension, device=sample.device)
            taken = positions / len(few) * seconds(lambda: discriminate(few, silent))
        kept = min(dimension, DIMENSION)
        half = 2 * sample_size(images, positions, dimension) * positions * kept
        return replace(
            bank,
            seconds={"discriminate": taken, **bank.seconds},
            arrays=arrays,
            model=bank.model + half + 4 * dimension * kept,
        )

    def _scores_of_all(
        self, compared: Tensor, progress: Progress, checkpoint: Checkpoint | None = None
    ) -> Tensor:
        """Of all training pictures, which a cluster has scored already: ``(N, P)``."""
        return self._outlier_scores(compared, progress, checkpoint)

    def _make_discriminator(self) -> Discriminator:
        name = self.strategy.discriminator
        return make_discriminator(name, self.k, self.references, self.seed)

    def _look_for_alignment(self, patches: Tensor) -> None:
        """Of ``(N, P, D)`` pictures; those in tiles count as not aligned."""
        self.alignment_ = None
        if self.discriminator != AUTO or any(len(layout.tiles) > 1 for layout in self._layouts):
            return
        grid = self._get_extractor().grid
        inside = ... if self.roi is None else self.roi.inside(self._layouts[0], grid)[0]
        self.alignment_ = alignment(patches, places(grid)[inside])

    def _compared(self, patches: Tensor, projected: Tensor, workspace: ScratchSpace) -> Tensor:
        """What the discriminator compares: ``(N, P, D)`` -> ``(N, P, d)``."""
        if self._make_discriminator().by_position:
            return projected
        images, positions, dimension = patches.shape
        compared = workspace.empty(images, positions, self._compared_length(dimension))
        numbers = self._coarse_numbers()
        for chunk in chunks(images, bytes_per_item=8 * positions * dimension):
            compared[chunk] = self._averaged(numbers(patches[chunk]))
        return compared

    def _compared_length(self, dimension: int) -> int:
        """Of what the discriminator compares of patches of that length."""
        if not self._make_discriminator().by_position:
            return self._coarse_numbers().length
        return dimension if self.projection is None else self.projection_dimension

    def _coarse_numbers(self) -> CoarseFeatures:
        return CoarseFeatures.of(self._get_extractor().embedding)

    def _averaged(self, numbers: Tensor) -> Tensor:
        grid = self._get_extractor().grid
        inside = None if self.roi is None else self.roi.inside(self._layouts[0], grid)
        return averaged(numbers, grid, None if inside is None else inside.to(numbers.device))

    def _outlier_scores(
        self, compared: Tensor, progress: Progress, checkpoint: Checkpoint | None = None
    ) -> Tensor:
        """``(N, P, d)`` -> ``(N, P)`` scores W of patches, compared across the images."""
        discriminate = self._make_discriminator()
        by_position = compared.transpose(0, 1)  # (N, P, d) -> (P, N, d)
        at_once = POSITIONS if discriminate.by_position else len(by_position)
        scores = scored_in_parts(discriminate, by_position, at_once, checkpoint, progress)
        return scores.T.contiguous()  # (P, N) -> (N, P)

    def _noise_threshold(self, outlier: Tensor) -> float:
        """Patches whose W is above stay out of the bank."""
        if not self.denoise:
            return float("inf")
        return noise_threshold(outlier.cpu().numpy(), self.strategy.tau)

    def _weights(self, outlier: Tensor) -> Tensor:
        """With which vectors of these outlier scores are in the bank."""
        return outlier if self.strategy.soft_weight else torch.ones_like(outlier)

    def _project(self, patches: Tensor, workspace: ScratchSpace) -> Tensor:
        if self.projection is None:
            return patches
        images, positions, dimension = patches.shape
        matrix = projection_matrix(
            self.projection, dimension, self.projection_dimension, self.seed
        ).to(patches)
        projected = workspace.empty(images, positions, self.projection_dimension)
        for chunk in chunks(images, bytes_per_item=4 * positions * dimension):
            projected[chunk] = patches[chunk] @ matrix
        return projected

    def discriminate(
        self,
        images: Images,
        *,
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
    ) -> Discriminated:
        """The first half of ``fit``, for those who want W and no model.

        Args and errors are those of ``fit``.
        """
        grid = self._get_extractor().grid  # in memory before the workspace looks at what is left
        workspace = ScratchSpace(self.memory_limit, self.device)
        with torch.inference_mode():
            patches, image_index, names = self._collect(images, workspace, on_unreadable, progress)
            projected = self._project(patches, workspace)
            self._look_for_alignment(projected)
            outlier = self._scores_of_all(self._compared(patches, projected, workspace), progress)
        return Discriminated(names, self._layouts, grid, outlier, image_index)

    def suspects(self, first: int = 0) -> list[tuple[str, float]]:
        """Training pictures and their suspicion, most suspicious first.

        Args:
            first: of ``image_names_`` to look at; after an update, the new ones come last.

        Raises:
            NotFittedError: before ``fit``.
        """
        self._require_fitted()
        order = self.suspicion_[first:].argsort(descending=True, stable=True).tolist()
        return [(self.image_names_[first + i], float(self.suspicion_[first + i])) for i in order]

    @property
    def audit_(self) -> ContaminationEstimate:
        """The share of bad training pictures, and how surely each of ``image_names_`` is one.

        By the model's own outlier scores. ``softpatch.audit`` chooses what to compare, and says
        where and why.

        Raises:
            NotFittedError: before ``fit``.
        """
        self._require_fitted()
        return estimate_contamination(self.suspicion_.double().cpu().numpy(), self.seed)

    def _parameters(self) -> dict[str, Any]:
        names = (
            "discriminator", "k", "tau", "denoise", "soft_weight", "references", "coreset_ratio",
            "bank_size", "distance", "max_false_alarms", "projection", "projection_dimension",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _state(self) -> dict[str, Tensor]:
        state = {**super()._state(), "suspicion": self.suspicion_}
        if self.alignment_ is not None:
            state["alignment"] = torch.tensor(self.alignment_, dtype=torch.float64)
        if self.sample_ is not None:
            state |= self.sample_.state()
        return state

    def _restore(self, state: dict[str, Tensor]) -> None:
        super()._restore(state)
        suspicion = state["suspicion"]
        if suspicion.shape != (len(self.image_names_),) or suspicion.dtype != torch.float32:
            raise ValueError("suspicion does not match the list of images")
        self.suspicion_ = state["suspicion"]
        if (share := state.get("alignment")) is not None:
            if share.ndim or not 0 <= share <= 1:
                raise ValueError("the alignment is no share")
            self.alignment_ = float(share)
        softened = bool((self.bank.weights != 1).any())
        if softened and self.soft_weight is None and self.discriminator == AUTO:
            self.discriminator = PAPER.discriminator  # what it took in older files
        if "sample_directions" in state:  # not in older files
            dimension = self._compared_length(self._get_extractor().dimension)
            self.sample_ = PatchReservoir.restored(
                state, dimension, len(self.image_names_), len(self.bank)
            )


def suspicion(outlier: Tensor, image_index: Tensor) -> Tensor:
    """How odd each picture is where it is oddest.

    Args:
        outlier: ``(M, P)`` outlier scores, of pictures or of their tiles.
        image_index: ``(M,)`` the picture each is from, ascending.

    Returns:
        ``(N,)`` means of each picture's worst 1 % of scores, or worst ``MOST_PATCHES``: in a large
        tiled picture a small defect is as suspicious as in a small one.
    """
    scores = worst(outlier)
    of_pictures = scores.new_zeros(int(image_index[-1]) + 1)
    return of_pictures.scatter_reduce_(0, image_index, scores, "amax")


def worst(outlier: Tensor) -> Tensor:
    """``(M, P)`` -> ``(M,)`` means of the worst."""
    count = min(MOST_PATCHES, max(1, int(SUSPICION_SHARE * outlier.shape[1])))
    return outlier.topk(count, dim=1).values.mean(dim=1)
