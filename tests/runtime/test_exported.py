"""Exported files: damage and mixtures are noticed before anything is scored."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softpatch.export.formats import FORMATS
from softpatch.runtime.engine import FORMAT, KEY, open_model
from softpatch.runtime.errors import ModelFileError
from softpatch.runtime.exported import MARK, read_exported
from tests.cli.test_cli import Run, run
from tests.conftest import no_larger_files

__all__ = ["run"]  # the fixture

onnx = pytest.importorskip("onnx", reason="needs softpatch[export]")
pytest.importorskip("openvino", reason="needs softpatch[export]")

PAGE = 4096
SIDE = 100  # of the pictures that the graph below takes


def graph(seed: int) -> Any:
    """Scores that are the sum of a picture times weights."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(seed).random((SIDE * SIDE * 3, 1), np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["score"]),
    ]
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["b", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["b", 1])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(made, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])


def export(folder: Path, name: str, seed: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    about = json.dumps({"format": FORMAT, "checksum": "crc32"})
    FORMATS[path.suffix](graph(seed), path, KEY, about)
    return path


def score(path: Path) -> float:
    return float(open_model(path)[0](np.ones((1, SIDE, SIDE, 3), np.uint8))["score"][0, 0])


@pytest.mark.parametrize("name", ["part.onnx", "part.xml"])
def test_a_disk_that_is_full_is_an_error_of_the_system(name: str, tmp_path: Path) -> None:
    with no_larger_files(50_000), pytest.raises(OSError, match=r"too large|is the disk full\?"):
        export(tmp_path / "export", name)


@pytest.mark.parametrize("name", ["part.onnx", "part.xml"])
def test_every_flipped_bit_and_zeroed_page_is_noticed(name: str, tmp_path: Path) -> None:
    sound = export(tmp_path / "sound", name)
    assert read_exported(sound).checked
    assert score(sound) > 0
    places = random.Random(0)
    target = tmp_path / "damaged" / name
    for part in sorted(sound.parent.iterdir()):
        content = part.read_bytes()
        damages = [
            content[:start] + bytes(PAGE) + content[start + PAGE :]
            for start in range(0, len(content) - PAGE, PAGE)
        ]
        for place in (places.randrange(len(content)) for _ in range(150)):
            flipped = bytes([content[place] ^ 1 << places.randrange(8)])
            damages.append(content[:place] + flipped + content[place + 1 :])
        shutil.copytree(sound.parent, target.parent, dirs_exist_ok=True)
        for damage in damages:
            (target.parent / part.name).write_bytes(damage)
            with pytest.raises(ModelFileError) as caught:
                open_model(target)
            assert str(caught.value).startswith(f"{target}: ")
            assert "\n" not in str(caught.value)


def test_an_xml_with_the_bin_of_another_export_is_noticed(run: Run, tmp_path: Path) -> None:
    one, other = (export(tmp_path / str(seed), "part.xml", seed) for seed in (0, 1))
    assert score(one) != score(other)
    shutil.copy(other.with_suffix(".bin"), one.with_suffix(".bin"))
    words = f"{one}: is damaged, or part.bin is of another export; export again"
    with pytest.raises(ModelFileError) as caught:
        open_model(one)
    assert str(caught.value) == words
    result = run("verify", one, other)
    assert (result.code, result.out) == (1, f"{words}\n{other}: intact\n")
    one.with_suffix(".bin").unlink()
    with pytest.raises(ModelFileError, match=r"part\.bin has to be beside it"):
        open_model(one)


@pytest.mark.parametrize("name", ["part.onnx", "part.xml"])
def test_an_open_model_is_not_changed_by_its_files(name: str, tmp_path: Path) -> None:
    """Overwritten in place, as ``cp`` does, and cut: a mapped file would end the process."""
    path = export(tmp_path / "export", name)
    expected, (opened, _) = score(path), open_model(path)
    for part in path.parent.iterdir():
        part.write_bytes(b"")
    picture = np.ones((1, SIDE, SIDE, 3), np.uint8)
    assert float(opened(picture)["score"][0, 0]) == expected


@pytest.mark.parametrize("name", ["part.onnx", "part.xml"])
def test_exports_of_versions_without_checksums_run(run: Run, name: str, tmp_path: Path) -> None:
    path = export(tmp_path / "export", name)
    content = path.read_bytes().replace(b"softpatch_checksum", b"softpatch_chosenum")
    content = content.replace(MARK, b"another-thing#42").replace(b"checksum", b"chosenum")
    path.write_bytes(content)
    assert not read_exported(path).checked
    assert score(path) > 0
    result = run("verify", path)
    assert (result.code, "has no checksums" in result.out) == (0, True)


def test_damage_to_the_mark_is_no_way_around_it(tmp_path: Path) -> None:
    path = export(tmp_path / "export", "part.onnx")
    content = path.read_bytes()
    path.write_bytes(content.replace(MARK, b"Softpatch-crc32:"))
    with pytest.raises(ModelFileError, match="is damaged; export again"):
        open_model(path)
