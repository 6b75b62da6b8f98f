"""Every option of every subcommand with odd values: taken, or refused in a line before any work.

The subcommands' own parameters are walked, so that a new option is among them; a new subcommand
has to get its entry in ``BASES``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softpatch import SoftPatch
from softpatch.datasets import make_product_line
from softpatch.errors import UsageError
from softpatch.ranges.kinds import OneOf, Size
from softpatch.ranges.table import range_of
from softpatch.runtime.ranges import Range
from tests.cli.test_cli import Result, Run, process, run
from tests.fleet.conftest import photograph
from tests.test_docs import COMMANDS

__all__ = ["run"]  # the fixture

FEW, MANY = 10, 200  # calls of each subcommand; hundreds find what is rare, and take minutes
SECONDS = 120  # that no tiny piece of work takes, however slow the machine
SMALL: dict[str, str | None] = {"--resize": "64", "--device": "cpu"}
MODEL: dict[str, str | None] = {"model": "part.softpatch"}
# A call that ends soon, by subcommand: arguments and options by name, flags with None. What would
# go on for ever, or start processes, is given nothing to do.
BASES: dict[str, dict[str, str | None]] = {
    "fit": {"folder": "photos", "--output": "new.softpatch", **SMALL},
    "fit-many": {"plant": "plant", "--output": "models", "--check": None, **SMALL},
    "estimate": {"folder": "photos", **SMALL},
    "update": {**MODEL, "folder": "photos", "--device": "cpu"},
    "merge": {"first": "part.softpatch", "second": "part.softpatch", "--output": "both.softpatch"},
    "rollback": MODEL,
    "audit": {"folder": "photos", "--output": "audit", **SMALL},
    "clean": {"folder": "photos", "--undo": None},
    "predict": {**MODEL, "images": "photos", "--output": "results"},
    "watch": {**MODEL, "folder": "empty", "--output": "watched", "--once": None},
    "serve": {"models": "missing.softpatch"},
    "export": {"model": "missing.softpatch", "--output": "part.onnx"},
    "threshold": {**MODEL, "--value": "1"},
    "info": MODEL,
    "verify": {"files": "part.softpatch"},
    "evaluate": {"--data": "lines", "--category": "part", **SMALL},
    "benchmark": {"--data": "missing", "--output": "cells"},
    "report": {"results": "missing"},
    "datasets": {"roots": "lines"},
    "demo": {"--data": "missing", "--output": "shown"},
}  # fmt: skip
NUMBERS = (
    "nan", "-nan", "inf", "-inf", "NaN", "-0", "-0.0", "0", "1", "2", "0.5", "1.5", "-1", "1e3",
    "1e308", "1e400", "5e-324", str(2**31), str(2**32), str(2**63), str(2**200), "9" * 5000,
    "1_000", "0x10", "१२", "½", "1,5", "1e", ".", "+", "auto", "None", "True", "1 2", "4GB", "-1GB",
    "nanGB", "1e400TB", "0.0001KB", "GB", "4 gb",
)  # fmt: skip
SIZES = (
    "64", "96", "32", "64x96", "0", "-1", "31", "8", "8193", "8x256", "256x8", "0x64", "64x0",
    "64x-64", "64x", "x64", "x", "64x64x64", "64X64", "64×64", "1e2", "64.0", "nan", "١٢٨",
    str(10**30),
)  # fmt: skip
LISTS = ("0", "0,1", "0,,1", ",", ",0", "0,", "a,b", " ", "0 1", "nan,0", "0.5,inf", "-1", "1e308")
TEXTS = (
    "", " ", "-", "--", ".", "missing", "missing/deeper", "photos", "empty", "part.softpatch",
    "notes.txt", "picture.png", "new.softpatch", "a" * 300, "ü", "\u202etxt", "日本", "a\nb",
    "a\tb", "[red]x[/]", "%s", "=1+1", "'",
    '"', "none", "cpu", "cuda", "meta", "cuda:999", "cuda:-1",
    "auto", "http://x", "part=", "=part.softpatch", "tau=2", "tau", "k=0", "C:\\x", "*",
)  # fmt: skip
# Nothing that would leave the folder of the test.
ANYTHING = st.text(st.characters(exclude_characters="/\0~", exclude_categories=["Cs"]), max_size=20)
DERANDOMIZED: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture
def place(
    small_pictures: Path,
    small_detector: SoftPatch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The working folder, with one of each thing that a subcommand takes."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_pictures, tmp_path / "photos")
    photograph(tmp_path / "plant" / "one", range(3))
    make_product_line(
        tmp_path / "lines" / "part", n_train=4, n_test_good=1, n_per_defect=1, image_size=64
    )
    small_detector.save(tmp_path / "part.softpatch")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no picture\n")
    shutil.copy(small_pictures / "0.png", tmp_path / "picture.png")
    return tmp_path


KEPT = ("photos", "plant", "lines", "part.softpatch", "empty", "notes.txt", "picture.png")


def parameters(command: str) -> dict[str, Any]:
    """What takes a value, by its name on the command line: options and arguments."""
    return {
        max(one.opts, key=len): one
        for one in COMMANDS[command].params
        if not getattr(one, "is_flag", False)
    }


def values(row: Range | None) -> st.SearchStrategy[str]:
    """Odd ones, by what an option takes. None of them that is taken makes for long work."""
    if isinstance(row, Size):
        return st.sampled_from(SIZES)
    if isinstance(row, OneOf):  # no clusters
        few = [name for name in row.names if name != "ray"]
        return st.sampled_from([*few, *TEXTS])
    if row is None or row.metavar == "TEXT":
        return st.one_of(st.sampled_from(TEXTS), ANYTHING)
    if row.metavar == "LIST":
        return st.one_of(st.sampled_from(LISTS), st.sampled_from(NUMBERS), ANYTHING)
    return st.one_of(st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.integers().map(str))


@st.composite
def calls(draw: st.DrawFn, command: str) -> tuple[str, str, list[str]]:
    """An option of the subcommand, an odd value of it, and the whole call."""
    found = parameters(command)
    name = draw(st.sampled_from(sorted(found)))
    value = draw(values(range_of(found[name].name, command)))
    given = {**BASES[command], name: value}
    words = [command]
    for key, text in given.items():
        words += [key] if text is None else [text] if not key.startswith("-") else [key, text]
    return name, value, words


def state(place: Path) -> dict[str, tuple[int, int]]:
    """Each file and folder there is, with its size and when it was written."""
    found = {path: path.lstat() for path in place.rglob("*")}
    return {str(path): (one.st_size, one.st_mtime_ns) for path, one in found.items()}


@contextmanager
def in_time() -> Iterator[None]:
    """Fail what hangs."""

    def hangs(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(row: Range | None, value: str) -> bool:
    """Whether the table says so."""
    if row is None:
        return False
    try:
        row.check("", row.read(value))
    except UsageError:
        return True
    return False


def check(command: str, call: tuple[str, str, list[str]], run: Run, place: Path) -> None:
    """The promises of every call."""
    name, value, words = call
    for path in set(place.iterdir()) - {place / kept for kept in KEPT}:  # of the calls before
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = state(place)
    with in_time():
        result: Result = run(*words)
    told = f"{words}\n{result.out}\n{result.err}"
    assert result.code in (0, 1, 2), told
    assert "Traceback" not in told
    assert not re.search(r"\bnan\b", result.out, re.IGNORECASE), told
    if result.code == 2:
        assert state(place) == before, told
        if "Usage: " not in result.err:  # what the parser itself does not understand
            assert result.error, told
    if name.startswith("--") and refused(range_of(parameters(command)[name].name, command), value):
        assert result.code == 2, told
        assert name in result.err, told


def try_calls(command: str, examples: int, run: Run, place: Path) -> None:
    @settings(max_examples=examples, **DERANDOMIZED)
    @given(call=calls(command))
    def every(call: tuple[str, str, list[str]]) -> None:
        check(command, call, run, place)

    every()


@pytest.mark.skipif(os.name == "nt", reason="needs SIGALRM")
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_odd_values(command: str, run: Run, place: Path) -> None:
    try_calls(command, FEW, run, place)


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="needs SIGALRM")
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_many_odd_values(command: str, run: Run, place: Path) -> None:
    try_calls(command, MANY, run, place)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        # As it was typed, not as it was understood.
        (("fit", "photos", "-o", "m", "--intensity", "5:3"), "such as 0:4095, got '5:3'"),
        (("fit", "photos", "-o", "m", "--intensity=-1:4095"), "such as 0:4095, got '-1:4095'"),
        (("fit", "photos", "-o", "m", "--tile", "8X9"), "or HEIGHTxWIDTH, got '8X9'"),
        (("fit", "photos", "-o", "m", "--layers", "a,,b"), "--layers must be a name, got 'a,,b'"),
        (("fit", "photos", "-o", "m", "--k", "00"), "--k must be at least 1, got 00"),
        (("benchmark", "--data", "photos", "--noise", "0.1,-2"), "[0, 1000], got '0.1,-2'"),
        (("fit", "photos", "-o", "m", "--k", "nan"), "--k must be a whole number, got 'nan'"),
        (("watch", "m", "photos", "-o", "x", "--interval=inf"), "--interval must lie in"),
        (("evaluate", "--data", "a", "--category", "b", "--crop", "0x64"), "--crop must be 32 to"),
    ],
)
def test_odd_values_of_a_process(words: tuple[str, ...], told: str, place: Path) -> None:
    before = state(place)
    result = process(*words)
    assert result.code == 2
    assert told in result.error
    assert state(place) == before


INTERRUPTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
module = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupts())
from {package}.cli import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("softpatch", "typer"),
        ("softpatch", "softpatch.cli.terminal"),
        ("softpatch", "torch"),
        ("softpatch", "softpatch.detectors.base"),
        ("softpatch.runtime", "softpatch.runtime.detector"),
        ("softpatch.runtime", "numpy"),
    ],
)
def test_ctrl_c_while_the_command_starts(package: str, module: str, place: Path) -> None:
    before = state(place)
    words = ("fit", "photos", "-o", "new.softpatch")
    if package != "softpatch":
        words = ("part.onnx", "photos", "-o", "results")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(package=package), module, *words],
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
    assert state(place) == before
