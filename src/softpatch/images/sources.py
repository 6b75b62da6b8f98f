"""Images in: a folder, paths, arrays, PIL images or a torch Dataset -> images to be read.

Reading is lazy and runs ahead of the consumer in threads.
"""

from __future__ import annotations

import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor

from softpatch.errors import ImageError, UsageError, reason_of
from softpatch.images.decode import Picture, decode_reduced
from softpatch.images.image_source import ImageSource
from softpatch.runtime.errors import printable
from softpatch.runtime.intensity import FULL, Intensity
from softpatch.runtime.listing import NOT_READ, LeftOut, list_images
from softpatch.runtime.prediction import Remark, odd_ones

READERS = min(8, os.cpu_count() or 1)  # threads that decode
READ_AHEAD = 2 * READERS + 4  # images decoded before they are asked for
LARGE = 4_000_000  # pixels; of larger images, no more are decoded ahead than there are readers

# Anything `fit` and `predict` accept; checked at run time because a torch Dataset has no base
# class worth requiring.
Images = Any
OnUnreadable = Callable[[ImageError], None]
T = TypeVar("T")


class Prepared(NamedTuple, Generic[T]):
    """An image that has been read.

    Attributes:
        source: what was read.
        size: (height, width) in the file, upright.
        content: what was made of it.
        remark: what is odd about its values; None if nothing is.
    """

    source: ImageSource
    size: tuple[int, int]
    content: T
    remark: str | None


class OddImageWarning(UserWarning):
    """Images are learned from although there is something odd about them."""


class UnreadableImageWarning(UserWarning):
    """An image was skipped because it cannot be read."""


def warn_unreadable(error: ImageError) -> None:
    """Skip the image with a warning (the default)."""
    warnings.warn(printable(f"skipped {error}"), UnreadableImageWarning, stacklevel=2)


def ignore_unreadable(error: ImageError) -> None:
    """Skip the image silently."""


def fail_unreadable(error: ImageError) -> None:
    """Stop at the first unreadable image."""
    raise error


def warn_of_odd(odd: Sequence[Remark]) -> None:
    """Say in one warning how many images are learned from although something is odd about them."""
    if words := odd_ones(odd):
        warnings.warn(words, OddImageWarning, stacklevel=2)


def noting(on_unreadable: OnUnreadable) -> tuple[OnUnreadable, list[ImageError]]:
    """The same, and a list that fills with what it is called with."""
    noted: list[ImageError] = []

    def note(error: ImageError) -> None:
        noted.append(error)
        on_unreadable(error)

    return note, noted


def is_single_image(images: Images) -> bool:
    """Whether ``images`` is one image rather than a folder or a collection."""
    if isinstance(images, str | Path):
        return not Path(images).is_dir()
    if isinstance(images, Image.Image | bytes):
        return True
    if isinstance(images, np.ndarray | Tensor):
        if images.ndim in (2, 3):
            return True
        if images.ndim == 4:
            return False
        raise UsageError(
            f"an array of shape {tuple(images.shape)} is no image; expected (H, W), (H, W, 3) or "
            "(N, H, W, 3), or a tensor (3, H, W) or (N, 3, H, W)"
        )
    return False


def image_sources(images: Images) -> Iterable[ImageSource]:
    """List the images of a folder, an iterable, a torch Dataset or a single image, unread.

    A folder is searched recursively and sorted by path, so the order is the same on every
    machine. The result has a length whenever ``images`` has one.

    Raises:
        DatasetError: a folder that does not exist, cannot be read or holds no images.
        UsageError: something that is not images.
    """
    if isinstance(images, str | Path) and Path(images).is_dir():
        left_out = LeftOut()
        paths = list_images(Path(images), left_out)
        if unread := left_out.only(NOT_READ):
            words = printable(f"{images}: left out {unread}")
            warnings.warn(words, UnreadableImageWarning, stacklevel=2)
        return [ImageSource(str(path), path) for path in paths]
    if is_single_image(images):
        return [_source(images, 0)]
    if isinstance(images, Iterable) or hasattr(images, "__getitem__"):
        if hasattr(images, "__len__"):
            return _IndexedSources(images)
        return (_source(item, index) for index, item in enumerate(images))
    raise UsageError(
        f"cannot read images from a {type(images).__name__}; give a folder, paths, arrays, "
        "PIL images or a torch Dataset"
    )


def listed_sources(images: Images) -> Sequence[ImageSource]:
    """``image_sources`` with a length: a Dataset is still read image by image."""
    sources = image_sources(images)
    return sources if isinstance(sources, Sequence) else list(sources)


def spread(count: int, parts: int) -> Iterator[int]:
    """Every index below ``count`` once: first ``parts`` that are spread over all, then the rest so.

    So a few that can be read are found wherever they are.
    """
    seen: set[int] = set()
    while len(seen) < count:
        for part in range(parts):
            place = part * count // parts
            if place not in seen:
                seen.add(place)
                yield place
        parts *= 2


def prefetch(
    sources: Iterable[ImageSource],
    prepare: Callable[[Picture], T],
    on_unreadable: OnUnreadable,
    min_decode_side: int | None = None,
    intensity: Intensity = FULL,
) -> Iterator[Prepared[T]]:
    """Read and prepare images in threads, ahead of the consumer, in order.

    Decoders release the interpreter lock, so the next images are read while the network works
    on these; at most ``READ_AHEAD`` are held, of large ones ``READERS``.

    Args:
        sources: what to read.
        prepare: applied to every image as ``decode_reduced`` gives it.
        on_unreadable: gets every image that cannot be read or prepared, whatever the error.
        min_decode_side: see ``softpatch.runtime.images.decode``.
        intensity: likewise.
    """

    def load(source: ImageSource) -> Prepared[T]:
        picture = decode_reduced(source.content, source.name, min_decode_side, intensity)
        return Prepared(source, picture.size, prepare(picture), picture.remark)

    waiting: deque[tuple[ImageSource, Future[Prepared[T]]]] = deque()
    ahead = READERS  # until the first image's size is known

    def finish() -> Iterator[Prepared[T]]:
        nonlocal ahead
        source, future = waiting.popleft()
        try:
            prepared = future.result()
            ahead = READ_AHEAD if math.prod(prepared.size) <= LARGE else READERS
        except ImageError as error:
            on_unreadable(error)
        except Exception as error:  # whatever it is, the other images go on
            on_unreadable(ImageError(source.name, reason_of(error)))
        else:
            yield prepared

    with ThreadPoolExecutor(max_workers=READERS) as pool:
        try:
            for source in sources:
                waiting.append((source, pool.submit(load, source)))
                while len(waiting) >= ahead:
                    yield from finish()
            while waiting:
                yield from finish()
        finally:
            for _, future in waiting:
                future.cancel()


class _IndexedSources(Sequence[ImageSource]):
    """The sources of anything with a length and items (list, array, torch Dataset)."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> ImageSource:  # type: ignore[override]  # and no slices
        if not 0 <= index < len(self):
            raise IndexError(index)
        try:
            return _source(self.images[index], index)
        except Exception as error:  # a Dataset that cannot read one of its images
            return ImageSource(f"image {index}", partial(_raise, error))

    def __iter__(self) -> Iterator[ImageSource]:
        for index in range(len(self.images)):
            yield self[index]


def _raise(error: Exception) -> None:
    raise error


def _source(content: Any, index: int) -> ImageSource:
    if isinstance(content, ImageSource):
        return content
    if isinstance(content, str | Path):
        return ImageSource(str(content), Path(content))
    return ImageSource(f"image {index}", content)
