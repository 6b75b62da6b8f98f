"""Images -> the patches of their tiles, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from softpatch.detectors.patch_table import LocalPatches, PatchCollector, PatchTable, require_images
from softpatch.detectors.run import Run
from softpatch.errors import ImageError, UsageError
from softpatch.features.cache import cached_maps
from softpatch.features.extractor import PatchExtractor
from softpatch.images.roi import RegionOfInterest, Tile, tiles_of
from softpatch.images.sources import (
    Images,
    OnUnreadable,
    listed_sources,
    noting,
    prefetch,
    warn_of_odd,
)
from softpatch.runtime.appearance import WHOLE, Appearance, Window, within
from softpatch.runtime.prediction import Remark

# (an image's name, what it looks like) -> what is odd about it; ImageError if it is not wanted.
Judge = Callable[[str, Appearance], str | None]


class Embedder:
    """A patch extractor, and what of every image it sees.

    Attributes:
        extractor: prepared tiles -> patch vectors.
        roi: the region of interest; None sees everything.
        batch_size: tiles the network sees at once.
    """

    def __init__(
        self, extractor: PatchExtractor, roi: RegionOfInterest | None, batch_size: int
    ) -> None:
        self.extractor = extractor
        self.roi = roi
        self.batch_size = batch_size

    @property
    def window(self) -> Window:
        """What of an image is seen, within the crop and around the region of interest."""
        preprocessing = self.extractor.preprocessing
        window = WHOLE if preprocessing.tile else preprocessing.window
        return window if self.roi is None else within(window, self.roi.window)

    def embed(
        self,
        images: Any,
        on_unreadable: OnUnreadable,
        extract: Callable[[Tensor], Tensor] | None = None,
        judge: Judge | None = None,
    ) -> Iterator[tuple[list[Tile], Tensor]]:
        """Yield tiles and their ``(b, h * w, D)`` patches, batch by batch.

        The last batch is padded: results depend on the batch size in the last bits (2 threads,
        112 px), and an image's patches must not depend on how many images there are or which
        process embeds them. A run smaller than one batch is not padded. ``images`` are iterable
        ``ImageSource``; ``extract`` is used in place of the extractor, see ``cached_maps``.
        What ``judge`` says of an image is among its tiles' remarks.
        """
        extract = extract or self.extractor
        preprocessing, window = self.extractor.preprocessing, self.window
        few = isinstance(images, Sized) and len(images) < self.batch_size
        tiles: list[Tile] = []
        batch: list[Tensor] = []
        for source, size, (appearance, prepared), remark in prefetch(
            images,
            lambda picture: (picture.appearance(window), preprocessing(picture.image)),
            on_unreadable,
            preprocessing.min_decode_side,
            preprocessing.intensity,
        ):
            try:
                layout = preprocessing.layout(*size)
                shown = tiles_of(source.name, layout, self.roi, self.extractor.grid, appearance)
                # Values that the model does not know look otherwise: that is said already.
                if remark is None and judge is not None:
                    remark = judge(source.name, appearance)
            except ImageError as error:
                on_unreadable(error)
                continue
            for tile in shown:
                tiles.append(replace(tile, remark=remark))
                batch.append(prepared[tile.number])
                if len(batch) == self.batch_size:
                    yield tiles, extract(torch.stack(batch)).flatten(1, 2)
                    tiles, batch = [], []
        if batch:
            count = len(batch)
            batch += [] if few else [batch[-1]] * (self.batch_size - count)
            yield tiles, extract(torch.stack(batch))[:count].flatten(1, 2)

    def collect(
        self,
        images: Images,
        on_unreadable: OnUnreadable,
        run: Run,
        least: int = 2,
        judge: Judge | None = None,
    ) -> LocalPatches:
        """The patches of training images, in this process.

        Arguments are those of ``Detector.fit`` and ``embed``; the checkpoint keeps what the network
        has made.

        Raises:
            DatasetError: fewer readable images than ``least``.
            UsageError: a region of interest that covers no patch of any image.
        """
        note, skipped = noting(on_unreadable)
        sources = listed_sources(images)
        extractor = self.extractor
        collector = PatchCollector(run.scratch, len(sources), extractor.grid, extractor.dimension)
        extract = cached_maps(extractor, run.checkpoint)
        odd: list[Remark] = []
        for tiles, batch in self.embed(sources, note, extract, judge):
            for tile, patches in zip(tiles, batch, strict=True):
                collector.add(tile, patches)
                if tile.first and tile.remark is not None:
                    odd.append((tile.name, tile.remark))
            run.progress("embed", len(collector.names), len(sources))
        warn_of_odd(odd)
        if skipped and not collector.names and isinstance(skipped[0], UsageError):
            raise skipped[0]  # the region's fault rather than the images'
        if collector.names and self.roi is not None:
            collector.keep_usual(note)
        require_images(collector.names, len(skipped), least)
        return collector.table(self.roi)


# What makes the training images of a fit a table of patches: here, or on a cluster.
Embed = Callable[[Embedder, Images, OnUnreadable, Run], PatchTable]
