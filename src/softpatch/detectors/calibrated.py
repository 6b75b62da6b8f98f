"""What detectors share that score their training images for a threshold without labels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
from torch import Tensor

from softpatch.calling.looks import LOOKS, to_look_at
from softpatch.calling.threshold import Threshold
from softpatch.detectors.base import Detector
from softpatch.detectors.calibration import Calibration
from softpatch.detectors.options import CommonOptions
from softpatch.errors import UsageError
from softpatch.ranges.table import check, check_all

FALSE_ALARMS = 0.01  # share of good images that the default threshold may call anomalous
LOOK_SHARE = 0.05  # of them, that may be called so or put aside for people to look at


class CalibratedDetector(Detector):
    """A detector that knows how its training images score as if it had not seen them.

    Attributes after ``fit``:
        held_out_: ``(n,)`` float32 scores of training images, each without the image's own
            vectors; None without ``max_false_alarms``.
        held_out_of_: ``(n, 2)`` int64, of each the image, an index in ``image_names_``, and how
            many images the detector had seen.
    """

    def __init__(
        self,
        *,
        max_false_alarms: float | None,
        look_share: float | None,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(**options)
        check_all(max_false_alarms=max_false_alarms, look_share=look_share)
        self.max_false_alarms = max_false_alarms
        self.look_share = look_share

    @property
    def held_out_(self) -> Tensor | None:
        """See the class."""
        return self.learned_.calibration.held_out

    @held_out_.setter
    def held_out_(self, scores: Tensor) -> None:
        """``(n,)`` float32 scores of other images, of which it is not known which they are."""
        self._recalibrate(held_out=scores, held_out_of=None)

    @property
    def held_out_of_(self) -> Tensor | None:
        """See the class."""
        return self.learned_.calibration.held_out_of

    def choose_threshold(self, max_false_alarms: float) -> Threshold:
        """Set ``threshold_`` from ``held_out_``, without labels; nothing is fitted again.

        What it rests on are indices in ``image_names_``.

        Raises:
            NotFittedError: not fitted, or without ``max_false_alarms``.
            UsageError: ``max_false_alarms`` outside (0, 1).
        """
        chosen = self.learned_.calibration.choose(max_false_alarms)
        self.threshold_ = chosen.value
        return chosen

    def choose_look(self, look_share: float | None) -> float | None:
        """Set ``look_`` from ``held_out_``, so that this share of good images exceeds it.

        Returns:
            the limit; None for a share of 0 or None, or where it would be above ``threshold_``.

        Raises:
            NotFittedError: not fitted, or without ``max_false_alarms``.
            UsageError: ``look_share`` outside [0, 1).
        """
        share = check("look_share", look_share)
        self.look_ = self.learned_.calibration.look_limit(share)
        return self.look_

    def to_look_at(self, count: int = LOOKS) -> list[tuple[str, float]]:
        """The training images that the limits rest on: of the largest held-out scores, in order.

        What people say of them, ``after_looks`` takes. Those that they have called good do not
        come again.

        Returns:
            names, and held-out scores.

        Raises:
            NotFittedError: not fitted, or it is not known which images the scores are of.
        """
        calibration = self.learned_.calibration
        held_out, held_out_of = calibration.known_held_out()
        scores, images = held_out.cpu().numpy(), held_out_of[:, 0].tolist()
        known = np.isin(images, calibration.known_good)
        names = self.image_names_
        return [(names[images[at]], float(scores[at])) for at in to_look_at(scores, known, count)]

    def after_looks(self, good: Collection[str], bad: Collection[str]) -> Threshold:
        """Choose the limits anew, by what people say of training images; nothing is fitted again.

        Bad ones no longer count as good, and good ones always do; what is said last holds. A look
        limit that was set in another way than by ``look_share`` stays. The bank stays as it is: to
        fit without the bad ones is better still.

        Args:
            good: names of ``image_names_`` that are good.
            bad: names of it that are bad.

        Raises:
            NotFittedError: see ``to_look_at``.
            UsageError: a name is none of the training images', or all are bad.
        """
        learned: Any = self.learned_
        calibration = self._after_looks(good, bad)
        share = self.max_false_alarms or FALSE_ALARMS
        chosen = calibration.chosen(share, self.look_share)
        if not learned.calibration.chose_look(self.look_share):
            chosen = replace(chosen, look=learned.calibration.look)
        self._learned = replace(learned, calibration=chosen)
        return calibration.choose(share)

    def limit_without(self, bad: Collection[str]) -> float:
        """What ``after_looks`` would make of the threshold, were these training images bad.

        Raises:
            NotFittedError, UsageError: see ``after_looks``.
        """
        return self._after_looks((), bad).choose(self.max_false_alarms or FALSE_ALARMS).value

    def _after_looks(self, good: Collection[str], bad: Collection[str]) -> Calibration:
        place = {name: at for at, name in enumerate(self.image_names_)}
        for name in (*good, *bad):
            if name not in place:
                raise UsageError(f"{name}: no training picture of the model")
        return self.learned_.calibration.after_looks(
            [place[name] for name in good], [place[name] for name in bad]
        )

    def promise(self) -> Threshold | None:
        """What ``threshold_`` promises; None without one, or where it was set in another way."""
        return self.learned_.calibration.promise(self.max_false_alarms)
