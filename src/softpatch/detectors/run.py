"""What the steps of a fit, an update or an audit share while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace
from softpatch.storage.checkpoint import Checkpoint


@dataclass(frozen=True)
class Run:
    """Where large arrays go, who hears of progress, what is kept in case of a kill.

    Attributes:
        scratch: every array as large as the patches comes from it.
        progress: called as ``progress(step, done, total)``.
        checkpoint: finished steps on disk; None keeps nothing.
    """

    scratch: ScratchSpace
    progress: Progress = silent
    checkpoint: Checkpoint | None = None
