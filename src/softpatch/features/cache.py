"""Network maps kept on disk, so that the network sees each image once.

The maps are kept rather than the patches: they are up to 15 times smaller (213 kB per image for the
default backbone) and serve every embedding. A key is a hash of the images as the network sees them
and of everything that decides what the network makes of them, so that a changed image, an augmented
one or another backbone never meets old maps.

The two users need different keys. The last bits of a map depend on the size of its batch. A fit
with a checkpoint must write the same bytes as one without, so ``cached_maps`` keeps whole batches,
which a resumed fit forms again. In a benchmark the same images recur in other batches, since every
draw adds different ones, so ``CachedExtractor`` keeps single images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import FeatureConfig
from softpatch.runtime.files import write_atomically
from softpatch.storage.kept_tensors import is_kept, kept_path, read_tensors, write_tensors

TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Features of softpatch; safe to delete.\n"
KEPT_SHARE = 0.9  # of the limit is left when it is reached, so that not every image evicts


class MapStore(Protocol):
    """Where maps are kept: a ``MapFolder``, or the checkpoint of a fit."""

    def get(self, key: str, /) -> dict[str, Tensor] | None:
        """What was put under the key; None if nothing was, or if it is damaged."""
        ...

    def put(self, key: str, tensors: dict[str, Tensor], /) -> None:
        """Keep them."""
        ...


class MapFolder:
    """A folder of tensors by key, which evicts those that were not used for longest.

    It may be deleted at any time, and is made when the first file is written. Several processes
    may together exceed the limit in bytes by what they write before each has counted again.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._size: int | None = None  # bytes in the folder, once counted

    def get(self, key: str) -> dict[str, Tensor] | None:
        """What was put under the key; None if nothing was, or if the file is damaged."""
        path = self._path(key)
        stored = read_tensors(path)
        if stored is not None:
            with suppress(OSError):  # another process has just evicted it
                path.touch()  # used now
        return stored

    def put(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Keep them, at the cost of what was not used for longest."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        tag = self.folder / "CACHEDIR.TAG"  # for backup programs, which then skip the folder
        if not tag.exists():
            write_atomically(tag, TAG.encode())
        size = write_tensors(path, tensors)
        if self._size is None:
            self._size = sum(size for _, size, _ in self._files())
        else:
            self._size += size
        if self._size > self.limit:
            self._evict()

    def _path(self, key: str) -> Path:
        return kept_path(self.folder / key[:2], key)

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each was last used, how large it is, where it is."""
        files = []
        for path in self.folder.glob("??/*"):
            if not is_kept(path) or path.name[:2] != path.parent.name:  # somebody else's
                continue
            try:
                about = path.stat()
            except OSError:  # another process has just evicted it
                continue
            files.append((about.st_mtime, about.st_size, path))
        return files

    def _evict(self) -> None:
        files = sorted(self._files())
        self._size = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._size <= KEPT_SHARE * self.limit:
                break
            path.unlink(missing_ok=True)
            self._size -= size


def cached_maps(extractor: PatchExtractor, store: MapStore | None) -> Callable[[Tensor], Tensor]:
    """The extractor, whose network sees each batch once; without a store, the extractor itself."""
    if store is None:
        return extractor
    network = _network_key(extractor, torch.get_num_threads())

    def extract(images: Tensor) -> Tensor:
        key = _key(network, images)
        kept = store.get(key)
        if kept is None:
            maps = extractor.maps(images)
            store.put(key, _numbered(maps))
        else:
            maps = _on_device(_listed(kept), extractor.device)
        patches: Tensor = extractor.embedding(maps)
        return patches

    return extract


class CachedExtractor(PatchExtractor):
    """A ``PatchExtractor`` whose network sees each image once.

    Attributes:
        threads: torch threads the network runs with, whatever the process has: the last bits of
            its maps depend on it, and with them which patches enter a bank.
        computed: images that were not in the store so far.
    """

    def __init__(
        self, config: FeatureConfig, device: torch.device, store: MapStore | None, threads: int
    ) -> None:
        super().__init__(config, device)
        self.store = store
        self.threads = threads
        self.computed = 0
        self._network = _network_key(self, threads)

    def maps(self, images: Tensor) -> list[Tensor]:
        """``(B, 3, *crop)`` normalised -> one ``(B, C, h, w)`` float32 map per layer."""
        store = self.store
        if store is None:
            self.computed += len(images)
            return self._compute(images)
        keys = [_key(self._network, image) for image in images]
        found = [store.get(key) for key in keys]
        if missing := [at for at, kept in enumerate(found) if kept is None]:
            self.computed += len(missing)
            # The whole batch: in a smaller one the last bits of the missing maps would differ.
            maps = self._compute(images)
            for at in missing:
                store.put(keys[at], _numbered([layer[at] for layer in maps]))
            return maps
        every = [_listed(kept) for kept in found if kept is not None]
        stacked = [torch.stack(layer) for layer in zip(*every, strict=True)]
        return _on_device(stacked, self.device)

    def _compute(self, images: Tensor) -> list[Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            return super().maps(images)
        finally:
            torch.set_num_threads(before)


def _network_key(extractor: PatchExtractor, threads: int) -> str:
    """Changes with everything but the images that the maps depend on, to the last bit."""
    backbone, precision = extractor.backbone, extractor.config.precision
    network = (backbone.name, backbone.layers, backbone.weights_hash, precision)
    return repr((*network, extractor.device.type, threads, torch.__version__))


def _key(network: str, images: Tensor) -> str:
    digest = hashlib.sha256(f"{network}{tuple(images.shape)}{images.dtype}".encode())
    digest.update(images.contiguous().cpu().numpy().data)
    return digest.hexdigest()


def _numbered(maps: Sequence[Tensor]) -> dict[str, Tensor]:
    return {str(index): layer for index, layer in enumerate(maps)}


def _listed(kept: dict[str, Tensor]) -> list[Tensor]:
    return [kept[str(index)] for index in range(len(kept))]


def _on_device(maps: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """In the memory layout in which ``PatchExtractor.maps`` gives them."""
    return [layer.to(device).contiguous(memory_format=torch.channels_last) for layer in maps]
