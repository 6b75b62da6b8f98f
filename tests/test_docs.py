"""What README.md and docs/ say can be done: code that runs, commands and links that exist."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
import tomllib
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile, groupby
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image

import softpatch
from softpatch.cli.app import app
from softpatch.detectors import METHODS
from softpatch.noise.discriminators import DISCRIMINATORS
from softpatch.runtime.cli import _parser as runtime_parser

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "runtime" / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RUN = (ROOT / "README.md", ROOT / "docs" / "extend.md")
LONGEST_README = 140  # lines
LONGEST_ARCHITECTURE = 150
# Without torch's own types, which take mypy 40 s more to read, all of it is Any.
MYPY = """
[mypy]
strict = True
mypy_path = src
follow_imports = silent
ignore_missing_imports = True
disallow_subclassing_any = False

[mypy-torch.*,torchvision.*,timm.*,sklearn.*,numpy.*,scipy.*,ray.*]
follow_imports = skip
"""
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Block:
    """Fenced code of a page."""

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, language: str) -> Iterator[Block]:
    for found in re.finditer(r"^( *)```(\w*)\n(.*?)^ *```$", page.read_text(), re.M | re.S):
        margin, kind, code = found.groups()
        if kind == language:
            line = page.read_text()[: found.start()].count("\n") + 2
            yield Block(page, line, kind, re.sub(rf"^{margin}", "", code, flags=re.M))


def prose(page: Path) -> str:
    """A page without its fenced code."""
    return re.sub(r"^ *```\w*\n.*?^ *```$", "", page.read_text(), flags=re.M | re.S)


PYTHON = [block for page in PAGES for block in blocks(page, "python")]


# --- Python --------------------------------------------------------------------------------------


def test_python_passes_mypy(tmp_path: Path) -> None:
    code = ["from __future__ import annotations"]
    for number, block in enumerate(PYTHON):
        # The small distribution is softpatch.runtime under another name.
        body = block.code.replace("from softpatch_runtime", "from softpatch.runtime")
        code.append(f"def block_{number}() -> None:  # {block}\n{indent(body, '    ')}")
    shown, settings = tmp_path / "shown.py", tmp_path / "mypy.ini"
    shown.write_text("\n\n".join(code))
    settings.write_text(MYPY)
    arguments = ("--config-file", settings, "--cache-dir", tmp_path / "cache", shown)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{shown.read_text()}"


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_public_names_exist(block: Block) -> None:
    """The package loads names on first use, so that mypy would let any pass."""
    for name in re.findall(r"(?<!from )softpatch\.(\w+)|from softpatch import (\w+)", block.code):
        assert "".join(name) in softpatch.__all__


@pytest.mark.parametrize("block", [block for block in PYTHON if block.page in RUN], ids=str)
def test_python_runs(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_backbone: None
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, indices in (("photos", range(4)), ("new", (17, 18))):
        (tmp_path / folder).mkdir()
        for index in indices:
            noise = np.random.default_rng(index).integers(0, 20, size=(48, 64, 3))
            base = np.linspace(40, 200, 64)[None, :, None]
            picture = Image.fromarray((base + noise).astype(np.uint8))
            picture.save(tmp_path / folder / f"part_{index}.png")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(block.code, str(block), "exec"), {"__name__": "shown"})
    assert printed.getvalue()


# --- commands ------------------------------------------------------------------------------------


def shell_lines() -> Iterator[tuple[str, list[str]]]:
    """(where, words) of each command in a page's shell blocks, and of those in its prose."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            line = ""
            for part in block.code.replace("\\\n", " ").splitlines():
                line += part
                try:
                    words = shlex.split(line, comments=True)
                except ValueError:  # a quotation goes on in the next line
                    line += "\n"
                    continue
                line = ""
                yield from ((str(block), command) for command in split(words))
        for code in re.findall(r"`((?:softpatch|make|python -m)\s[^`]+)`", prose(page)):
            yield str(page.relative_to(ROOT)), shlex.split(code)


def split(words: list[str]) -> Iterator[list[str]]:
    """The commands that ``&&`` joins, without variables before them; none of an empty line."""
    for _, command in groupby(words, lambda word: word != "&&"):
        if found := list(dropwhile(re.compile(r"[A-Z_]+=|&&").match, command)):
            yield found


LINES = list(shell_lines())


def lines_of(*start: str) -> Iterator[tuple[str, list[str]]]:
    for where, words in LINES:
        if tuple(words[: len(start)]) == start:
            yield where, words[len(start) :]


def test_commands_exist() -> None:
    known = {"softpatch", "softpatch-runtime", "make", "pip", "python", "curl", "mv"}
    for where, words in LINES:
        assert words[0] in known, f"{where}: {words}"


