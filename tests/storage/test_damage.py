"""Damage to a model file is noticed, wherever it is, and never becomes another score."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from softpatch import Detector, PaDiM, PatchCore, RandomEnsemble, SoftPatch, load
from softpatch.errors import ModelFileError, OutOfMemoryError
from softpatch.storage import model_bytes, model_file
from tests.cli.test_cli import Run, run

__all__ = ["run"]  # the fixture

pytestmark = pytest.mark.usefixtures("one_backbone")

PAGE = 4096


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    return tmp_path / "damaged.softpatch"


def without_checksums(model: Path, target: Path) -> Path:
    """As versions before checksums wrote it."""
    header, state = model_file.read(model)
    save_file(state, target, {model_bytes.KEY: json.dumps({"format": 1, **header})})
    return target


def test_every_flipped_bit_is_noticed(small_model: Path, damaged: Path) -> None:
    content = small_model.read_bytes()
    places = random.Random(0)
    for place in (*range(0, 3000, 17), *(places.randrange(len(content)) for _ in range(200))):
        flipped = bytearray(content)
        flipped[place] ^= 1 << places.randrange(8)
        damaged.write_bytes(flipped)
        with pytest.raises(ModelFileError) as caught:
            load(damaged)
        assert str(caught.value).startswith(f"{damaged}: ")
        assert "\n" not in str(caught.value)


def test_every_zeroed_page_is_noticed(small_model: Path, damaged: Path) -> None:
    content = small_model.read_bytes()
    for start in range(0, len(content), PAGE):
        page = content[start : start + PAGE]
        if not any(page):
            continue  # it is zeros
        damaged.write_bytes(content[:start] + bytes(len(page)) + content[start + PAGE :])
        with pytest.raises(ModelFileError):
            load(damaged)


@pytest.mark.parametrize("key", ["checksum", "checksums"])
def test_damage_to_the_name_of_a_checksum_is_no_way_around_it(
    key: str, small_model: Path, damaged: Path
) -> None:
    content = small_model.read_bytes()
    entry = f'\\"{key}\\":'.encode()
    assert content.count(entry) == 1
    damaged.write_bytes(content.replace(entry, entry.replace(b"ch", b"cx")))
    with pytest.raises(ModelFileError, match="the header is damaged; restore the file"):
        load(damaged)


def test_tensors_that_changed_places_are_noticed(small_model: Path, damaged: Path) -> None:
    """The bytes are all there, and each tensor is as long as before."""
    content = small_model.read_bytes()
    swapped = content.replace(b'"support_own"', b'"support_xxx"')
    damaged.write_bytes(swapped)
    with pytest.raises(ModelFileError, match="header is damaged"):
        load(damaged)


def test_files_of_versions_before_checksums_load_and_are_told(
    run: Run, small_model: Path, small_detector: SoftPatch, small_pictures: Path, tmp_path: Path
) -> None:
    old = without_checksums(small_model, tmp_path / "old.softpatch")
    picture = small_pictures / "0.png"
    assert load(old).predict(picture).score == small_detector.predict(picture).score
    assert model_bytes.read_checked(old).checksums is None
    assert "none, as an earlier version wrote" in run("info", old).out
    result = run("verify", old)
    assert (result.code, "has no checksums" in result.out) == (0, True)
    load(old).save(old)
    assert old.read_bytes() == small_model.read_bytes()
    assert json.loads(run("info", old, "--json").out)["checksums"] is True


def test_safetensors_reads_the_file_too(small_model: Path) -> None:
    _, state = model_file.read(small_model)
    with safe_open(small_model, framework="pt") as file:
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(name), state[name]) for name in state)


@pytest.mark.parametrize(
    "make",
    [SoftPatch, lambda **o: SoftPatch(discriminator="lof", **o), PatchCore, PaDiM, RandomEnsemble],
)
def test_all_tensors_of_all_methods_are_known(
    make: Callable[..., Detector], small_pictures: Path
) -> None:
    roi = np.ones((48, 64), bool)
    roi[0] = False
    detector = make(resize=64, crop=64, roi=roi).fit(small_pictures)
    assert set(detector.learned_.tensors()) | {"roi"} <= model_bytes.TENSORS


def test_a_tensor_that_nobody_knows_is_not_read(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header, state = model_file.read(small_model)
    about = json.dumps({"format": 1, **header})
    path = tmp_path / "m.softpatch"
    save_file(state | {"surprise": torch.zeros(10_000_000)}, path, {model_bytes.KEY: about})
    asked: list[int] = []
    empty = torch.empty

    def noting(size: Any, *others: Any, **more: Any) -> Any:
        asked.append(size)
        return empty(size, *others, **more)

    monkeypatch.setattr(torch, "empty", noting)
    assert set(model_file.read(path)[1]) == set(state)
    assert sum(asked) == sum(tensor.nbytes for tensor in state.values())


@pytest.mark.parametrize(
    "about",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]},
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]},
        {"dtype": "F32", "shape": [True] * 5, "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]},
        {"dtype": "F7", "shape": [4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4]},
        [],
    ],
)
def test_sizes_are_checked_before_anything_is_allocated(
    about: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = json.dumps({"__metadata__": {}, "bank": about}).encode()
    path = tmp_path / "m.softpatch"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(16))
    monkeypatch.delattr(torch, "empty")
    with pytest.raises(ModelFileError, match="not a softpatch model"):
        model_file.read(path)


def test_an_intact_file_is_not_called_damaged_where_memory_is_short(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(tensor.nbytes for tensor in load(small_model).learned_.tensors().values())
    monkeypatch.setattr(model_file, "available_bytes", lambda: size - 1)
    with pytest.raises(OutOfMemoryError, match=r"not enough memory to load it: its tensors take"):
        load(small_model)


def test_torch_without_memory_is_no_damage(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 123000000 bytes. Error code 12 (Cannot allocate memory)"
        )

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(OutOfMemoryError, match=r"to load it \(123 MB more were needed\)$"):
        model_file.read(small_model)


def test_a_file_that_shrinks_while_it_is_read_is_one_line(
    small_model: Path, damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged.write_bytes(small_model.read_bytes())
    header = model_bytes._header

    def shrink(*arguments: Any) -> Any:
        with damaged.open("r+b") as file:
            file.truncate(5000)
        return header(*arguments)

    monkeypatch.setattr(model_bytes, "_header", shrink)
    with pytest.raises(ModelFileError, match="it has become shorter"):
        load(damaged)


def test_verify_is_a_line_a_file(run: Run, small_model: Path, damaged: Path) -> None:
    content = bytearray(small_model.read_bytes())
    content[-9] ^= 4
    damaged.write_bytes(content)
    versions = damaged.with_name("part.softpatch.versions")
    versions.mkdir()
    (versions / "0001.softpatch").write_bytes(small_model.read_bytes())
    (versions / "0002.softpatch").write_bytes(content)
    (versions / ".0003.softpatch").write_bytes(b"hidden")
    good = run("verify", small_model)
    assert (good.code, good.out) == (0, f"{small_model}: intact\n")
    result = run("verify", damaged, versions, small_model, "none.softpatch")
    assert result.code == 1
    lines = result.out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        str(path)
        for path in (
            damaged, versions / "0001.softpatch", versions / "0002.softpatch", small_model,
            "none.softpatch",
        )
    ]  # fmt: skip
    assert ["is damaged" in line for line in lines] == [True, False, True, False, False]
    assert "no such model file" in lines[-1]
    (damaged.parent / "empty").mkdir()
    nothing = run("verify", damaged.parent / "empty")
    assert nothing.code == 1
    assert "no models in this folder" in nothing.out


def test_other_xml_in_a_folder_is_no_damaged_export(
    run: Run, small_model: Path, tmp_path: Path
) -> None:
    shutil.copy(small_model, tmp_path / "part.softpatch")
    annotations = tmp_path / "annotations.xml"
    annotations.write_text('<?xml version="1.0"?>\n<annotations><meta/></annotations>')
    (tmp_path / "page.xml").write_text("<!DOCTYPE html><html/>")
    result = run("verify", tmp_path)
    assert (result.code, result.out) == (0, f"{tmp_path / 'part.softpatch'}: intact\n")
    assert run("verify", annotations).code == 1  # which was asked for by name
    for lost in ('<?xml version="1.0"?>\n<net name="part" version="11"/>', "\0" * 5000):
        (tmp_path / "lost.xml").write_text(lost)
        assert "lost.bin has to be beside it" in run("verify", tmp_path).out
    (tmp_path / "annotations.bin").touch()
    assert "annotations.xml" in run("verify", tmp_path).out


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
def test_verify_passes_over_nothing_that_is_called_a_model(
    run: Run, small_model: Path, tmp_path: Path
) -> None:
    elsewhere, models = tmp_path / "elsewhere", tmp_path / "models"
    for folder in (elsewhere, models / "below"):
        folder.mkdir(parents=True)
    shutil.copy(small_model, elsewhere / "linked.softpatch")
    (models / "part.softpatch").symlink_to(elsewhere / "linked.softpatch")
    (models / "line").symlink_to(elsewhere, target_is_directory=True)
    (models / "below" / "up").symlink_to(models, target_is_directory=True)
    (models / "itself.drift").symlink_to("itself.drift")
    good = {models / "part.softpatch", models / "line" / "linked.softpatch"}
    odd = {models / "itself.drift"}
    for suffix in (".softpatch", ".drift", ".onnx", ".xml"):
        (models / f"gone{suffix}").symlink_to("nothing")
        os.mkfifo(models / "below" / f"pipe{suffix}")
        odd |= {models / f"gone{suffix}", models / "below" / f"pipe{suffix}"}
    result = run("verify", models)
    assert result.code == 1
    lines = dict(line.split(": ", 1) for line in result.out.splitlines())
    assert {Path(name) for name, words in lines.items() if words == "intact"} == good
    assert set(map(Path, lines)) == good | odd


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read anything")
def test_verify_tells_folders_that_cannot_be_read(
    run: Run, small_model: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "models" / "locked"
    locked.mkdir(parents=True)
    shutil.copy(small_model, tmp_path / "models" / "part.softpatch")
    for folder in (locked.parent, locked):
        locked.chmod(0)
        result = run("verify", folder)
        locked.chmod(0o700)
        assert result.code == 1
        assert result.out.splitlines()[-1] == f"{locked}: Permission denied"
