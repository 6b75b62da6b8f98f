"""Pictures that are decoded in other processes: the same, whatever happens there."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from softpatch.errors import ImageError
from softpatch.images.apart import Apart, Encoded, _Process
from softpatch.images.decode import decode_reduced
from tests.png import png_that_claims
from tests.serving.pictures import GOOD, encoded


@pytest.fixture
def apart() -> Iterator[Apart]:
    made = Apart(1, 60)
    yield made
    made.close()


def process(apart: Apart) -> _Process:
    """The one that is running."""
    found = apart._free.get()
    apart._free.put(found)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("side", [None, 8])
def test_pictures_are_the_same(apart: Apart, kind: str, side: int | None) -> None:
    for picture in (GOOD, GOOD[:, :, 0], np.zeros((1, 1, 3), np.uint8)):
        content = encoded(picture, kind)
        there, size, *_ = decode_reduced(Encoded(content, apart), "a", side)
        here, expected, *_ = decode_reduced(content, "a", side)
        assert (there == here).all()
        assert (there.dtype, size) == (here.dtype, expected)
        assert apart.check_header(content, "a", 10_000) == size[0] * size[1]


def test_refusals_are_the_same(apart: Apart) -> None:
    for content in (b"", b"no picture", encoded()[:-200], png_that_claims(60_000, 60_000)):
        with pytest.raises(ImageError) as there:
            apart.decode(content, "a.png")
        with pytest.raises(ImageError) as here:
            decode_reduced(content, "a.png", None)
        assert str(there.value) == str(here.value)
    with pytest.raises(ImageError, match="more than 10 pixels"):
        apart.check_header(encoded(), "a", 10)


def test_a_picture_whose_decoder_dies_is_refused(apart: Apart) -> None:
    apart.decode(encoded(), "a")
    for _ in range(2):
        with pytest.raises(ImageError, match=r"b.png: cut or corrupt \(its decoder died\)"):
            apart._call(os.kill, b"", "b.png", 0)  # these arguments end a decoder
        assert apart.decode(encoded(), "c")[1] == GOOD.shape[:2]


def test_a_decoder_that_was_killed_costs_no_picture(apart: Apart) -> None:
    for _ in range(3):
        assert apart.decode(encoded(), "a")[1] == GOOD.shape[:2]
        os.kill(process(apart)._process.pid, signal.SIGKILL)


def test_a_decoder_that_takes_too_long_is_ended() -> None:
    apart = Apart(1, 60)
    apart.decode(encoded(), "a")
    os.kill(process(apart)._process.pid, signal.SIGSTOP)
    apart._seconds = 0.1
    with pytest.raises(ImageError, match="takes too long"):
        apart.decode(encoded(), "b")
    apart._seconds = 60
    apart.decode(encoded(), "c")
    running = process(apart)
    apart.close()
    assert running._process.poll() is not None


def test_many_threads_share_few_processes() -> None:
    apart = Apart(2, 60)
    content, found = encoded(), []
    threads = [
        threading.Thread(target=lambda: found.append(apart.decode(content, "a")[1]))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    apart.close()
    assert found == [GOOD.shape[:2]] * 12


def test_decoders_end_with_the_process_they_are_for(apart: Apart) -> None:
    apart.decode(encoded(), "a")
    running: Any = process(apart)
    running._pipe.close()  # as when it is killed
    deadline = time.monotonic() + 60
    while running._process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.alive = False
