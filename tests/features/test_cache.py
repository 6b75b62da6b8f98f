"""The map cache: the same features as without it, and never old ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from softpatch import PatchCore
from softpatch.errors import UsageError
from softpatch.features.cache import CachedExtractor, MapFolder, cached_maps
from softpatch.features.extractor import PatchExtractor
from softpatch.features.presets import FeatureConfig, configure
from tests.threads import thread_count

pytestmark = pytest.mark.usefixtures("one_backbone")

CPU = torch.device("cpu")
CONFIG = configure("edge", resize=64)
THREADS = 2


def extractor(cache: MapFolder | None, config: FeatureConfig = CONFIG) -> CachedExtractor:
    return CachedExtractor(config, CPU, cache, THREADS)


def some_pictures(count: int) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def cache(tmp_path: Path) -> MapFolder:
    return MapFolder(tmp_path / "features", 10**9)


def test_the_same_patches_bit_for_bit(cache: MapFolder) -> None:
    pictures = some_pictures(5)
    with thread_count(THREADS):
        expected = PatchExtractor(CONFIG, CPU)(pictures)
    first, again = extractor(cache), extractor(cache)
    assert torch.equal(first(pictures), expected)
    assert torch.equal(again(pictures), expected)
    assert (first.computed, again.computed) == (5, 0)


def test_in_any_company_and_with_any_number_of_threads(cache: MapFolder) -> None:
    pictures = some_pictures(5)
    expected = extractor(None)(pictures)
    with thread_count(1):
        extractor(cache)(pictures[2:4])
        later = extractor(cache)
        assert torch.equal(later(pictures), expected)
        assert torch.get_num_threads() == 1
    assert later.computed == 3


def test_of_a_batch_that_is_not_all_there_the_whole_is_computed(
    cache: MapFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bits of a map depend on how many images are in its batch."""
    pictures = some_pictures(4)
    extractor(cache)(pictures[:2])
    seen: list[int] = []
    maps = PatchExtractor.maps

    def counted(self: PatchExtractor, images: Tensor) -> list[Tensor]:
        seen.append(len(images))
        return maps(self, images)

    monkeypatch.setattr(PatchExtractor, "maps", counted)
    extractor(cache)(pictures)
    extractor(cache)(pictures[1:])
    assert seen == [4]


def test_a_fit_keeps_whole_batches(cache: MapFolder) -> None:
    plain = extractor(None)
    extract = cached_maps(plain, cache)
    pictures = some_pictures(4)
    assert torch.equal(extract(pictures), plain(pictures))
    plain.computed = 0
    assert torch.equal(cached_maps(plain, cache)(pictures), plain.embedding(plain.maps(pictures)))
    assert plain.computed == 4  # by the comparison alone
    extract(pictures[:2])
    assert plain.computed == 6
    assert cached_maps(plain, None) is plain


def test_embeddings_share_what_the_network_made(cache: MapFolder) -> None:
    extractor(cache)(some_pictures(3))
    other = extractor(cache, configure("edge", resize=64, embedding="concat"))
    other(some_pictures(3))
    assert other.computed == 0


def test_anything_that_matters_computes_again(cache: MapFolder) -> None:
    pictures = some_pictures(1)
    extractor(cache)(pictures)
    changed = pictures.clone()
    changed[0, 0, 0, 0] += 1e-6
    for config, seen in (
        (CONFIG, changed),
        (configure("edge", resize=64, weights="random"), pictures),
        (configure("edge", resize=64, layers=("blocks.1",)), pictures),
    ):
        fresh = extractor(cache, config)
        fresh(seen)
        assert fresh.computed == 1
    other_threads = CachedExtractor(CONFIG, CPU, cache, THREADS + 1)
    other_threads(pictures)
    assert other_threads.computed == 1


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None], ids=["empty", "zeros", "cut"])
def test_a_damaged_file_is_computed_again(cache: MapFolder, damage: bytes | None) -> None:
    pictures = some_pictures(1)
    expected = extractor(cache)(pictures)
    [path] = cache.folder.glob("*/*.safetensors")
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    repaired = extractor(cache)
    assert torch.equal(repaired(pictures), expected)
    assert repaired.computed == 1
    assert extractor(cache)(pictures).equal(expected)


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    import os

    tensors = {"0": torch.zeros(1000)}
    size = 4100
    cache = MapFolder(tmp_path, 5 * size)
    for number in range(5):
        cache.put(f"{number:02}", tensors)
        os.utime(cache._path(f"{number:02}"), (number, number))
    assert cache.get("00") is not None  # used now, and so the youngest
    cache.put("05", tensors)
    assert cache.get("01") is None
    assert cache.get("00") is not None
    assert cache.get("05") is not None
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= cache.limit
    assert (tmp_path / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d17278")


def test_only_what_the_cache_has_written_makes_room(tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("v1/best.safetensors", "ab/cd.safetensors", "ab/ab.bin")]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(b"somebody's")
    cache = MapFolder(tmp_path, 1)
    cache.put("abcd", {"0": torch.zeros(1000)})
    assert cache.get("abcd") is None
    assert all(other.read_bytes() == b"somebody's" for other in others)


def test_a_detector_takes_only_an_extractor_of_its_own_features() -> None:
    shared = extractor(None)
    detector = PatchCore(resize=64, device="cpu")
    detector.share_extractor(shared)
    assert detector.preprocessing is shared.preprocessing
    with pytest.raises(UsageError, match="other features"):
        PatchCore(resize=96, device="cpu").share_extractor(shared)


def test_a_detector_says_the_same_with_the_cache(cache: MapFolder, small_pictures: Path) -> None:
    def maps(detector: PatchCore) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        return [each.anomaly_map for each in detector.fit(small_pictures).predict(small_pictures)]

    with thread_count(THREADS):
        plain = maps(PatchCore(resize=64, device="cpu"))
    for _ in range(2):
        detector = PatchCore(resize=64, device="cpu")
        detector.share_extractor(extractor(cache))
        assert np.array_equal(maps(detector), plain)
