"""The Ray cluster that the work is done on."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from softpatch.errors import ClusterError, MissingExtraError, SoftPatchError

START_SECONDS = 120  # Ray's own 30 are not enough where other processes hold the cores


@dataclass(frozen=True)
class TaskEnvironment:
    """What a task shares with this process, so that it makes the same of the same arguments."""

    threads: int  # of torch; last bits depend on it
    folder: str  # that relative paths start from

    def enter(self) -> None:
        """Make them those of the process; the folder only where there is one."""
        torch.set_num_threads(self.threads)
        with suppress(OSError):
            os.chdir(self.folder)


class Cluster:
    """What a connected cluster offers.

    Attributes:
        environment: of every task.
        cpus: that a task is given: one for each thread, or what the smallest node has.
        slots: tasks at a time.
        gpus: of all nodes together.
    """

    def __init__(self) -> None:
        import ray

        self.environment = TaskEnvironment(torch.get_num_threads(), str(Path.cwd()))
        alive: Any = ray.nodes()
        nodes = [node["Resources"] for node in alive if node["Alive"]]
        cores = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        if not cores:
            raise ClusterError("the Ray cluster has no processors; start it with --num-cpus")
        self.cpus = min(self.environment.threads, *cores)
        self.slots = sum(count // self.cpus for count in cores)
        self.gpus = int(sum(node.get("GPU", 0) for node in nodes))

    def submit(self, work: Callable[..., Any], *arguments: Any, returns: int = 1) -> Any:
        """Call ``work(*arguments)`` somewhere; a reference to what it returns, or to each of it.

        A task that was lost with its node is run again, and so are those that made its arguments.
        """
        task = _remote().options(num_cpus=self.cpus, num_returns=returns, name=work.__name__)
        return task.remote(self.environment, work, *arguments)


@contextmanager
def connected(address: str | None = None) -> Iterator[Cluster]:
    """A cluster while the block runs; what fails on it is raised here as it was there.

    Args:
        address: of a running cluster, of which this machine must be a node: ``auto`` or
            ``HOST:PORT``. None starts one of this machine's processors. A cluster that the
            process is already connected to is used in any case.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: no cluster there, or it fails for good.
    """
    try:
        import ray
        import ray.data
        from ray.exceptions import RayError
    except ImportError as error:
        raise MissingExtraError("ray", "--engine ray") from error
    own = not ray.is_initialized()
    try:
        if own:
            _connect(address)
        _quieten()
        yield Cluster()
    except RayError as error:
        cause = _cause(error)
        if cause is not None:
            raise cause from None
        first = str(error).strip().splitlines()[-1]
        raise ClusterError(f"the Ray cluster failed ({type(error).__name__}: {first})") from error
    finally:
        if own:
            ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", str(START_SECONDS))
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of its own doings
    started: dict[str, Any] = {"num_cpus": os.cpu_count(), "include_dashboard": False}
    try:
        with _no_stderr():
            ray.init(
                address=address or "local",
                logging_level=logging.ERROR,
                log_to_driver=False,
                **(started if address is None else {}),
            )
    except (ConnectionError, ValueError, TimeoutError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ClusterError(f"no Ray cluster at {address or 'this machine'} ({reason})") from error


@contextmanager
def _no_stderr() -> Iterator[None]:
    """What fails is raised; what Ray writes about its log levels is nobody's business."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _quieten() -> None:
    """Leave the terminal to this package, errors as they are and pictures in order."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # or nobody could tell what it was
    context.execution_options.preserve_order = True
    logging.getLogger("ray.data").setLevel(logging.ERROR)


@cache
def _remote() -> Any:
    import ray

    return ray.remote(_run)


def _run(environment: TaskEnvironment, work: Callable[..., Any], *arguments: Any) -> Any:
    environment.enter()
    with torch.inference_mode():
        return work(*arguments)


def _cause(error: BaseException | None) -> SoftPatchError | None:
    """The error of this package that a task ended with, if it was one."""
    from ray.exceptions import RayError

    while error is not None:
        if isinstance(error, SoftPatchError) and not isinstance(error, RayError):
            return error
        error = getattr(error, "cause", None) or error.__cause__
    return None
