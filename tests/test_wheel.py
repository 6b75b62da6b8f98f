"""The wheels: what is in them, and that they answer where nothing heavy is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from softpatch import __version__

ROOT = Path(__file__).parents[1]
LIGHT = ("typer", "rich")  # all that --help and --version need


def pip(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if "No matching distribution" in done.stderr or "Failed to establish" in done.stderr:
        pytest.skip(f"no package index in reach: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def built(source: Path, folder: Path) -> Path:
    pip("wheel", "--no-deps", "--wheel-dir", folder, source)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert wheel.name == f"softpatch-{__version__}-py3-none-any.whl"
    assert {name.split("/")[0] for name in names} == {
        "softpatch",
        f"softpatch-{__version__}.dist-info",
    }
    package = {path.relative_to(ROOT / "src").as_posix() for path in ROOT.glob("src/**/*.py")}
    assert {name for name in names if name.endswith(".py")} == package
    assert "softpatch/py.typed" in names
    assert "softpatch/benchmark/recipes/ablation.yaml" in names
    assert "softpatch/serving/page/page.js" in names
    assert not [name for name in names if name.endswith((".png", ".jpg", ".softpatch", ".pth"))]
    assert f"softpatch-{__version__}.dist-info/licenses/LICENSE" in names


def test_sdist_holds_the_package_and_no_folder_beside_it(tmp_path: Path) -> None:
    pip("install", "--target", tmp_path / "tools", "hatchling")
    build = f"from hatchling.build import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run(
        [sys.executable, "-c", build],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path / "tools")}, check=True,
        capture_output=True, timeout=300,
    )  # fmt: skip
    with tarfile.open(tmp_path / f"softpatch-{__version__}.tar.gz") as archive:
        beside = {name.split("/")[1] for name in archive.getnames()} - {".gitignore"}
    assert beside == {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "src"}


def test_wheel_of_the_runtime_is_the_shared_folder(tmp_path: Path) -> None:
    shared = ROOT / "src" / "softpatch" / "runtime"
    with zipfile.ZipFile(built(ROOT / "runtime", tmp_path)) as archive:
        held = {
            Path(name).name: archive.read(name)
            for name in archive.namelist()
            if name.startswith("softpatch_runtime/")
        }
        [commands] = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert b"softpatch-runtime = softpatch_runtime.cli:main" in archive.read(commands)
    assert held == {path.name: path.read_bytes() for path in shared.iterdir() if path.is_file()}


def test_installed_wheel_answers_without_torch(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    venv.create(place)
    scripts = place / ("Scripts" if os.name == "nt" else "bin")
    pip("--python", scripts / "python", "install", "--no-deps", wheel)
    pip("--python", scripts / "python", "install", *LIGHT)

    def softpatch(*arguments: str) -> str:
        done = subprocess.run(
            [scripts / "softpatch", *arguments],
            capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path,
        )  # fmt: skip
        return done.stdout

    assert softpatch("--version") == f"softpatch {__version__}\n"
    for command in ("fit", "predict", "evaluate", "benchmark", "report", "info", "demo"):
        assert command in softpatch("--help")
        assert "Usage" in softpatch(command, "--help")
    code = "import softpatch; softpatch.UsageError('no torch needed'); import torch"
    without = subprocess.run(
        [scripts / "python", "-c", code],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "No module named 'torch'" in without.stderr
