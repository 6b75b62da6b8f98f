"""Fits in processes that are killed at random moments, with a checkpoint, until enough were.

``python -m tests.fit_kills PICTURES SCRATCH KILLS [OPTION=NUMBER ...]``. Every fit that ends has to
write the model that the first one, which nobody killed, has written. The processes are forks of
this one, so that none takes the seconds that importing torch does.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from softpatch import SoftPatch
from softpatch.features.extractor import PatchExtractor

SHARE = 0.4  # of an undisturbed fit's time, at most, until a kill


def main(pictures: str, scratch: str, kills: int, options: dict[str, int]) -> None:
    torch.set_num_threads(1)  # threads do not survive a fork
    model, folder = Path(scratch) / "part.softpatch", Path(scratch) / "checkpoint"
    detector = SoftPatch(coreset_ratio=0.2, max_false_alarms=0.1, device="cpu", **options)  # type: ignore[arg-type]
    detector.share_extractor(PatchExtractor(detector.features, detector.device))

    def start() -> int:
        child = os.fork()
        if child == 0:
            detector.fit(pictures, checkpoint=folder).save(model)
            os._exit(0)
        return child

    def wait(child: int) -> bool:
        """Whether it wrote the model."""
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            sys.exit("a fit failed")
        return not os.WIFSIGNALED(status)

    started = time.monotonic()
    wait(start())
    took = time.monotonic() - started
    expected = model.read_bytes()
    moments, killed, finished = random.Random(0), 0, 0
    while killed < kills or not finished:
        model.unlink(missing_ok=True)
        done = False
        while not done:
            child = start()
            if killed < kills:
                time.sleep(moments.random() * SHARE * took)
                os.kill(child, signal.SIGKILL)
            done = wait(child)
            killed += not done
            if not done and model.exists() and model.read_bytes() != expected:
                sys.exit("a killed fit left another model")
        finished += 1
        if model.read_bytes() != expected:
            sys.exit(f"fit {finished}, after {killed} kills, wrote another model")
        if list(Path(scratch).iterdir()) != [model]:
            sys.exit("a fit that ended left something behind")
    print(f"{killed} kills, {finished} fits the same to the byte; one alone took {took:.1f} s")


if __name__ == "__main__":
    given = dict(option.split("=") for option in sys.argv[4:])
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), {k: int(v) for k, v in given.items()})
