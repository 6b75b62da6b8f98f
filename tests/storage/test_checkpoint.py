"""Fits that are killed and go on: the model is the same to the byte."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from softpatch import PaDiM, PatchCore, RandomBank, RandomEnsemble, SoftPatch
from softpatch.bank import coreset
from softpatch.bank.coreset import greedy_coreset
from softpatch.compute.progress import Progress
from softpatch.errors import BusyError, ScratchError, UsageError
from softpatch.features.extractor import PatchExtractor
from softpatch.storage import lock
from softpatch.storage.checkpoint import TAG, Checkpoint, fingerprint
from tests.detectors.pictures import SMALL

KILLS = 5
OPTIONS: dict[str, Any] = {**SMALL, "dimension": 64, "max_false_alarms": 0.2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes")
def test_killed_fits_write_the_same_bytes(small_pictures: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fit_kills", small_pictures, tmp_path, str(KILLS),
            "resize=64", "crop=64", "dimension=64",
        ],
        capture_output=True, text=True, timeout=900, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{KILLS} kills, ")


class Stopped(BaseException):
    pass


def stop_at(step: str, done: int) -> Progress:
    def progress(at: str, count: int, total: int) -> None:
        if at == step and count >= done:
            raise Stopped

    return progress


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize(
    ("discriminator", "step", "done"),
    [
        ("auto", "embed", 5),
        ("auto", "coreset", 1),
        ("auto", "support", 3),
        ("auto", "hold out", 3),
        ("lof", "discriminate", 1),
        ("lof", "discriminate", 60),
        ("lof", "calibrate", 3),
    ],
)
def test_a_fit_goes_on_where_it_was_stopped(
    discriminator: str, step: str, done: int, small_pictures: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """And learns what it would have without a checkpoint."""
    monkeypatch.setattr(coreset, "BLOCK", 8)
    options = {**OPTIONS, "discriminator": discriminator}
    folder = tmp_path / "checkpoint"
    plain = SoftPatch(**options).fit(small_pictures)
    with pytest.raises(Stopped):
        SoftPatch(**options).fit(small_pictures, checkpoint=folder, progress=stop_at(step, done))
    looked: list[int] = []
    maps = PatchExtractor.maps

    def counted(self: PatchExtractor, images: torch.Tensor) -> list[torch.Tensor]:
        looked.append(len(images))
        return maps(self, images)

    monkeypatch.setattr(PatchExtractor, "maps", counted)
    detector = SoftPatch(**options).fit(small_pictures, checkpoint=folder)
    assert sum(looked) == (0 if step != "embed" else 0 if done > 8 else 8 - 8 * (done > 4))
    assert detector.digest() == plain.digest()
    detector.save(tmp_path / "part.softpatch")
    assert not folder.exists()


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize(
    ("kind", "last"),
    [
        (PatchCore, "coreset"),
        (PaDiM, "gaussians"),
        (RandomBank, "calibrate"),
        (RandomEnsemble, "calibrate"),
    ],
)
def test_other_methods_have_checkpoints_too(
    kind: Any, last: str, small_pictures: Path, tmp_path: Path
) -> None:
    plain = kind(**SMALL).fit(small_pictures)
    with pytest.raises(Stopped):
        kind(**SMALL).fit(small_pictures, checkpoint=tmp_path / "c", progress=stop_at(last, 1))
    assert kind(**SMALL).fit(small_pictures, checkpoint=tmp_path / "c").digest() == plain.digest()


@pytest.mark.usefixtures("one_backbone")
@pytest.mark.parametrize("change", ["picture", "option", "seed"])
def test_what_has_changed_is_made_again(change: str, pictures: Path, tmp_path: Path) -> None:
    options = {**OPTIONS, "discriminator": "lof"}
    with pytest.raises(Stopped):
        SoftPatch(**options).fit(
            pictures, checkpoint=tmp_path / "c", progress=stop_at("calibrate", 1)
        )
    if change == "picture":
        before = (pictures / "3.png").stat()
        Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(pictures / "3.png")
        os.utime(pictures / "3.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "option":
        options["tau"] = 0.4
    else:
        options["seed"] = 3
    plain = SoftPatch(**options).fit(pictures)
    resumed = SoftPatch(**options).fit(pictures, checkpoint=tmp_path / "c")
    assert resumed.digest() == plain.digest()


@pytest.mark.parametrize("stopped_at", [1, 40, 199])
def test_the_coreset_goes_on_pick_for_pick(
    stopped_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coreset, "BLOCK", 16)
    patches = torch.randn(900, 12, generator=torch.Generator().manual_seed(0))
    eligible = torch.arange(900) % 5 != 0
    expected = greedy_coreset(patches, 200, eligible=eligible)
    checkpoint = Checkpoint(tmp_path / "c")
    with pytest.raises(Stopped):
        greedy_coreset(
            patches, 200, eligible=eligible, checkpoint=checkpoint,
            progress=stop_at("coreset", stopped_at),
        )  # fmt: skip
    picks = greedy_coreset(patches, 200, eligible=eligible, checkpoint=checkpoint)
    assert torch.equal(picks, expected)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="holds other files"):
        Checkpoint(tmp_path)
    (tmp_path / "photo.png").unlink()
    checkpoint = Checkpoint(tmp_path)
    others = {"photo.png", "backbone.safetensors"}
    for name in others:
        (tmp_path / name).write_bytes(b"x")
    checkpoint.put("step", {"a": torch.ones(3)})
    checkpoint.remove()
    assert {path.name for path in tmp_path.iterdir()} == others


def test_one_fit_at_a_time_uses_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    one, other = Checkpoint(tmp_path / "c"), Checkpoint(tmp_path / "c")
    both = ThreadPoolExecutor(1)
    with one.alone():
        one.put("step", {"a": torch.ones(3)})
        with pytest.raises(BusyError, match=f"{tmp_path / 'c'}: is being changed by"):
            both.submit(other.alone().__enter__).result()
        both.submit(other.remove).result()  # which leaves it to the one that uses it
        assert one.get("step") is not None
    other.remove()
    assert not one.folder.exists()
    one.remove()  # gone already
    with one.alone():
        one.put("step", {"a": torch.ones(3)})
    one.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_fit_waits_for_the_one_that_uses_its_checkpoint(
    small_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    folder = tmp_path / "c"
    detector = PatchCore(resize=64, crop=64)
    with Checkpoint(folder).alone(), ThreadPoolExecutor(1) as other, pytest.raises(BusyError):
        other.submit(detector.fit, small_pictures, checkpoint=folder).result()
    detector.fit(small_pictures, checkpoint=folder).save(tmp_path / "m")
    assert not folder.exists()


def test_a_damaged_or_half_written_file_is_made_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.put("step", {"a": torch.ones(3)})
    kept = checkpoint.get("step")
    assert kept is not None
    assert kept["a"].tolist() == [1, 1, 1]
    for path in checkpoint.folder.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:20])
        path.with_name(f".{path.name}.abc").write_bytes(b"half")
    assert checkpoint.get("step") is None
    assert checkpoint.of("other").get("step") is None
    (checkpoint.folder / TAG).unlink()
    (checkpoint.folder / f".{TAG}.abc").write_bytes(b"half")
    for path in checkpoint.folder.glob("*.safetensors*"):
        path.unlink()
    Checkpoint(checkpoint.folder).remove()
    assert not checkpoint.folder.exists()


def test_a_flipped_bit_is_no_step(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.put("step", {"a": torch.arange(30.0)})
    [path] = checkpoint.folder.glob("*.safetensors")
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        )
        assert checkpoint.get("step") is None
    path.write_bytes(content)
    assert checkpoint.get("step") is not None


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.put("first", {"a": torch.ones(3)})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ScratchError, match=r"No space left on device.*what is finished is kept"):
        checkpoint.put("second", {"a": torch.ones(3)})
    monkeypatch.undo()
    assert checkpoint.get("first") is not None
    assert len(list(checkpoint.folder.iterdir())) == 2


def test_fingerprints_see_every_number() -> None:
    tensor = torch.zeros(5, 3)
    changed = tensor.clone()
    changed[4, 2] = 1e-30
    prints = {
        fingerprint(part)
        for part in (tensor, changed, tensor.view(3, 5), tensor.double(), tensor.flatten(), "x", 1)
    }
    assert len(prints) == 7
    assert fingerprint(tensor.t().contiguous().t()) == fingerprint(tensor)
