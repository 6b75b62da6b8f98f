"""Decodes pictures of strangers in processes that may die: that is one picture's fault, then.

A process that ends at a picture, or takes too long for one, is replaced. What decodes there is what
decodes here, so pictures are the same.
"""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np

from softpatch.errors import ImageError
from softpatch.images.seen import seen_as_jpeg
from softpatch.runtime.images import Decoded, Values, check_header, decode
from softpatch.runtime.intensity import FULL, Intensity

CHILD = "from softpatch.images.apart import answer; answer({})"


@dataclass(frozen=True)
class Encoded:
    """A picture's file and where it is decoded; anything that reads images takes one."""

    content: bytes
    apart: Apart


class Apart:
    """Some processes that decode; they are started when they are first needed."""

    def __init__(self, processes: int, seconds: float) -> None:
        """Have so many at a time, which may take so many seconds for a picture."""
        self._seconds = seconds
        self._free: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        self._count = processes
        for _ in range(processes):
            self._free.put(None)

    def check_header(self, content: bytes, name: str, most: int) -> int:
        """``softpatch.runtime.images.check_header``."""
        pixels: int = self._call(check_header, content, name, most)
        return pixels

    def decode(
        self,
        content: bytes,
        name: str,
        min_decode_side: int | None = None,
        intensity: Intensity = FULL,
    ) -> Decoded[Values]:
        """``softpatch.runtime.images.decode``."""
        decoded: Decoded[Values] = self._call(decode, content, name, min_decode_side, intensity)
        return decoded

    def seen_as_jpeg(self, content: bytes, name: str, intensity: Intensity = FULL) -> bytes:
        """``softpatch.images.seen.seen_as_jpeg``."""
        jpeg: bytes = self._call(seen_as_jpeg, content, name, intensity)
        return jpeg

    def close(self) -> None:
        """End the processes, once each has no picture."""
        for _ in range(self._count):
            process = self._free.get()
            if process is not None:
                process.end()

    def _call(self, function: Callable[..., Any], content: bytes, name: str, *more: Any) -> Any:
        process = self._free.get()
        try:
            for _ in range(2):  # the first may have died of something else, such as little memory
                if process is None:
                    process = _Process()
                try:
                    return process.call(self._seconds, function, content, name, *more)
                except TimeoutError as error:
                    raise ImageError(name, "cut or corrupt (takes too long to decode)") from error
                except (EOFError, OSError):
                    process.end()
                    process = None
            raise ImageError(name, "cut or corrupt (its decoder died)")
        finally:
            if process is not None and not process.alive:
                process.end()
                process = None
            self._free.put(process)


class _Process:
    """One of them."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        # Not by multiprocessing, which would run the main program's file again. A group of its own
        # does not get the Ctrl-C of a terminal: what is being decoded then is still answered.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD.format(theirs.fileno())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()], process_group=0,
        )  # fmt: skip
        theirs.close()
        self.alive = True

    def call(self, seconds: float, function: Callable[..., Any], content: bytes, *more: Any) -> Any:
        """What the function returns there; EOFError, OSError or TimeoutError if it does not."""
        self.alive = False  # until it has answered
        self._pipe.send((function, more))
        self._pipe.send_bytes(content)
        if not self._pipe.poll(seconds):
            raise TimeoutError
        refusal, result, array = self._pipe.recv()
        if array is not None:
            values = np.empty(*array)
            # As they are: pickled, a picture of 900 x 900 takes 10 ms and not 2.
            self._pipe.recv_bytes_into(values.reshape(-1).view(np.uint8))
            result = Decoded(values, *result)
        self.alive = True
        if refusal is not None:
            raise MemoryError if refusal == () else ImageError(*refusal)
        return result

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe.close()


def answer(descriptor: int) -> None:
    """Do in this process what comes through a pipe, until the other end is closed."""
    pipe = Connection(descriptor)
    while True:
        try:
            function, more = pipe.recv()
            content = pipe.recv_bytes()
        except EOFError:
            return
        try:
            result = function(content, *more)
        except ImageError as error:
            pipe.send(((error.name, error.reason), None, None))
        except MemoryError:
            pipe.send(((), None, None))
        else:
            if function is decode:
                values, *about = result
                pipe.send((None, about, (values.shape, values.dtype)))
                pipe.send_bytes(np.ascontiguousarray(values).data.cast("B"))
            else:
                pipe.send((None, result, None))
