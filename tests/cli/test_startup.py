"""Commands that say or change little answer at once: without torch, which takes seconds to load."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from softpatch import SoftPatch, load

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from softpatch.cli import main
sys.argv = ["softpatch", *sys.argv[1:]]
main()
"""


@pytest.fixture
def folder(small_model: Path, small_pictures: Path, tmp_path: Path) -> Path:
    """With a model of two versions, and a data set."""
    versions = tmp_path / "part.softpatch.versions"
    versions.mkdir()
    shutil.copy(small_model, tmp_path / "part.softpatch")
    shutil.copy(small_model, versions / "0001.softpatch")
    scored = load(small_model)
    assert isinstance(scored, SoftPatch)
    scored.held_out_ = torch.arange(1.0, 61.0)
    scored.save(tmp_path / "scored.softpatch")
    for half in ("train/good", "test/good", "test/bad"):
        shutil.copytree(small_pictures, tmp_path / "data" / "part" / half)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "part.softpatch"], "training pictures"),
        (["info", "part.softpatch", "--json"], '"method": "softpatch"'),
        (["threshold", "part.softpatch", "--value", "7"], "threshold 7"),
        (["threshold", "scored.softpatch"], "by 60 training pictures"),
        (["verify", "part.softpatch"], "intact"),
        (["rollback", "part.softpatch", "--to", "1"], "is version 1"),
        (["datasets"], "MVTec AD"),
        (["datasets", "--show", "visa"], "Visual Anomaly"),
        (["datasets", "data", "--json"], '"masked": 0'),
        (["--version"], "softpatch"),
    ],
)
def test_it_answers_without_torch(arguments: list[str], said: str, folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments],
        cwd=folder, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout
