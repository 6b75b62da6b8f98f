"""The patches of all training images on a cluster, cut into blocks of grid positions.

Actors embed lists of images. Each list's patches are then cut by position, and the parts of one
block are all images at a few positions, which is what a discriminator compares. Parts move between
nodes once, and are freed when they are gathered.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from softpatch.compute.progress import Progress
from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors.embedder import Embedder
from softpatch.detectors.patch_table import arrange
from softpatch.distributed.actors import IMAGES, Worker, stream
from softpatch.distributed.cluster import Cluster, TaskEnvironment
from softpatch.errors import ImageError
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import FeatureConfig
from softpatch.images.image_source import ImageSource
from softpatch.images.roi import RegionOfInterest
from softpatch.images.sources import OnUnreadable, warn_of_odd
from softpatch.runtime.appearance import Appearance
from softpatch.runtime.prediction import Remark
from softpatch.runtime.tiling import TileLayout

BLOCK_BYTES = 256 * 2**20  # of patches: one task holds them twice, and works on them in chunks

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EmbedderSpec:
    """How to make an embedder again where the work is done, without sending its network.

    Attributes:
        features: of the extractor.
        backbone: one of the user's own, which has to be sent; else None.
        roi: the mask of the region of interest, or None.
        batch_size: tiles at once.
    """

    features: FeatureConfig
    backbone: nn.Module | None
    roi: Tensor | None
    batch_size: int

    @classmethod
    def of(cls, embedder: Embedder) -> EmbedderSpec:
        """Of one like it."""
        extractor, roi = embedder.extractor, embedder.roi
        mask = None if roi is None else roi.mask
        return cls(extractor.config, extractor.own_backbone, mask, embedder.batch_size)

    def make(self, device: str) -> Embedder:
        """Another one like it."""
        extractor = PatchExtractor(self.features, torch.device(device), self.backbone)
        roi = None if self.roi is None else RegionOfInterest(self.roi)
        return Embedder(extractor, roi, self.batch_size)


@dataclass
class Embedded:
    """About a list of images, beside their patches."""

    names: list[str] = field(default_factory=list)
    layouts: list[TileLayout] = field(default_factory=list)
    appearances: list[Appearance] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # patches of each
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # name, reason
    odd: list[Remark] = field(default_factory=list)


class EmbeddingActor(Worker):
    """Images to patches."""

    def __init__(self, environment: TaskEnvironment, spec: EmbedderSpec, device: str) -> None:
        super().__init__(environment)
        self.spec = spec
        self.device = device

    @cached_property
    def embedder(self) -> Embedder:
        """Made with the first list: Ray would start an actor that cannot begin again and again."""
        return self.spec.make(self.device)

    @torch.inference_mode()
    def work(self, first: int, sources: Iterable[ImageSource]) -> dict[str, Any]:
        """A row of ``about`` and ``patches``: (1, n, D), of all images one after another."""
        del first
        about = Embedded()

        def note(error: ImageError) -> None:
            about.unreadable.append((error.name, error.reason))

        kept: list[Tensor] = []
        for tiles, patches in self.embedder.embed(sources, note):
            for tile, seen in zip(tiles, patches, strict=True):
                if tile.first:
                    about.names.append(tile.name)
                    about.layouts.append(tile.layout)
                    about.appearances.append(tile.appearance)
                    about.counts.append(0)
                    if tile.remark is not None:
                        about.odd.append((tile.name, tile.remark))
                inside = seen if tile.inside is None else seen[tile.inside]
                about.counts[-1] += len(inside)
                kept.append(inside.cpu())
        # An empty table has no shape.
        flat = torch.cat(kept) if kept else torch.zeros(1, 1)
        pickled = np.array([pickle.dumps(about)], dtype=object)
        return {"about": pickled, "patches": flat.numpy()[None]}


class Blocks:
    """All patches, block of positions by block.

    Attributes:
        names, layouts, appearances: of the readable images, in order.
        image_index: ``(M,)`` int64, the image each of the M images or tiles is from.
        shape: M, P and D.
    """

    def __init__(
        self, cluster: Cluster, embedder: Embedder, embedded: list[Embedded], lists: list[Any]
    ) -> None:
        """Cut the patches of lists of images, and let go of them: ``lists`` is emptied.

        What is ``embedded`` says of each what an ``embedder`` on the cluster has made of it.
        """
        self.cluster = cluster
        extractor = embedder.extractor
        self.names = [name for about in embedded for name in about.names]
        self.layouts = [layout for about in embedded for layout in about.layouts]
        self.appearances = [one for about in embedded for one in about.appearances]
        counts = [count for about in embedded for count in about.counts]
        positions, self.image_index = arrange(
            counts or [extractor.positions], extractor.grid, embedder.roi
        )
        self.shape = (len(self.image_index), positions, extractor.dimension)
        everyone = 4 * len(self.image_index) * extractor.dimension  # bytes of one position
        blocks = max(-(-everyone * positions // BLOCK_BYTES), cluster.slots)
        blocks = min(blocks, positions)
        self.borders = [positions * at // blocks for at in range(blocks + 1)]
        self._parts: list[list[Any]] = [[] for _ in range(blocks)]  # block by block, of each list
        lists.reverse()
        for about in embedded:
            table, rows = lists.pop(), sum(about.counts) // positions
            if rows:
                parts = cluster.submit(_cut, table, rows, positions, self.borders, returns=blocks)
                for block, part in enumerate([parts] if blocks == 1 else parts):
                    self._parts[block].append(part)

    def gather(self, scratch: ScratchSpace, progress: Progress) -> Tensor:
        """``(M, P, D)`` patches, all in this process; the cluster lets go of them."""
        import ray

        patches = scratch.empty(*self.shape)
        self._parts.reverse()
        for block in self.positions:
            # All at once: lost parts are then made again together, by one actor.
            found = ray.get(self._parts.pop())
            end = 0
            for part in found:
                begin, end = end, end + len(part)
                patches[begin:end, block] = torch.from_numpy(part.copy())
            del found, part
            progress("gather", block.stop, self.shape[1])
        return patches

    def rows(self, rows: Tensor) -> Tensor:
        """``(r,)`` of the M, ascending -> ``(r, P, D)`` patches."""
        patches = torch.empty(len(rows), *self.shape[1:])
        for block, found in self.each(_rows, rows.numpy()):
            patches[:, block] = torch.from_numpy(found.copy())
        return patches

    def take(self, picks: Tensor) -> Tensor:
        """``(m,)`` indices into the M * P patches -> ``(m, D)``."""
        import ray

        vectors = torch.empty(len(picks), self.shape[2])
        row, place = picks // self.shape[1], picks % self.shape[1]
        tasks = []
        for block, parts in zip(self.positions, self._parts, strict=True):
            here = (place >= block.start) & (place < block.stop)
            index = row[here].numpy(), (place[here] - block.start).numpy()
            tasks.append((here, self.cluster.submit(_take, *index, *parts)))
        for here, task in tasks:
            vectors[here] = torch.from_numpy(ray.get(task).copy())
        return vectors

    @property
    def positions(self) -> list[slice]:
        """The positions of each block."""
        return [slice(begin, end) for begin, end in pairwise(self.borders)]

    def each(
        self, work: Callable[..., Any], *arguments: Any, eligible: Tensor | None = None
    ) -> Iterator[tuple[slice, Any]]:
        """``work(*arguments, *parts)`` for every block, in order.

        With ``(M, P)`` bool ``eligible``, its ``(M, p)`` columns come first.
        """
        import ray

        tasks = []
        for block, parts in zip(self.positions, self._parts, strict=True):
            first = () if eligible is None else (eligible[:, block].numpy(),)
            tasks.append(self.cluster.submit(work, *first, *arguments, *parts))
        tasks.reverse()
        for block in self.positions:
            yield block, ray.get(tasks.pop())


def embed_on(
    cluster: Cluster,
    embedder: Embedder,
    sources: Sequence[ImageSource],
    on_unreadable: OnUnreadable,
    progress: Progress,
) -> Blocks:
    """Embed images on the cluster and cut their patches by position.

    The actors make embedders like this one, whose device decides whether they take a GPU each.
    """
    import ray

    device = embedder.extractor.device.type
    about: Any = ray.remote(num_cpus=0)(lambda table: table["about"][0].as_py())  # sends no patches
    embedded: list[Embedded] = []
    lists: list[Any] = []
    done = 0
    tiled = embedder.extractor.config.tile is not None
    for table in stream(
        cluster,
        EmbeddingActor,
        (EmbedderSpec.of(embedder), device),
        sources,
        each=1 if tiled and len(sources) >= embedder.batch_size else IMAGES,  # tiles are many
        gpu=device == "cuda",
    ):
        lists.append(table)
        embedded.append(pickle.loads(ray.get(about.remote(table))))
        for name, reason in embedded[-1].unreadable:
            on_unreadable(ImageError(name, reason))
        done += len(embedded[-1].names)
        progress("embed", done, len(sources))
    warn_of_odd([one for found in embedded for one in found.odd])
    return Blocks(cluster, embedder, embedded, lists)


def concatenated(parts: Sequence[Floats]) -> Tensor:
    """Parts of a block, list by list -> ``(M, p, D)``."""
    return torch.from_numpy(np.concatenate(parts))


def _cut(table: Any, rows: int, positions: int, borders: Sequence[int]) -> Floats | list[Floats]:
    """Patches of a list of images, block of positions by block: ``(rows, p, D)`` each."""
    from ray.data.block import BlockAccessor

    flat = BlockAccessor.for_block(table).to_numpy(["patches"])["patches"][0]  # (n, D)
    patches = flat[: rows * positions].reshape(rows, positions, -1)
    parts = [np.ascontiguousarray(patches[:, begin:end]) for begin, end in pairwise(borders)]
    return parts[0] if len(parts) == 1 else parts


def _rows(rows: npt.NDArray[np.int64], *parts: Floats) -> Floats:
    begin = 0
    found = []
    for part in parts:
        here = rows[(rows >= begin) & (rows < begin + len(part))] - begin
        found.append(part[here])
        begin += len(part)
    return np.concatenate(found)


def _take(rows: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], *parts: Floats) -> Floats:
    return np.concatenate(parts)[rows, positions]
