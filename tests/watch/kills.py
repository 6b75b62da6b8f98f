"""Watches a folder in processes that are killed one after the other, while pictures arrive.

``python -m tests.watch.kills MODEL PICTURES IN OUT DONE``. The processes are forks of this one, so
that none takes the seconds that importing torch does.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from softpatch import load
from softpatch.watch import by_model, watch

KILLS = 50
LONGEST = 0.15  # seconds until a kill; a picture takes a few hundredths, or more on a busy machine


def main(model: str, *folders: str) -> None:
    pictures, inbox, out, done = map(Path, folders)
    torch.set_num_threads(1)  # threads do not survive a fork
    score = by_model(load(model, device="cpu"))
    moments = random.Random(0)
    contents = [path.read_bytes() for path in sorted(pictures.iterdir())]
    options = {"interval": 0.01, "patience": 1e9}
    longest, finished = LONGEST, 0
    for number in range(KILLS):
        content = contents[number % len(contents)]
        arriving = (inbox / f"{number % 3}" / f"{number}.png").open("wb")
        arriving.write(content[: len(content) // 2])
        arriving.flush()
        child = os.fork()
        if child == 0:
            for _ in watch(score, inbox, out, move=done, **options):  # type: ignore[arg-type]
                pass
            os._exit(1)  # it never ends by itself
        time.sleep(moments.random() * longest / 2)
        arriving.write(content[len(content) // 2 :])
        arriving.close()
        time.sleep(moments.random() * longest / 2)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(f"process {number} ended by itself")
        before, finished = finished, lines(out)
        longest = LONGEST if finished > before else 1.5 * longest
    print(finished, "before the last process")
    for _ in watch(score, inbox, out, move=done, once=True, **options):  # type: ignore[arg-type]
        pass


def lines(out: Path) -> int:
    journal = out / "results.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


if __name__ == "__main__":
    main(*sys.argv[1:])