def test_softpatch_has_these_options() -> None:
    seen = 0
    for where, (name, *arguments) in lines_of("softpatch"):
        if name.startswith("-"):
            assert name in ("--help", "--version"), where
            continue
        assert name in COMMANDS, f"{where}: {name}"
        given = parsed(where, name, arguments)
        for option in ("method", "methods"):
            known = {*METHODS, "oracle"}
            for method in (given.get(option) or "softpatch").split(","):
                assert method in known, f"{where}: {method}"
        assert given.get("discriminator", "auto") in {"auto", *DISCRIMINATORS}, where
        seen += 1
    assert seen > 40


def parsed(where: str, name: str, arguments: list[str]) -> dict[str, Any]:
    """What the subcommand's parser, which knows no old spellings, makes of the arguments."""
    command = COMMANDS[name]
    context = command.context_class(command, info_name=name, resilient_parsing=True)
    try:
        given, rest, _ = command.make_parser(context).parse_args(arguments.copy())
    except Exception as error:
        raise AssertionError(f"{where}: softpatch {name} {arguments}: {error}") from error
    assert not rest, f"{where}: {rest} are too many for {name}"
    options: dict[str, Any] = given
    return options


def test_the_runtime_has_these_options() -> None:
    for where, arguments in lines_of("softpatch-runtime"):
        try:
            runtime_parser().parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{where}: {arguments}")


class Parsed(Exception):
    """Raised in place of the work that would follow."""


def test_measuring_scripts_take_these_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = ArgumentParser.parse_args

    def only_parse(parser: ArgumentParser) -> None:
        parse(parser, arguments)
        raise Parsed

    monkeypatch.setattr(ArgumentParser, "parse_args", only_parse)
    for where, (module, *arguments) in lines_of("python", "-m"):
        if module == "pytest":
            assert all((ROOT / path).exists() for path in arguments), where
        elif arguments:
            found = importlib.util.find_spec(module)
            assert found, f"{where}: {module}"
            if found.submodule_search_locations is not None:  # a package is run by this
                module += ".__main__"
            with pytest.raises(Parsed):
                importlib.import_module(module).main()
        else:
            assert importlib.util.find_spec(module), f"{where}: {module}"


def test_make_has_these_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for where, (target, *_) in lines_of("make"):
        assert target in targets, f"{where}: make {target}"


def test_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.M)
    assert set(table) == extras
    for page in PAGES:
        for name in re.findall(r"(?:softpatch|'\.)\[(\w+)\]", page.read_text()):
            assert name in extras, f"{page.name}: {name}"


def test_options_named_in_prose_exist() -> None:
    known = {"--help"}
    for command in COMMANDS.values():
        for parameter in command.params:
            known |= {*parameter.opts, *parameter.secondary_opts}
    others = ("src/softpatch/runtime/cli.py", "tests/conftest.py")
    for script in (*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / other for other in others)):
        known |= set(re.findall(r'"(--[a-z-]+)"', script.read_text()))
    for page in PAGES:
        for code in re.findall(r"`([^`]+)`", prose(page)):
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", code):
                assert option in known, f"{page.name}: {option}"


# --- links and names -----------------------------------------------------------------------------


@cache
def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_files_named_exist() -> None:
    files = [
        path.relative_to(ROOT).as_posix()
        for folder in ("src", "tests", "benchmarks", "experiments", "runtime")
        for path in (ROOT / folder).rglob("*.py")
    ]
    for page in PAGES:
        for name in re.findall(r"\w[\w/]+\.py\b", page.read_text()):
            assert any(f"/{path}".endswith(f"/{name}") for path in files), f"{page.name}: {name}"


def test_names_in_architecture_exist() -> None:
    """Of rooms, and of functions and classes that the ways through the code name."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "src" / "softpatch"
    sources = "\n".join(path.read_text() for path in package.rglob("*.py"))
    for room in re.findall(r"`(\w+)/`", page):
        assert any((base / room).is_dir() for base in (ROOT, package, package / "datasets")), room
    for name in re.findall(r"`(?:\w+\.)?([A-Za-z_]\w+)(?:\([^`]*\))?`", page):
        assert re.search(rf"\b{name}\b", sources), name


def test_recipes_exist() -> None:
    recipes = {path.stem for path in (ROOT / "src/softpatch/benchmark/recipes").glob("*.yaml")}
    for where, words in LINES:
        if "--recipe" in words:
            assert words[words.index("--recipe") + 1] in recipes, where


def test_imports_in_shell_lines_exist() -> None:
    for where, arguments in lines_of("python", "-c"):
        for module, name in re.findall(r"from (\S+) import (\w+)", arguments[0]):
            assert hasattr(importlib.import_module(module), name), where


def test_pages_that_have_to_be_short_are() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= LONGEST_README
    architecture = (ROOT / "docs" / "architecture.md").read_text().splitlines()
    assert len(architecture) <= LONGEST_ARCHITECTURE
