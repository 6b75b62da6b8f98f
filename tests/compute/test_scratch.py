"""Arrays that do not fit in scratch are files; the numbers in them are the same."""

from __future__ import annotations

import errno
import gc
import mmap
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from softpatch import ScratchError, SoftPatch
from softpatch.compute import scratch
from softpatch.compute.scratch import ScratchSpace, available_bytes, resident_bytes
from softpatch.detectors import make_detector

ROOMY, CRAMPED = 2**50, 1


def test_arrays_stay_in_memory_while_they_fit() -> None:
    space = ScratchSpace(ROOMY)
    assert space.empty(10, 3).shape == (10, 3)
    assert space.spilled == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
def test_spilled_arrays_are_ordinary_tensors(dtype: torch.dtype) -> None:
    space = ScratchSpace(CRAMPED)
    array = space.empty(100, 7, dtype=dtype)
    assert space.spilled == 700 * dtype.itemsize
    values = (torch.arange(700).view(100, 7) % 2).to(dtype)
    array[:] = values
    assert torch.equal(array, values)
    assert torch.equal(array.transpose(0, 1)[2:4], values.T[2:4])
    assert torch.equal(array[torch.tensor([3, 99, 3])], values[[3, 99, 3]])


def test_pages_handed_back_keep_what_was_written() -> None:
    space = ScratchSpace(CRAMPED)
    array = space.empty(1_000, 1_000)
    array.copy_(torch.arange(1_000_000.0).view(1_000, 1_000))
    space._mapped.hand_back()
    assert torch.equal(array, torch.arange(1_000_000.0).view(1_000, 1_000))


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # Whoever trims holds the map meanwhile.
    monkeypatch.setattr(scratch._Mapped, "watch", lambda _: None)
    space = ScratchSpace(CRAMPED)
    array = space.empty(50, 50)
    array.fill_(1)
    assert list(tmp_path.iterdir()) == []  # the file has no name
    del array
    gc.collect()
    assert len(space._mapped.maps) == 0


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system does not reserve space")
def test_a_full_disk_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ScratchError, match=r"4\.0 GB of temporary space .* set TMPDIR"):
        ScratchSpace(CRAMPED).empty(1_000, 1_000_000)


@pytest.mark.parametrize("method", ["softpatch", "softpatch-nearest", "patchcore", "padim"])
def test_the_limit_does_not_change_the_model(
    method: str, small_pictures: Path, tmp_path: Path, one_backbone: None
) -> None:
    files = []
    for limit in (ROOMY, CRAMPED):
        detector = make_detector(method, resize=64, crop=64, memory_limit=limit)
        detector.fit(small_pictures).save(tmp_path / f"{limit}")
        files.append((tmp_path / f"{limit}").read_bytes())
    assert files[0] == files[1]


def test_coarse_features_are_spilled_too(small_pictures: Path, one_backbone: None) -> None:
    suspicion = [
        SoftPatch(resize=64, crop=64, discriminator="position-free", memory_limit=limit)
        .fit(small_pictures)
        .suspicion_
        for limit in (ROOMY, CRAMPED)
    ]
    assert torch.equal(suspicion[0], suspicion[1])


def test_what_the_system_tells_is_plausible() -> None:
    assert 2**20 < available_bytes() < 2**50
    before = resident_bytes()
    if before == 0:
        pytest.skip("the system does not tell")
    # Fresh pages of the system's: an allocator would hand out again what earlier tests gave back.
    with mmap.mmap(-1, 50 * 2**20) as block:
        block.write(b"\1" * len(block))
        assert resident_bytes() - before > 40 * 2**20


def test_a_container_limit_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(scratch, "CONTROL_GROUP", tmp_path)
    assert available_bytes() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes() > 600_000
