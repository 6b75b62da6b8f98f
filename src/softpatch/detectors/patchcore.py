"""PatchCore (Roth et al. 2022): coreset memory bank and nearest-neighbour scores.

It is SoftPatch without the noise discriminator and without soft weights, and the baseline that
contaminated training data breaks.
"""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import Any, ClassVar, Self, Unpack

import torch
from torch import Tensor

from softpatch.bank.bounds import number_format, row_length
from softpatch.bank.coreset import greedy_coreset
from softpatch.bank.memory_bank import Distance, MemoryBank
from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors.base import NORMAL_SHARE, CommonOptions, Detector
from softpatch.detectors.estimate import FitCost, coreset_seconds, seconds
from softpatch.detectors.reservoir import UpdateScores, take_union, without_share
from softpatch.detectors.threshold import Threshold, check_false_alarms, threshold_without_labels
from softpatch.errors import NotFittedError, UsageError
from softpatch.images.sources import Images, OnUnreadable, warn_unreadable
from softpatch.storage.lineage import Lineage
from softpatch.storage.model_file import LARGEST_NUMBER

BANK_SIZE = 20_000  # at most, by default: fit and predict then cost the same an image at any size
LARGEST_WEIGHT = 1e15  # in a model file; W of copies is 1e12
NORMAL_SAMPLE = 4096  # patches it is estimated from
MOST_HELD_OUT = 500  # training pictures that are scored for the threshold
REWEIGHTING_NEIGHBOURS = 9  # b in the PatchCore paper, eq. 7


