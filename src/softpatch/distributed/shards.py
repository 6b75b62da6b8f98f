"""The patches of all training pictures on a cluster, cut by grid position.

Actors embed lists of pictures. Each list's patches are then cut into blocks of positions, and the
parts of one block make a shard: all pictures at a few positions, which is what a discriminator
compares. Parts are moved between nodes once, and freed when they are gathered.
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
from torch import Tensor

from softpatch.compute.progress import Progress, silent
from softpatch.compute.scratch import ScratchSpace
from softpatch.detectors import Detector, SoftPatch
from softpatch.detectors.patch_table import arrange
from softpatch.distributed.cluster import Cluster, TaskEnvironment
from softpatch.distributed.recipe import Recipe, recipe_of
from softpatch.distributed.stream import PICTURES, Worker, stream
from softpatch.errors import ImageError
from softpatch.features.coarse import CoarseFeatures
from softpatch.images.sources import ImageSource, OnUnreadable
from softpatch.runtime.tiling import TileLayout

SHARD_BYTES = 256 * 2**20  # of patches: one task holds them twice, and works on them in chunks

Floats = npt.NDArray[np.float32]


@dataclass
class Embedded:
    """About a list of pictures, beside their patches."""

    names: list[str] = field(default_factory=list)
    layouts: list[TileLayout] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # patches of each
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # name, reason


class Embedder(Worker):
    """Pictures to patches."""

    def __init__(self, surroundings: TaskEnvironment, recipe: Recipe, device: str) -> None:
        super().__init__(surroundings)
        self.recipe = recipe
        self.device = device

    @cached_property
    def detector(self) -> Detector:
        """Made with the first list: Ray would start an actor that cannot begin again and again."""
        return self.recipe.make(self.device)

    @torch.inference_mode()
    def work(self, first: int, sources: Iterable[ImageSource]) -> dict[str, Any]:
        """A row of ``about`` and ``patches``: (1, n, D), of all pictures one after another."""
        del first
        about = Embedded()

        def note(error: ImageError) -> None:
            about.unreadable.append((error.name, error.reason))

        kept: list[Tensor] = []
        for views, patches in self.detector._embed(sources, note):
            for view, seen in zip(views, patches, strict=True):
                if view.first:
                    about.names.append(view.name)
                    about.layouts.append(view.layout)
                    about.counts.append(0)
                inside = seen if view.inside is None else seen[view.inside]
                about.counts[-1] += len(inside)
                kept.append(inside.cpu())
        # An empty table has no shape.
        flat = torch.cat(kept) if kept else torch.zeros(1, 1)
        pickled = np.array([pickle.dumps(about)], dtype=object)
        return {"about": pickled, "patches": flat.numpy()[None]}


class Shards:
    """All patches, block of positions by block.

    Attributes:
        names, layouts: of the readable pictures, in order.
        image_index: ``(M,)`` int64, the picture each of the M pictures or tiles is from.
        positions: P, of a picture or tile.
        dimension: D.
    """

    def __init__(
        self, cluster: Cluster, recipe: Recipe, dimension: int, embedded: list[Embedded],
        lists: list[Any], positions: int,
    ) -> None:  # fmt: skip
        """Cut the lists' patches and let go of them.

        Args:
            cluster: they are on.
            recipe: of the detector.
            dimension: D.
            embedded: about each list.
            lists: references to the patches of each; emptied.
            positions: of a view.
        """
        self.cluster = cluster
        self.recipe = recipe
        self.dimension = dimension
        self.names = [name for about in embedded for name in about.names]
        self.layouts = [layout for about in embedded for layout in about.layouts]
        counts = [count for about in embedded for count in about.counts]
        self.positions, self.image_index = arrange(
            counts or [positions], positions, cut_out=recipe.options["roi"] is not None
        )
        everyone = 4 * len(self.image_index) * dimension  # bytes of one position
        blocks = max(-(-everyone * self.positions // SHARD_BYTES), cluster.slots)
        blocks = min(blocks, self.positions)
        self.borders = [self.positions * at // blocks for at in range(blocks + 1)]
        self._parts: list[list[Any]] = [[] for _ in range(blocks)]  # block by block, of each list
        lists.reverse()
        for about in embedded:
            table, rows = lists.pop(), sum(about.counts) // self.positions
            if rows:
                parts = cluster.submit(
                    _cut, table, rows, self.positions, self.borders, returns=blocks
                )
                for block, part in enumerate([parts] if blocks == 1 else parts):
                    self._parts[block].append(part)

    def outlier_scores(self, progress: Progress) -> Tensor:
        """``(M, P)`` float32 scores W: each position compared across all pictures."""
        scores = torch.empty(len(self.image_index), self.positions)
        for block, found in self.each(_outlier_scores, self.recipe):
            scores[:, block] = torch.from_numpy(found.copy())
            progress("discriminate", block.stop, self.positions)
        return scores

    def gather(self, workspace: ScratchSpace, progress: Progress) -> Tensor:
        """``(M, P, D)`` patches, all in this process; the cluster lets go of them."""
        import ray

        patches = workspace.empty(len(self.image_index), self.positions, self.dimension)
        self._parts.reverse()
        for block in self.blocks:
            # All at once: lost parts are then made again together, by one actor.
            found = ray.get(self._parts.pop())
            end = 0
            for part in found:
                begin, end = end, end + len(part)
                patches[begin:end, block] = torch.from_numpy(part.copy())
            del found, part
            progress("gather", block.stop, self.positions)
        return patches

    def of_rows(self, rows: Tensor) -> Tensor:
        """``(r,)`` of the M, ascending -> ``(r, P, D)`` patches."""
        patches = torch.empty(len(rows), self.positions, self.dimension)
        for block, found in self.each(_of_rows, rows.numpy()):
            patches[:, block] = torch.from_numpy(found.copy())
        return patches

    @property
    def blocks(self) -> list[slice]:
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
        for block, parts in zip(self.blocks, self._parts, strict=True):
            first = () if eligible is None else (eligible[:, block].numpy(),)
            tasks.append(self.cluster.submit(work, *first, *arguments, *parts))
        tasks.reverse()
        for block in self.blocks:
            yield block, ray.get(tasks.pop())


def shuffle(
    cluster: Cluster,
    detector: Detector,
    sources: Sequence[ImageSource],
    on_unreadable: OnUnreadable,
    progress: Progress,
) -> Shards:
    """Embed pictures on the cluster and cut their patches by position.

    Args:
        cluster: to use.
        detector: whose features; its device decides whether actors take a GPU each.
        sources: the pictures.
        on_unreadable: gets those that cannot be read, in order.
        progress: told of the step ``embed``.
    """
    import ray

    recipe = recipe_of(detector)
    extractor = detector._get_extractor()
    about: Any = ray.remote(num_cpus=0)(lambda table: table["about"][0].as_py())  # sends no patches
    embedded: list[Embedded] = []
    lists: list[Any] = []
    done = 0
    alone = detector.features.tile is not None and len(sources) >= detector.batch_size
    for table in stream(
        cluster,
        Embedder,
        (recipe, detector.device.type),
        sources,
        each=1 if alone else PICTURES,  # tiles are many already
        gpu=detector.device.type == "cuda",
    ):
        lists.append(table)
        embedded.append(pickle.loads(ray.get(about.remote(table))))
        for name, reason in embedded[-1].unreadable:
            on_unreadable(ImageError(name, reason))
        done += len(embedded[-1].names)
        progress("embed", done, len(sources))
    return Shards(cluster, recipe, extractor.dimension, embedded, lists, extractor.positions)


def together(parts: Sequence[Floats]) -> Tensor:
    """Parts of a block, list by list -> ``(M, p, D)``."""
    return torch.from_numpy(np.concatenate(parts))


def coarse_numbers(coarse: CoarseFeatures, *parts: Floats) -> Floats:
    """``(M, p, d)`` of a block."""
    numbers: Floats = coarse(together(parts)).numpy()
    return numbers


def _cut(table: Any, rows: int, positions: int, borders: Sequence[int]) -> Floats | list[Floats]:
    """Patches of a list of pictures, block of positions by block: ``(rows, p, D)`` each."""
    from ray.data.block import BlockAccessor

    flat = BlockAccessor.for_block(table).to_numpy(["patches"])["patches"][0]  # (n, D)
    patches = flat[: rows * positions].reshape(rows, positions, -1)
    parts = [np.ascontiguousarray(patches[:, begin:end]) for begin, end in pairwise(borders)]
    return parts[0] if len(parts) == 1 else parts


def _outlier_scores(recipe: Recipe, *parts: Floats) -> Floats:
    detector = recipe.make()
    assert isinstance(detector, SoftPatch)
    patches = together(parts)
    scores: Floats = detector._outlier_scores(
        detector._project(patches, ScratchSpace()), silent
    ).numpy()
    return scores


def _of_rows(rows: npt.NDArray[np.int64], *parts: Floats) -> Floats:
    begin = 0
    found = []
    for part in parts:
        here = rows[(rows >= begin) & (rows < begin + len(part))] - begin
        found.append(part[here])
        begin += len(part)
    return np.concatenate(found)
