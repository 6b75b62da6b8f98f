"""The table of ranges beside what it is of: the parser, the API's signatures, and the docs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from typer.models import OptionInfo

from softpatch.bank.memory_bank import Distance
from softpatch.cli.app import PANELS
from softpatch.datasets import contaminate
from softpatch.detectors import METHODS, BankDetector, CalibratedDetector, Detector, SoftPatch
from softpatch.detectors.load import load
from softpatch.detectors.merge import merge
from softpatch.detectors.options import DEFAULTS, CommonOptions
from softpatch.evaluation.measurement import FRAMES, Measurement
from softpatch.export import export_model
from softpatch.export.graph import Precision as ExportPrecision
from softpatch.features.embedding import Embedding
from softpatch.features.presets import PRESETS, Precision
from softpatch.fleet.fleet import fit_many
from softpatch.noise.discriminators import make_discriminator
from softpatch.ranges.kinds import OneOf
from softpatch.ranges.table import RANGES, range_of
from softpatch.runtime import Detector as Runtime
from softpatch.runtime.cli import _parser as runtime_parser
from softpatch.runtime.images import MAX_PIXELS
from softpatch.serving import ServerSettings
from softpatch.storage.versions import roll_back
from softpatch.watch import watch
from tests.options_page import PAGE, page

KINDS = list(dict.fromkeys(kind for kind, _ in METHODS.values()))
# Public names that take numbers, and the part of the table that is theirs before the rest.
API: dict[Callable[..., Any], str] = {
    **dict.fromkeys(KINDS, ""),
    BankDetector.update: "",
    SoftPatch.suspects: "",
    CalibratedDetector.choose_threshold: "threshold",
    load: "",
    merge: "",
    watch: "",
    fit_many: "",
    export_model: "export",
    contaminate: "",
    make_discriminator: "",
    Measurement: "",
    ServerSettings: "serve",
    Runtime: "",
    roll_back: "",
}
COMMANDS = {
    command.__name__.replace("_", "-"): command for all_of in PANELS.values() for command in all_of
}
NUMERIC = re.compile(r"^(?!.*(Callable|Mapping)).*\b(int|float)\b")


def options(command: str) -> Iterator[inspect.Parameter]:
    for one in inspect.signature(COMMANDS[command], eval_str=True).parameters.values():
        if isinstance(one.default, OptionInfo):
            yield one


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_numbers_of_the_command_line_are_in_the_table(command: str) -> None:
    for one in options(command):
        row = range_of(one.name, command)
        if NUMERIC.search(str(one.annotation)):
            assert row is not None, one.name
        default = one.default.default
        if row is not None and default is not None:
            row.check(one.name, row.read(str(default)))


def test_numbers_of_the_runtime_are_in_the_table() -> None:
    numbers = {
        one.dest for one in runtime_parser()._actions if one.nargs is None and one.option_strings
    }
    assert numbers - {"output"} == {"max_pixels", "threads"} <= set(RANGES)


@pytest.mark.parametrize("public", API, ids=lambda public: public.__qualname__)
def test_numbers_of_the_api_are_in_the_table(public: Callable[..., Any]) -> None:
    found = 0
    for name, one in inspect.signature(public).parameters.items():
        row = range_of(name, API[public])
        if NUMERIC.search(str(one.annotation)):
            assert row is not None, name
        if row is not None and one.default is not inspect.Parameter.empty:
            found += 1
            if not (name == "bank_size" and one.default is None):  # of merge: what both have
                assert row.check(name, one.default) == one.default
    assert found or not inspect.signature(public).parameters or public in (
        CalibratedDetector.choose_threshold, contaminate,
    )  # fmt: skip


def test_options_of_every_detector_are_in_the_table() -> None:
    elsewhere = {"roi", "discriminator"}
    for name, kind in CommonOptions.__annotations__.items():
        assert name in {*RANGES, *elsewhere}, (name, kind)
        row = RANGES.get(name)
        if row is not None and DEFAULTS[name] is not None:
            assert row.check(name, DEFAULTS[name]) == DEFAULTS[name]
    for one in KINDS:
        assert issubclass(one, Detector)
        assert one.option_names() <= {*RANGES, *elsewhere}
    for preset in PRESETS.values():
        for name, value in vars(preset).items():
            assert RANGES[name].check(name, value) == value


def test_names_in_the_table_are_those_of_the_types() -> None:
    for name, known in {
        "distance": get_args(Distance),
        "embedding": get_args(Embedding),
        "precision": get_args(Precision),
        "export.precision": get_args(ExportPrecision),
        "pixel_at": FRAMES,
    }.items():
        row = RANGES[name]
        assert isinstance(row, OneOf)
        assert row.names == tuple(known)
    assert RANGES["serve.max_pixels"].words == f"1 to {MAX_PIXELS:,}"


def test_every_row_is_of_an_option() -> None:
    used = {(one.name, command) for command in COMMANDS for one in options(command)}
    used |= {(name, API[public]) for public in API for name in inspect.signature(public).parameters}
    used |= {(name, "") for name in CommonOptions.__annotations__} | {("threads", "")}
    names = {name for name, _ in used}
    for key in RANGES:
        command, _, name = key.rpartition(".")
        assert name in names
        assert command in ("", "discriminator") or (name, command) in used


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_names_of_an_option_are_in_its_help(command: str) -> None:
    for one in options(command):
        row = range_of(one.name, command)
        if isinstance(row, OneOf):
            for name in row.names:
                assert name in one.default.help, one.name


def test_the_page_of_options_is_made_from_the_table() -> None:
    assert PAGE.read_text() == page(), "python -m tests.options_page writes it"