class MemoryBankDetector(Detector):
    """What SoftPatch and PatchCore share: a bank, scored by the distance to its nearest vector.

    Attributes after ``fit`` with ``max_false_alarms``:
        held_out_: ``(n,)`` float32 scores of training pictures, at most ``MOST_HELD_OUT``, each by
            the bank without the picture's own vectors.
        held_out_of_: ``(n, 2)`` int64, of each the picture, an index in ``image_names_``, and how
            many pictures the bank had seen.
    """

    def __init__(
        self,
        *,
        coreset_ratio: float,
        bank_size: int,
        distance: Distance,
        max_false_alarms: float | None,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(**options)
        if max_false_alarms is not None:
            check_false_alarms(max_false_alarms)
        if not 0 < coreset_ratio <= 1:
            raise UsageError(f"coreset_ratio must lie in (0, 1], got {coreset_ratio}")
        if bank_size < 1:
            raise UsageError(f"bank_size must be at least 1, got {bank_size}")
        if distance not in ("squared", "euclidean"):
            raise UsageError(f"distance must be squared or euclidean, got {distance!r}")
        self.coreset_ratio = coreset_ratio
        self.bank_size = bank_size
        self.distance = distance
        self.max_false_alarms = max_false_alarms
        self.bank: MemoryBank
        self.held_out_: Tensor | None = None
        self.held_out_of_: Tensor | None = None

    # -- what a method adds ------------------------------------------------------------------

    @abstractmethod
    def _judge(
        self, patches: Tensor, image_index: Tensor, workspace: ScratchSpace, progress: Progress
    ) -> UpdateScores:
        """Judge the bank, and the ``(M, P, D)`` patches of new training pictures."""

    def _picking_space(self, vectors: Tensor, workspace: ScratchSpace) -> Tensor:
        """``(n, D)`` -> what the coreset is picked by."""
        del workspace
        return vectors

    def _suspected(self) -> Tensor:
        """Indices of the pictures that are more likely bad than good, as far as it can tell."""
        return torch.empty(0, dtype=torch.long, device=self.device)

    def _remember(
        self, image_index: Tensor, judged: UpdateScores, picks: Tensor, share: float
    ) -> None:
        """Keep what else of new pictures is needed.

        Args:
            image_index: ``(M,)`` the new picture each is from.
            judged: what ``_judge`` gave.
            picks: ``(m',)`` which of the judged vectors are the bank now.
            share: of all pictures seen that are new.
        """

    # ----------------------------------------------------------------------------------------

    def update(
        self,
        images: Images,
        *,
        forget: float = 0.0,
        on_unreadable: OnUnreadable = warn_unreadable,
        progress: Progress = silent,
    ) -> Self:
        """Learn from more pictures, of which most are good, without those learned from before.

        As in ``fit``, outlier patches stay out of the bank. It grows by ``coreset_ratio`` of the
        new patches, to ``bank_size`` at most; old vectors stay, but for what the new pictures show
        to be outliers and, where there is no room, the new ones' share. The threshold is chosen
        anew, unless it was set otherwise since.

        Args:
            images: as in ``fit``; one is enough.
            forget: share of the bank's vectors, drawn by ``seed``, that are forgotten first. A
                vector outlives u updates with probability (1 - forget) ** u, unless the new
                pictures bring its like again. 0 forgets nothing.
            on_unreadable: as in ``fit``.
            progress: as in ``fit``.

        Returns:
            itself, the next version of the model; as it was where an error is raised.

        Raises:
            NotFittedError: before ``fit``.
            DatasetError: no readable pictures, or of a size the model cannot compare.
            UsageError: ``forget`` outside [0, 1).
            ScratchError: no room for temporary files.
        """
        if not 0 <= forget < 1:
            raise UsageError(f"forget must lie in [0, 1), got {forget}")
        self._require_fitted()
        parent = self.digest()
        grown = copy(self)
        added = grown._grow(images, forget, grown._noting(on_unreadable), progress)
        grown.lineage_ = Lineage(self.lineage_.version + 1, (parent,), added)
        vars(self).update(vars(grown))
        return self

    def _grow(
        self, images: Images, forget: float, on_unreadable: OnUnreadable, progress: Progress
    ) -> int:
        """Update in place; how many pictures were added."""
        workspace = ScratchSpace(self.memory_limit, self.device)
        with torch.inference_mode():
            patches, image_index, names = self._collect(
                images, workspace, on_unreadable, progress, least=1
            )
            judged = self._judge(patches, image_index, workspace, progress)
            seen = len(self.image_names_) + len(names)  # seeds each update's own draws
            old = len(self.bank)
            kept = without_share(old, forget, self.seed + seen).to(patches.device)
            share = len(names) / ((1 - forget) * len(self.image_names_) + len(names))
            vectors = workspace.empty(len(judged.weights), patches.shape[2])
            vectors[:old] = self.bank.vectors
            vectors[old:] = patches.flatten(0, 1)
            picks = self._pick(vectors, judged.admitted, kept, share, workspace, progress)
            self.bank = MemoryBank(vectors[picks], judged.weights[picks])
            self._remember(image_index, judged, picks, share)
            of_patch = image_index.repeat_interleave(patches.shape[1])
            of_bank = torch.cat([of_patch.new_full((old,), -1), of_patch])[picks]
            self._update_held_out(patches, image_index, of_bank, share, progress)
        self.image_names_ = [*self.image_names_, *names]
        return len(names)

    def _pick(
        self,
        vectors: Tensor,
        admitted: Tensor,
        kept: Tensor,
        share: float,
        workspace: ScratchSpace,
        progress: Progress,
    ) -> Tensor:
        """Which vectors are the bank from now on.

        Those kept stay, thinned only where there is no room, and the new ones farthest from them
        join. Half of a coreset of both would be vectors of the new ones (of 12 bottles after 114),
        as all of their patches would compete with the few that stand for the old pictures.

        Args:
            vectors: ``(n, D)``, the bank's and then the new ones.
            admitted: ``(n,)`` bool, which may be in the bank.
            kept: indices of the old ones that are not forgotten.
            share: of all pictures seen that are new, and so of a bank without room for all.
            workspace: for the coreset's own arrays.
            progress: told of the step ``coreset``.

        Returns:
            ``(m,)`` int64 indices, ascending.
        """
        old = len(self.bank)
        space = self._picking_space(vectors, workspace)
        joining = max(1, int(self.coreset_ratio * (len(vectors) - old)))
        size = min(self.bank_size, len(kept) + joining)
        room = size - min(joining, max(1, int(share * size)))
        stay = kept[admitted[kept]]
        if len(stay) > room > 0:
            stay = stay[greedy_coreset(space[stay], room, seed=self.seed, scratch=workspace)]
        stay = stay[:room]
        eligible = admitted.clone()
        eligible[:old] = False
        eligible[stay] = True
        picks = greedy_coreset(
            space, size, eligible=eligible, picked=stay, seed=self.seed,
            scratch=workspace, progress=progress,
        )  # fmt: skip
        return picks.sort().values

    def choose_threshold(self, max_false_alarms: float) -> Threshold:
        """Set ``threshold_`` anew from ``held_out_``, without labels; nothing is fitted again.

        Raises:
            NotFittedError: not fitted, or without ``max_false_alarms``.
            UsageError: ``max_false_alarms`` outside (0, 1).
        """
        if self.held_out_ is None:
            raise NotFittedError(
                "the training pictures have not been scored for a threshold; "
                "fit with max_false_alarms, or set threshold_"
            )
        chosen = threshold_without_labels(self.held_out_.cpu().numpy(), max_false_alarms)
        self.threshold_ = chosen.value
        return chosen

    def coreset_size(self, patches: int) -> int:
        """How many of ``patches`` training patches enter the bank, at most."""
        return min(self.bank_size, max(1, int(self.coreset_ratio * patches)))

    def _foresee(self, sample: Tensor, images: int) -> FitCost:
        patches = sample.shape[0] * sample.shape[1] * images // len(sample)
        picks = self.coreset_size(patches)
        length = row_length(sample.flatten(0, 1).cpu())
        steps = {"coreset": coreset_seconds(patches, picks, length)}
        if self.max_false_alarms is not None:
            few = MemoryBank(sample.flatten(0, 1), sample.new_ones(sample.shape[:2].numel()))
            one = seconds(lambda: few.nearest(sample[0])) * picks / len(few)
            steps["calibrate"] = one * min(images, MOST_HELD_OUT)
        return FitCost(
            seconds=steps,
            arrays=[length * number_format(torch.device("cpu")).itemsize * patches],
            model=4 * picks * (sample.shape[2] + 1),
        )

    def _score(self, patches: Tensor) -> Tensor:
        scores = self.bank.score(patches.flatten(0, 1), self.distance)
        return scores.view(patches.shape[:2])  # (B * P) -> (B, P)

    def _set_held_out(
        self, patches: Tensor, image_index: Tensor, of_bank: Tensor, progress: Progress
    ) -> None:
        """Set ``normal_limit_`` and, if asked for, ``held_out_`` and the threshold.

        Args:
            patches: ``(M, P, D)`` of training pictures, all of them or some.
            image_index: ``(M,)`` the picture each is from, ascending.
            of_bank: ``(m,)`` the picture that each vector of the bank is from.
            progress: told of the step ``calibrate``.
        """
        self.normal_limit_ = self._held_out_limit(patches, image_index, of_bank)
        self.threshold_ = self.held_out_ = self.held_out_of_ = None
        if self.max_false_alarms is not None:
            scored = self._held_out_scores(patches, image_index, of_bank, 0, progress)
            self.held_out_, self.held_out_of_ = scored
            self.choose_threshold(self.max_false_alarms)

    def _update_held_out(
        self,
        patches: Tensor,
        image_index: Tensor,
        of_bank: Tensor,
        share: float,
        progress: Progress,
    ) -> None:
        """The same for new pictures, which are that share of all.

        What no longer tells how good pictures score is dropped: scores of suspects, and those by
        a bank that had seen half of the pictures or fewer, which are too high.
        """
        before = len(self.image_names_)
        limit = self._held_out_limit(patches, image_index, of_bank, before)
        self.normal_limit_ = (1 - share) * self.normal_limit_ + share * limit
        if self.held_out_ is None or self.held_out_of_ is None or self.max_false_alarms is None:
            return
        chosen = self.threshold_
        as_chosen = self.choose_threshold(self.max_false_alarms).value == chosen
        new, of_new = self._held_out_scores(patches, image_index, of_bank, before, progress)
        draw = self.seed + before
        scores = take_union(self.held_out_, new, MOST_HELD_OUT, share, draw)
        of = take_union(self.held_out_of_, of_new, MOST_HELD_OUT, share, draw)
        recent = 2 * of[:, 1] > of[:, 1].max()
        counting = recent & ~torch.isin(of[:, 0], self._suspected())
        counting |= ~counting.any()
        self.held_out_, self.held_out_of_ = scores[counting], of[counting]
        self.threshold_ = chosen
        if as_chosen:
            self.choose_threshold(self.max_false_alarms)

    def _held_out_scores(
        self, patches: Tensor, image_index: Tensor, of_bank: Tensor, before: int, progress: Progress
    ) -> tuple[Tensor, Tensor]:
        """Score training pictures, before which others came, each by the bank without its own.

        Returns:
            what ``held_out_`` and ``held_out_of_`` are for them.
        """
        images = image_index.unique()  # type: ignore[no-untyped-call]
        drawn = images[held_out_pictures(len(images)).to(images.device)].tolist()
        scores, scored = [], []
        for done, image in enumerate(drawn, start=1):
            own = patches[image_index == image].flatten(0, 1)  # of its tiles
            of_patch = torch.full((len(own),), image, device=own.device)
            score = self.bank.score(own, self.distance, (of_patch, of_bank)).max()
            if score.isfinite():  # else the whole bank is from this picture
                scores.append(score)
                scored.append(image)
            progress("calibrate", done, len(drawn))
        pictures = image_index.new_tensor(scored) + before
        seen = torch.full_like(pictures, before + int(image_index[-1]) + 1)
        return torch.stack(scores), torch.stack([pictures, seen], dim=1)

    def _held_out_limit(
        self, patches: Tensor, image_index: Tensor, of_bank: Tensor, before: int = 0
    ) -> float:
        """Score a sample of training patches by the bank without their own picture's vectors.

        Those of suspects do not count: of bottles of which 30 % are bad, 99 % of all patches stay
        below 3610, of the unsuspected below 1577, of the good below 1590.
        """
        positions = patches.shape[1]
        counting = ~torch.isin(image_index + before, self._suspected())
        counting |= ~counting.any()
        rows = counting.nonzero().flatten()
        total = len(rows) * positions
        drawn = torch.linspace(0, total - 1, min(NORMAL_SAMPLE, total)).long().to(rows.device)
        row = rows[drawn // positions]
        scores = self.bank.score(
            patches[row, drawn % positions], self.distance, (image_index[row], of_bank)
        )
        scores = scores[scores.isfinite()]  # infinite where the whole bank is from one image
        return float(torch.quantile(scores, NORMAL_SHARE))

    def _state(self) -> dict[str, Tensor]:
        state = {"bank": self.bank.vectors, "weights": self.bank.weights}
        if self.held_out_ is not None:
            state["held_out"] = self.held_out_
        if self.held_out_of_ is not None:
            state["held_out_of"] = self.held_out_of_
        return state

    def _restore(self, state: dict[str, Tensor]) -> None:
        vectors, weights = state["bank"], state["weights"]
        if vectors.ndim != 2 or weights.shape != vectors.shape[:1] or len(vectors) == 0:
            raise ValueError("bank and weights do not belong together")
        if {vectors.dtype, weights.dtype} != {torch.float32} or weights.min() < 0:
            raise ValueError("bank or weights are not what a bank holds")
        if vectors.abs().max() > LARGEST_NUMBER or weights.max() > LARGEST_WEIGHT:
            raise ValueError("bank or weights hold numbers no patch has")
        if vectors.shape[1] != self._get_extractor().dimension:
            raise ValueError("the bank's vectors are not this backbone's patches")
        self.bank = MemoryBank(vectors, weights)
        self.held_out_ = held_out = state.get("held_out")
        if held_out is None:
            return
        if held_out.ndim != 1 or held_out.dtype != torch.float32 or not len(held_out):
            raise ValueError("held_out is no list of scores")
        if not bool((held_out.isfinite() & (held_out >= 0)).all()):
            raise ValueError("held_out holds numbers that are no scores")
        unknown = torch.tensor([-1, len(self.image_names_)], device=held_out.device)
        of = state.get("held_out_of", unknown.repeat(len(held_out), 1))  # not in older files
        if of.shape != (len(held_out), 2) or of.dtype != torch.int64:
            raise ValueError("held_out_of does not match held_out")
        self.held_out_of_ = of


class PatchCore(MemoryBankDetector):
    """PatchCore, sharing features, coreset, bank and maps with SoftPatch.

    Args:
        coreset_ratio: size of the memory bank as a share of all training patches.
        bank_size: vectors in the bank at most, whatever their share.
        distance: patch score is the ``squared`` distance (as the released SoftPatch code) or the
            ``euclidean`` one.
        max_false_alarms: choose a threshold that so large a share of good pictures exceeds at
            most; scores the training pictures, which takes as long as to predict them. None
            chooses none.
        reweight: PatchCore's own image-score re-weighting over 9 neighbours (its eq. 7).
        options: see ``CommonOptions``.
    """

    method: ClassVar[str] = "patchcore"

    def __init__(
        self,
        *,
        coreset_ratio: float = 0.1,
        bank_size: int = BANK_SIZE,
        distance: Distance = "squared",
        max_false_alarms: float | None = None,
        reweight: bool = False,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(
            coreset_ratio=coreset_ratio, bank_size=bank_size, distance=distance,
            max_false_alarms=max_false_alarms, **options,
        )  # fmt: skip
        if reweight and max_false_alarms is not None:
            raise UsageError("a threshold without labels is not chosen for re-weighted scores")
        self.reweight = reweight

    def _fit(
        self, patches: Tensor, image_index: Tensor, workspace: ScratchSpace, progress: Progress
    ) -> None:
        flat = patches.flatten(0, 1)  # (N, P, D) -> (n, D)
        picks = greedy_coreset(
            flat,
            self.coreset_size(len(flat)),
            seed=self.seed,
            scratch=workspace,
            checkpoint=self._steps,
            progress=progress,
        )
        self.bank = MemoryBank(flat[picks], torch.ones(len(picks), device=flat.device))
        self._set_held_out(patches, image_index, image_index[picks // patches.shape[1]], progress)

    def _judge(
        self, patches: Tensor, image_index: Tensor, workspace: ScratchSpace, progress: Progress
    ) -> UpdateScores:
        del image_index, workspace, progress
        ones = torch.ones(len(self.bank) + patches.shape[:2].numel(), device=patches.device)
        return UpdateScores(ones, ones > 0)

    def _image_scores(self, patches: Tensor, scores: Tensor) -> Tensor:
        if not self.reweight:
            return super()._image_scores(patches, scores)
        return reweighted_scores(self.bank, patches, scores)

    def _parameters(self) -> dict[str, Any]:
        return {
            "coreset_ratio": self.coreset_ratio,
            "bank_size": self.bank_size,
            "distance": self.distance,
            "max_false_alarms": self.max_false_alarms,
            "reweight": self.reweight,
        }


def held_out_pictures(images: int) -> Tensor:
    """``(n,)`` int64, ascending: which of so many training pictures are scored."""
    return torch.linspace(0, images - 1, min(MOST_HELD_OUT, images)).long()


def reweighted_scores(bank: MemoryBank, patches: Tensor, scores: Tensor) -> Tensor:
    """PatchCore eq. 7: lower the worst patch's score where its neighbour m* is itself far out.

    s = (1 - exp(d) / sum over the b bank vectors m nearest to m* of exp(d_m)) * worst score, with
    d the distance of the patch to m* and d_m its distance to m.

    Args:
        bank: the memory bank.
        patches: ``(B, P, D)``.
        scores: ``(B, P)`` patch scores.

    Returns:
        ``(B,)`` image scores.
    """
    worst, position = scores.max(dim=1)
    patch = patches[torch.arange(len(patches), device=patches.device), position]  # (B, D)
    own, nearest = bank.nearest(patch)
    around = min(REWEIGHTING_NEIGHBOURS, len(bank))
    neighbours = bank.neighbours(bank.vectors[nearest], around)  # (B, b), m* included
    difference = patch.unsqueeze(1) - bank.vectors[neighbours]  # (B, b, D)
    distances = torch.linalg.vector_norm(difference, dim=2)
    share = torch.exp(own - torch.logsumexp(distances, dim=1)).clamp(max=1)
    return (1 - share) * worst
