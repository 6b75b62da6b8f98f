"""What a long fit has finished, kept on disk, so that a killed one goes on from there.

Every file is named by a hash of all that it was made from: the picture as the network sees it, the
features, the options, the threads. What has changed since is made again, and what is left of other
fits is not met. Steps are kept where an uninterrupted fit would be between two of them, so that a
resumed one computes the same numbers in the same batches: the model is the same to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor

from softpatch.errors import BusyError, ScratchError, UsageError
from softpatch.runtime.files import write_atomically
from softpatch.runtime.partial import is_partial, is_passing
from softpatch.runtime.targets import check_folder
from softpatch.storage.kept_tensors import is_kept, kept_path, read_tensors, write_tensors
from softpatch.storage.lock import changing

TAG = "SOFTPATCH-CHECKPOINT"
ABOUT = "What a fit of softpatch has finished; it is removed once the model is written.\n"
HASHED = 64 * 2**20  # bytes at a time; more of a spilled array would stay resident


class Checkpoint:
    """A folder of finished steps.

    Attributes:
        folder: nothing else may be in it.
        key: of what the steps of a fit are made from, see ``of``.
    """

    def __init__(self, folder: Path, key: str = "") -> None:
        """Begin a folder, or go on with one.

        Raises:
            UsageError: it is no folder, or holds other things.
            ScratchError: it cannot be written.
        """
        self.folder = folder
        self.key = key
        self._begin()

    def of(self, *made_from: object) -> Checkpoint:
        """The same folder, for steps that are made from these; see ``fingerprint``."""
        return Checkpoint(self.folder, fingerprint(self.key, *made_from))

    def get(self, step: str) -> dict[str, Tensor] | None:
        """What was kept of a step; None if nothing was, or if the file is damaged."""
        return read_tensors(self._path(step))

    def put(self, step: str, tensors: dict[str, Tensor]) -> None:
        """Keep a step, in place of what was kept of it before.

        Raises:
            ScratchError: no room; what was kept stays.
        """
        try:
            write_tensors(self._path(step), tensors)
        except OSError as error:
            raise self._not_written(error) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other fits away from the folder while the block runs.

        Raises:
            BusyError: another one has been using it for some seconds.
            ScratchError: it cannot be written.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(changing(self.folder))
            except OSError as error:
                raise self._not_written(error) from error
            self._begin()  # anew, if the one before has just removed it
            yield

    def remove(self) -> None:
        """Delete the folder, or of it what is a checkpoint's, unless another fit is using it."""
        with suppress(BusyError), changing(self.folder):
            if self.folder.is_dir():  # else another fit has removed it
                self._remove()

    def _remove(self) -> None:
        for path in list(self.folder.iterdir()):
            if is_kept(path) or TAG in path.name or is_partial(path):
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _begin(self) -> None:
        folder = self.folder
        check_folder(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / TAG).exists():
                if not all(TAG in path.name or is_passing(path) for path in folder.iterdir()):
                    raise UsageError(
                        f"{folder}: holds other files; name a folder for the checkpoint alone"
                    )
                write_atomically(folder / TAG, ABOUT.encode())
        except OSError as error:
            raise self._not_written(error) from error

    def _path(self, step: str) -> Path:
        return kept_path(self.folder, fingerprint(step, self.key))

    def _not_written(self, error: OSError) -> ScratchError:
        return ScratchError(
            f"{self.folder}: the checkpoint cannot be written ({error.strerror}); make room and "
            "give the same command again: what is finished is kept"
        )


def fingerprint(*parts: object) -> str:
    """A hash of tensors' contents and of what other things look like."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            for block in _blocks(part):
                digest.update(block.contiguous().cpu().view(torch.uint8).numpy().data)
            part = (tuple(part.shape), part.dtype)
        digest.update(f"{part!r}\n".encode())
    return digest.hexdigest()


def _blocks(tensor: Tensor) -> Iterator[Tensor]:
    rows = tensor.flatten(1) if tensor.ndim > 1 else tensor.view(-1, 1)
    step = max(1, HASHED // max(1, rows.shape[1] * rows.element_size()))
    return (rows[start : start + step] for start in range(0, len(rows), step))


def machine(device: torch.device) -> tuple[object, ...]:
    """What the last bits of a result depend on besides: device, threads, torch."""
    return device.type, torch.get_num_threads(), torch.__version__
