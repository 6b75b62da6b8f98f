"""Worker processes that end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def in_processes(
    work: Callable[[T], R],
    items: Iterable[T],
    jobs: int,
    threads: int,
    lost: Callable[[T, BaseException], R],
) -> Iterator[R]:
    """Results of ``work`` on every item as they are done, in processes that end with this one.

    Args:
        work: pickled, as items and results are; it raises nothing.
        items: to be worked on.
        jobs: number of processes, at most.
        threads: of torch, which they share.
        lost: the result of an item whose process died: out of memory, most likely.
    """
    every = list(items)
    jobs = max(1, min(jobs, len(every)))
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),  # torch does not survive a fork
        initializer=_begin,
        initargs=(max(1, threads // jobs),),
    )
    try:
        waiting = {pool.submit(work, item): item for item in every}
        for future in as_completed(waiting):
            error = future.exception()
            yield future.result() if error is None else lost(waiting[future], error)
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the parent does; otherwise workers of a killed parent wait forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
