"""What the network makes of each picture, computed once and kept on disk.

The maps are kept rather than the patches: they are 15 times smaller (213 kB a picture for the
default backbone) and serve every embedding. A file is named by a hash of the picture as the network
sees it and of everything that decides what the network makes of it, so that a changed picture, an
augmented one or another backbone never meets old features. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import FeatureConfig
from softpatch.runtime.files import write_atomically

SUFFIX = ".safetensors"
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Features of softpatch; safe to delete.\n"
KEPT_SHARE = 0.9  # of the limit is left when it is reached, so that not every picture evicts


class FeatureCache:
    """A folder of tensors by key, which forgets what was not used for longest.

    Attributes:
        folder: made when the first file is written.
        limit: bytes it may hold; several processes may together exceed it by what they write
            before each has looked again.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._size: int | None = None  # bytes in the folder, once looked at

    def get(self, key: str) -> list[Tensor] | None:
        """What was put under the key; None if nothing was, or if the file is damaged."""
        path = self._path(key)
        try:
            stored = safetensors.torch.load(path.read_bytes())
            path.touch()  # used now
            return [stored[str(index)] for index in range(len(stored))]
        except (OSError, SafetensorError, KeyError):
            return None

    def put(self, key: str, tensors: list[Tensor]) -> None:
        """Keep them, at the cost of what was not used for longest."""
        content = safetensors.torch.save(
            {str(index): tensor.contiguous().cpu() for index, tensor in enumerate(tensors)}
        )
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        tag = self.folder / "CACHEDIR.TAG"  # tells backup programs what it is
        if not tag.exists():
            write_atomically(tag, TAG.encode())
        write_atomically(path, content)
        self._size = self._files_size() if self._size is None else self._size + len(content)
        if self._size > self.limit:
            self._evict()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}{SUFFIX}"

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each was last used, how large it is, where it is."""
        files = []
        for path in self.folder.glob(f"*/*{SUFFIX}"):
            try:
                about = path.stat()
            except OSError:  # another process has just evicted it
                continue
            files.append((about.st_mtime, about.st_size, path))
        return files

    def _files_size(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _evict(self) -> None:
        files = sorted(self._files())
        self._size = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._size <= KEPT_SHARE * self.limit:
                break
            path.unlink(missing_ok=True)
            self._size -= size


class CachedExtractor(PatchExtractor):
    """A ``PatchExtractor`` whose network looks at each picture once.

    Attributes:
        threads: torch threads the network runs with, whatever the process has: its last bits
            depend on it, and with them which patches enter a bank.
        looked_at: pictures the network has looked at so far.
    """

    def __init__(
        self, config: FeatureConfig, device: torch.device, cache: FeatureCache | None, threads: int
    ) -> None:
        super().__init__(config, device)
        self.cache = cache
        self.threads = threads
        self.looked_at = 0
        deciding = (
            self.backbone.name,
            self.backbone.layers,
            self.backbone.weights_hash,
            config.precision,
            device.type,
            threads,
            torch.__version__,
        )
        self._network = hashlib.sha256(repr(deciding).encode()).digest()

    def maps(self, images: Tensor) -> list[Tensor]:
        """``(B, 3, *crop)`` normalised -> one ``(B, C, h, w)`` float32 map per layer."""
        if self.cache is None:
            return self._look(images)
        keys = [self._key(image) for image in images]
        found = [self.cache.get(key) for key in keys]
        missing = [index for index, maps in enumerate(found) if maps is None]
        if missing:
            looked = self._look(images[missing])
            for place, index in enumerate(missing):
                # A picture's maps do not depend on the others of its batch.
                found[index] = [layer[place] for layer in looked]
                self.cache.put(keys[index], [layer[place] for layer in looked])
        every = [maps for maps in found if maps is not None]
        return [
            torch.stack(layer).to(self.device).contiguous(memory_format=torch.channels_last)
            for layer in zip(*every, strict=True)
        ]

    def _look(self, images: Tensor) -> list[Tensor]:
        self.looked_at += len(images)
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            return super().maps(images)
        finally:
            torch.set_num_threads(before)

    def _key(self, image: Tensor) -> str:
        picture = hashlib.sha256(image.contiguous().cpu().numpy().tobytes())
        picture.update(repr(tuple(image.shape)).encode())
        picture.update(self._network)
        return picture.hexdigest()
