"""Held-out scores of training images: where heat-map colours begin, and where the verdict turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from softpatch.bank.bank_ensemble import BankEnsemble
from softpatch.bank.floors import Floors
from softpatch.bank.memory_bank import MemoryBank
from softpatch.bank.stand_ins import StandIns
from softpatch.calling.threshold import (
    MOST_HELD_OUT,
    Threshold,
    scores_of_good,
    threshold_without_labels,
)
from softpatch.compute.progress import Progress
from softpatch.detectors.bank_options import BankOptions
from softpatch.detectors.look_alikes import LookAlikes
from softpatch.detectors.patch_table import PatchTable
from softpatch.detectors.reservoir import take_union
from softpatch.detectors.run import Run
from softpatch.errors import NotFittedError, UsageError
from softpatch.noise.suspicion import suspects
from softpatch.ranges.table import check
from softpatch.runtime.verdict import Floats

NORMAL_SHARE = 0.99  # of training patches stay below the normal limit
NORMAL_SAMPLE = 4096  # patches it is estimated from


@dataclass(frozen=True)
class Calibration:
    """What the scores of a model mean.

    Attributes:
        normal_limit: the patch score that 99 % of the training patches stay below, those of
            images more likely bad than good left out where the method can tell.
        threshold: images with a larger score are called anomalous; None calls none so.
        held_out: ``(n,)`` float32 scores of training images, at most ``MOST_HELD_OUT``, each by
            the bank without the image's own vectors; None where no threshold was asked for.
        held_out_of: ``(n, 2)`` int64, of each the image's index, and how many images the bank had
            seen.
        look: images with a larger score, but none above the threshold, should be looked at.
        known_good: indices of images that people have looked at and called good.
        known_bad: what ``held_out`` and ``held_out_of`` had of images that people have called bad:
            image, how many the bank had seen, score. They count again once they are called good.
        scale: of ``held_out`` and of the sample that ``normal_limit`` is from: unseen images score
            so much more than images held out of the bank, at least 1.
    """

    normal_limit: float
    threshold: float | None = None
    held_out: Tensor | None = None
    held_out_of: Tensor | None = None
    look: float | None = None
    known_good: tuple[int, ...] = ()
    known_bad: tuple[tuple[int, int, float], ...] = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Raise UsageError for what is no calibration."""
        check("value", self.normal_limit, "the normal limit")
        check("threshold", self.threshold, "the threshold")
        check("threshold", self.look, "the look limit")
        held_out, of = self.held_out, self.held_out_of
        if held_out is not None:
            if held_out.ndim != 1 or held_out.dtype != torch.float32 or not len(held_out):
                raise UsageError("held_out is no list of float32 scores")
            if not bool((held_out.isfinite() & (held_out >= 0)).all()):
                raise UsageError("held_out holds numbers that are no scores")
        if of is not None and (
            held_out is None or of.shape != (len(held_out), 2) or of.dtype != torch.int64
        ):
            raise UsageError("held_out_of does not match held_out")

    def choose(self, max_false_alarms: float) -> Threshold:
        """The threshold without labels; what it rests on are indices of images.

        Raises:
            NotFittedError: there are no held-out scores.
            UsageError: ``max_false_alarms`` outside (0, 1).
        """
        if self.held_out is None:
            raise NotFittedError(
                "the training pictures have not been scored for a threshold; "
                "fit with max_false_alarms, or set threshold_"
            )
        chosen = threshold_without_labels(
            self.held_out.cpu().numpy(), max_false_alarms, self.looked_at()
        )
        if self.held_out_of is None:
            return replace(chosen, rests_on=(), without=None)
        return chosen.of_images(self.held_out_of[:, 0].tolist())

    @cached_property
    def reference(self) -> Floats | None:
        """Of good images what they score, held out, ascending; None if that is not known."""
        if self.held_out is None:
            return None
        return scores_of_good(self.held_out.cpu().numpy(), self.looked_at()).astype(float)

    def looked_at(self) -> npt.NDArray[np.bool_] | None:
        """``(n,)``, which held-out scores are of images in ``known_good``; None if none can be."""
        if self.held_out_of is None or not self.known_good:
            return None
        return np.isin(self.held_out_of[:, 0].cpu().numpy(), self.known_good)

    def known_held_out(self) -> tuple[Tensor, Tensor]:
        """``held_out`` and ``held_out_of``.

        Raises:
            NotFittedError: it is not known which images the held-out scores are of.
        """
        if self.held_out is None or self.held_out_of is None:
            raise NotFittedError(
                "the model does not know which training pictures its limit rests on; fit again"
            )
        return self.held_out, self.held_out_of

    def after_looks(self, good: Iterable[int], bad: Iterable[int]) -> Self:
        """Without the scores of images that are bad, and with good ones known to be; see ``looks``.

        The limits are as they were.

        Raises:
            NotFittedError: it is not known which images the held-out scores are of.
            UsageError: all of them are said to be bad.
        """
        held_out, held_out_of = self.known_held_out()
        good, bad = set(good), set(bad)
        rows = [
            (*of, score) for of, score in zip(held_out_of.tolist(), held_out.tolist(), strict=True)
        ]
        rows += self.known_bad
        is_bad = ({image for image, *_ in self.known_bad} - good) | bad
        count = [row for row in rows if row[0] not in is_bad]
        if not count:
            raise UsageError("all pictures that the limit rests on are said to be bad")
        return replace(
            self,
            held_out=held_out.new_tensor([score for *_, score in count]),
            held_out_of=held_out_of.new_tensor([of for *of, _ in count]),
            known_good=tuple(sorted((set(self.known_good) | good) - bad)),
            known_bad=tuple(sorted(row for row in rows if row[0] in is_bad)),
        )

    def chosen(self, max_false_alarms: float | None, look_share: float | None) -> Self:
        """With the limits that these shares choose; with none where no threshold is asked for."""
        if not max_false_alarms or self.held_out is None:
            return replace(self, threshold=None, look=None)
        judging = replace(self, threshold=self.choose(max_false_alarms).value)
        return replace(judging, look=judging.look_limit(look_share))

    def look_limit(self, look_share: float | None) -> float | None:
        """What that share of good images exceeds; None for none, or if it is above the threshold.

        Raises:
            NotFittedError: there are no held-out scores.
        """
        if not look_share:
            return None
        limit = self.choose(look_share).value
        return limit if self.threshold is None or limit <= self.threshold else None

    def chose_look(self, look_share: float | None) -> bool:
        """Whether the look limit is by that share, wherever the threshold is now."""
        if not look_share or self.held_out is None:
            return self.look is None
        return self.look in (self.choose(look_share).value, self.look_limit(look_share))

    def promise(self, max_false_alarms: float | None) -> Threshold | None:
        """What the threshold promises; None where it was set in another way."""
        if not max_false_alarms or self.held_out is None or self.threshold is None:
            return None
        chosen = self.choose(max_false_alarms)
        return chosen if chosen.value == self.threshold else None

    def tensors(self) -> dict[str, Tensor]:
        """What a model file holds beside ``normal_limit``, ``threshold`` and ``look``."""
        kept = {"held_out": self.held_out, "held_out_of": self.held_out_of}
        return {name: tensor for name, tensor in kept.items() if tensor is not None}

    @classmethod
    def restored(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """What a model file, which may hold anything, says.

        Raises:
            KeyError, TypeError, ValueError: no calibration.
        """
        threshold, look = (
            None if header.get(name) is None else float(header[name])
            for name in ("threshold", "look")
        )
        return cls(
            header["normal_limit"],
            threshold,
            tensors.get("held_out"),
            tensors.get("held_out_of"),
            look,
            tuple(map(int, header.get("known_good", ()))),
            tuple(
                (int(image), int(seen), float(score))
                for image, seen, score in header.get("known_bad", ())
            ),
            float(header.get("scale", 1.0)),
        )


@dataclass(frozen=True)
class HeldOut:
    """Training images, each to be scored as if the bank had not seen it.

    Attributes:
        bank: or several; vectors from a patch's own image are passed over.
        options: how a patch and an image are scored.
        patches: ``(M, P, D)``.
        image_index: ``(M,)`` int64, ascending: which of these images each is from.
        bank_image_index: ``(m,)`` int64, or ``(b, m)`` of several banks, the same of each vector;
            -1 for other images.
        suspects: int64 indices of images more likely bad than good, which do not count.
        before: how many images the model learned from earlier; indices of ``suspects`` begin there.
        floors: of a bank that has some, whose vectors then have those without the image.
        look_alikes: with which image scores are compared, if they are.
        stand_ins: for the vectors of images that are held out, of a bank with floors.
    """

    bank: MemoryBank | BankEnsemble
    options: BankOptions
    patches: Tensor
    image_index: Tensor
    bank_image_index: Tensor
    suspects: Tensor
    before: int = 0
    floors: Floors | None = None
    look_alikes: LookAlikes | None = None
    stand_ins: StandIns | None = None

    def limit(self) -> float:
        """The normal limit, from a sample of the patches.

        Those of suspects do not count: of bottles of which 30 % are bad, 99 % of all patches stay
        below 3610, of the unsuspected below 1577, of the good below 1590.
        """
        positions = self.patches.shape[1]
        row, position = normal_sample(self.image_index + self.before, self.suspects, positions)
        patches, of = self.patches[row, position], self.image_index[row]
        if self.floors is None:
            found = [self._of(self.bank, patches, of)]
        else:  # drawn image by image
            images = torch.unique_consecutive(of).tolist()
            found = [self._of_image(image, patches[of == image]) for image in images]
        scores = torch.cat(found)
        scores = scores[scores.isfinite()]  # infinite where the whole bank is from one image
        return float(torch.quantile(scores, NORMAL_SHARE))

    def _of(self, bank: MemoryBank | BankEnsemble, patches: Tensor, images: Tensor) -> Tensor:
        """``(q, D)`` patches of ``(q,)`` images -> ``(q,)`` scores, without vectors of these."""
        return bank.score(patches, self.options.distance, (images, self.bank_image_index))

    def _of_image(self, image: int, patches: Tensor) -> Tensor:
        """``(q, D)`` patches of one image -> ``(q,)`` scores, as if the bank had not seen it."""
        images = torch.full((len(patches),), image, device=patches.device)
        bank = self._without(image)
        scores = self._of(bank, patches, images)
        if self.stand_ins is None:
            return scores
        assert self.floors is not None
        instead = self.stand_ins.nearest(patches, image, self.floors.of_stand_ins())
        return torch.minimum(scores, self.options.score(instead))

    def _without(self, image: int) -> MemoryBank | BankEnsemble:
        """The bank with the floors that it would have without the image."""
        if self.floors is None or isinstance(self.bank, BankEnsemble):
            return self.bank
        return self.bank.with_floors(self.floors.without(image + self.before))

    def patch_scores(self) -> Tensor:
        """``(M, P)`` of all of them; infinite where the whole bank is from one image."""
        scores = torch.empty(self.patches.shape[:2], device=self.patches.device)
        for image in self.image_index.unique().tolist():  # type: ignore[no-untyped-call]
            scores[self.image_index == image] = self._scored(image)[1]
        return scores

    def _scored(self, image: int) -> tuple[Tensor, Tensor]:
        """Its ``(t, P, D)`` patches, of its tiles, and their ``(t, P)`` scores."""
        own = self.patches[self.image_index == image]
        return own, self._of_image(image, own.flatten(0, 1)).view(own.shape[:2])

    def scores(self, progress: Progress) -> tuple[Tensor, Tensor]:
        """``held_out`` and ``held_out_of`` of a ``Calibration``."""
        images = self.image_index.unique()  # type: ignore[no-untyped-call]
        drawn = images[held_out_images(len(images)).to(images.device)].tolist()
        scores, scored = [], []
        for done, image in enumerate(drawn, start=1):
            own, found = self._scored(image)
            tile = found.amax(dim=1).argmax(keepdim=True)  # of the worst patch, speaks for it
            itself = self.image_index.new_full((1,), image)
            score = self.options.image_scores(
                self._without(image), own[tile], found[tile], (itself, self.bank_image_index)
            ).squeeze()
            if self.look_alikes is not None:
                looks, itself = own[tile].mean(dim=1), itself + self.before
                score = score / self.look_alikes.allowance(looks, itself).squeeze()
            if score.isfinite():  # else the whole bank is from this image
                scores.append(score)
                scored.append(image)
            progress("calibrate", done, len(drawn))
        scored_images = self.image_index.new_tensor(scored) + self.before
        seen = torch.full_like(scored_images, self.before + int(self.image_index[-1]) + 1)
        return torch.stack(scores), torch.stack([scored_images, seen], dim=1)


def normal_sample(image_index: Tensor, suspects: Tensor, positions: int) -> tuple[Tensor, Tensor]:
    """Rows of ``(M,)`` images and positions of patches that the normal limit is estimated from.

    Of suspects none, unless all are.
    """
    rows = _unsuspected(image_index, suspects).nonzero().flatten()
    total = len(rows) * positions
    drawn = torch.linspace(0, total - 1, min(NORMAL_SAMPLE, total)).long().to(rows.device)
    return rows[drawn // positions], drawn % positions


def _unsuspected(images: Tensor, suspects: Tensor) -> Tensor:
    """Bool, which of the images are no suspects; all, if all are."""
    counts = ~torch.isin(images, suspects)
    return counts | ~counts.any()


def held_out_images(images: int) -> Tensor:
    """``(n,)`` int64, ascending: which of that many training images are scored."""
    return torch.linspace(0, images - 1, min(MOST_HELD_OUT, images)).long()


def calibrate(
    bank: MemoryBank | BankEnsemble,
    options: BankOptions,
    table: PatchTable,
    picks: Tensor,
    suspicion: Tensor | None,
    run: Run,
) -> Calibration:
    """After a fit; images are scored only where a threshold is asked for.

    Args:
        bank: the memory bank, or several.
        options: of the fit.
        table: patches of all training images.
        picks: ``(m,)`` which of them the bank is; ``(b, m)`` of several.
        suspicion: ``(N,)`` of the images; None where the method does not tell.
        run: told of the step ``calibrate``.
    """
    device = bank.vectors.device
    rows = torch.isin(table.image_index.cpu(), held_out_images(len(table.names))).nonzero()
    here, _ = table.at_hand(rows.flatten())
    held_out = HeldOut(
        bank=bank,
        options=options,
        patches=here.patches,
        image_index=here.image_index,
        bank_image_index=table.image_index.to(device)[picks.to(device) // table.shape[1]],
        suspects=suspects(suspicion, device),
    )
    limit = held_out.limit()
    if not options.max_false_alarms:
        return Calibration(limit)
    scores, of = held_out.scores(run.progress)
    found = Calibration(limit, None, scores, of)
    return found.chosen(options.max_false_alarms, options.look_share)


def calibration_of(
    scores: Tensor,
    sample: Tensor,
    sample_of: Tensor,
    suspicion: Tensor,
    options: BankOptions,
    scale: float,
) -> Calibration:
    """After a fit that has scored all its images by the bank without their own vectors.

    Args:
        scores: ``(N,)`` of the images; infinite where the whole bank is from one.
        sample: ``(s,)`` scores of some of their patches.
        sample_of: ``(s,)`` int64, the image each is from.
        suspicion: ``(N,)`` of the images.
        options: of the fit; images are not re-weighted.
        scale: by which unseen images score more.
    """
    counts = _unsuspected(sample_of, suspects(suspicion, scores.device))
    sample = sample[counts & sample.isfinite()]
    limit = scale * float(torch.quantile(sample, NORMAL_SHARE))
    if not options.max_false_alarms:
        return Calibration(limit, scale=scale)
    drawn = held_out_images(len(scores)).to(scores.device)
    drawn = drawn[scores[drawn].isfinite()]
    seen = torch.full_like(drawn, len(scores))
    of = torch.stack([drawn, seen], dim=1)
    found = Calibration(limit, None, scale * scores[drawn], of, scale=scale)
    return found.chosen(options.max_false_alarms, options.look_share)


def recalibrate(
    earlier: Calibration, held_out: HeldOut, share: float, progress: Progress
) -> Calibration:
    """After an update with new images, which are that share of all.

    What no longer shows how good images score is dropped: scores of suspects, and those by a bank
    that had seen half of the images or fewer, which are too high. A threshold that was set in
    another way than by ``max_false_alarms`` stays, and so does a look limit not by ``look_share``.
    """
    limit = (1 - share) * earlier.normal_limit + share * earlier.scale * held_out.limit()
    asked, look_share = held_out.options.max_false_alarms, held_out.options.look_share
    if not asked or earlier.held_out is None or earlier.held_out_of is None:
        return replace(earlier, normal_limit=limit)
    new, of_new = held_out.scores(progress)
    new = earlier.scale * new
    draw = held_out.options.seed + held_out.before
    scores = take_union(earlier.held_out, new, MOST_HELD_OUT, share, draw)
    of = take_union(earlier.held_out_of, of_new, MOST_HELD_OUT, share, draw)
    counts = (2 * of[:, 1] > of[:, 1].max()) & ~torch.isin(of[:, 0], held_out.suspects)
    counts |= ~counts.any()
    after = replace(
        earlier,
        normal_limit=limit,
        held_out=scores[counts],
        held_out_of=of[counts],
        known_bad=tuple(row for row in earlier.known_bad if 2 * row[1] > int(of[:, 1].max())),
    )
    if earlier.promise(asked) is not None:
        after = replace(after, threshold=after.choose(asked).value)
    if earlier.chose_look(look_share):
        after = replace(after, look=after.look_limit(look_share))
    return after
