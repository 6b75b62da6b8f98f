"""Declaring options, and those that several subcommands share.

None as a default means that of the method or the preset, which the help gives in brackets.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_type_hints

import typer
from typer.models import OptionInfo

from softpatch.errors import UsageError
from softpatch.ranges.kinds import Flag, Number, Size
from softpatch.ranges.table import range_of
from softpatch.runtime.ranges import Range, Whole


def option(
    help: str, *names: str, default: Any = None, panel: str | None = None, **more: Any
) -> Any:
    """A parameter's default that makes it an option, called ``--parameter`` without names."""
    return typer.Option(default, *names, help=help, rich_help_panel=panel, **more)


def flag(name: str, help: str, panel: str | None = None) -> Any:
    """The same for an option that is on if it is given."""
    return option(help, name, default=False, panel=panel)


def to_output(help: str, default: Any = ...) -> Any:
    """The same for ``--output`` or ``-o``, which has to be given if there is no default."""
    return option(help, "--output", "-o", default=default)


def argument(help: str, default: Any = ..., **more: Any) -> Any:
    """The same for an argument, which has to be given if there is no default."""
    return typer.Argument(default, help=help, **more)


of_method = functools.partial(option, panel="Method")
of_features = functools.partial(option, panel="What a patch is")
of_run = functools.partial(option, panel="Running")

MODEL = argument("A file written by softpatch fit.")
TRAINING = argument("Training pictures, searched recursively.")
STRICT = flag("--strict", "Stop at the first unreadable picture.", "Running")
JUDGE_ALL = flag("--strict", "Exit code 1 if a picture cannot be judged, or is odd.", "Running")
EXCLUDE = option('Leave out what a file of decisions says to "remove" (softpatch audit).')


# Options of a detector, in the order of the help, for ``takes``.
class Method:
    """Which method."""

    method: str = of_method(
        "softpatch, patchcore or padim, or a baseline without a rule for noise: "
        "random-bank or random-ensemble; softpatch-lof and the like are short for softpatch with "
        "that --discriminator.",
        default="softpatch",
    )


class Discriminator:
    """How outliers are found."""

    discriminator: str = of_method(
        "What makes a patch an outlier: lof, nearest, gaussian or lof-distance, all at one "
        "position, or position-free. auto: none; what only a few pictures have does not count.",
        default="auto",
    )
    k: int | None = of_method("Neighbours of lof and lof-distance.  [6]", "--k")
    references: int | None = of_method(
        "Pictures each picture is compared with to find outliers, at most.  [1000]"
    )


class Bank:
    """What a method learns, and how it scores."""

    tau: float | str | None = of_method(
        "With a discriminator: share of patches kept out of the memory bank, or auto: those whose "
        "outlier score is out of the usual.  [auto with lof-distance, else 0.15]"
    )
    denoise: bool | None = of_method(
        "Have floors, or keep outliers out of the bank.", "--denoise/--no-denoise"
    )
    soft_weight: bool | None = of_method(
        "With a discriminator: weight scores by the bank's outlier scores.  [not with lof-distance "
        "and position-free]",
        "--soft-weight/--no-soft-weight",
    )
    coreset_ratio: float | None = of_method("Memory bank as a share of all patches.  [0.1]")
    bank_size: int | None = of_method(
        "Vectors in the memory bank at most.  [20000; 1000 in each of random-ensemble]"
    )
    banks: int | None = of_method("Memory banks of random-ensemble.  [8]")
    distance: str | None = of_method("squared or euclidean patch scores.  [squared]")
    dimensions: int | None = of_method("Channels padim keeps.  [100]")


class Features:
    """What a patch is."""

    preset: str = of_features(
        "edge (offline), paper (WideResNet50-2) or dino (DINOv2 ViT-S/14).", default="edge"
    )
    backbone: str | None = of_features(
        "efficientnet_lite2, efficientnet_lite0 (both offline) or any timm model."
    )
    layers: tuple[str, ...] | None = of_features("Comma-separated, such as layer2,layer3.")
    weights: str | None = of_features("Local checkpoint of the backbone, or random.")
    embedding: str | None = of_features("neighbourhood, rooted, average or concat.")
    resize: tuple[int, int] | None = of_features(
        "What the network sees of a picture.  [edge: 224 to 320, in the shape of the pictures]"
    )
    crop: tuple[int, int] | None = of_features("Centre crop of that.  [224]")
    tile: tuple[int, int] | None = of_features(
        "Cut larger pictures into overlapping tiles.  [no tiles]"
    )
    intensity: tuple[int, int] | None = of_features(
        "Values of pictures of 10 to 16 bits that are black and white: 0:4095.  [what holds the "
        "training pictures' values]"
    )
    roi: Path | None = of_features("Mask picture, white where to look.  [everywhere]")
    precision: str | None = of_features(
        "fp32, or bf16: the backbone in half the time; slow without AVX-512.  [fp32]"
    )


class Running:
    """How the work is done."""

    seed: int = of_run("Of every random draw.", default=0)
    device: str = of_run("auto, cpu, cuda or cuda:1.", default="auto")
    batch_size: int | None = of_run("Pictures embedded at once.")
    memory_limit: int | None = of_run(
        "What does not fit goes to temporary files.  [half of what is free]"
    )


class Threshold:
    """When a picture is anomalous."""

    max_false_alarms: float | None = of_method(
        "Share of good pictures that the threshold may call anomalous; 0: no threshold.  [0.01]"
    )
    look_share: float | None = of_method(
        "Share of good pictures that may be anomalous or worth a look; 0: good or bad only.  [0.05]"
    )


DETECTOR = (Method, Discriminator, Bank, Features, Running)


def takes(*groups: type) -> Callable[..., Callable[..., None]]:
    """Give a subcommand the options of a detector that are in these groups.

    It receives those that were given, as constructor options, as ``given``. With ``Method``
    among the groups, it receives ``method`` as another argument, and no discriminator:
    ``--discriminator NAME`` is the method ``softpatch-NAME``, so that results have one name however
    it was asked for.
    """
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=getattr(group, name), annotation=kind
        )
        for group in groups
        for name, kind in get_type_hints(group).items()
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            options = {one.name: arguments.pop(one.name) for one in added}
            given = {name: value for name, value in options.items() if value is not None}
            if Method in groups:
                arguments["method"] = _method(given.pop("method"), given.pop("discriminator"))
            command(**arguments, given=given)

        kept = [own[name] for name in own if name not in ("method", "given")]
        run.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in (*kept, *added)}
        return run

    return decorate


def in_ranges(command: Callable[..., None]) -> Callable[..., None]:
    """Have a subcommand's options read and checked before any work, by the table of ranges.

    It has to be the topmost decorator: typer hands it the texts, and it knows how they read.
    """
    own = inspect.signature(command, eval_str=True).parameters
    subcommand = command.__name__.replace("_", "-")
    options = [name for name, one in own.items() if isinstance(one.default, OptionInfo)]
    found = {name: range_of(name, subcommand) for name in options}
    rows = {name: row for name, row in found.items() if row and not isinstance(row, Flag)}

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        for name, row in rows.items():
            if (text := arguments[name]) is not None:
                arguments[name] = row.check_text(f"--{name.replace('_', '-')}", text)
        command(**arguments)

    parameters = [_as_text(one, rows[name]) if name in rows else one for name, one in own.items()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _as_text(parameter: inspect.Parameter, row: Range) -> inspect.Parameter:
    """An option as typer takes it, whose help says the range."""
    info = copy.copy(parameter.default)
    info.metavar = row.metavar
    if isinstance(row, Whole | Number | Size):
        says, bracket, default = info.help.partition("  [")
        info.help = f"{says} ({row.words}){bracket}{default}"
    if info.default is None:
        return parameter.replace(annotation=str | None, default=info)
    info.default = str(info.default)
    return parameter.replace(annotation=str, default=info)


def changes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let one subcommand at a time change what the first of these parameters that is given names.

    It has to be the lowest decorator: a model that is read, changed and written again is read when
    no other subcommand can change it any more.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            path = next((arguments[name] for name in names if arguments[name] is not None), None)
            with alone(path):
                command(**arguments)

        return run

    return decorate


@contextmanager
def alone(path: Path | None) -> Iterator[None]:
    """Let no other subcommand change that file or folder while the block runs."""
    if path is None or not path.parent.is_dir():  # the subcommand has words for that
        yield
        return
    from softpatch.storage.lock import changing

    with changing(path):
        yield


def reads_pictures(command: Callable[..., None]) -> Callable[..., None]:
    """Give a subcommand ``--max-pixels``, which holds for the processes that it starts, too."""
    own = inspect.signature(command, eval_str=True).parameters
    most = inspect.Parameter(
        "max_pixels",
        inspect.Parameter.KEYWORD_ONLY,
        default=of_run(
            "Refuse larger pictures, which may be bombs; for line scans, more.  [64000000]"
        ),
        annotation=int | None,
    )

    @functools.wraps(command)
    def run(*, max_pixels: int | None = None, **arguments: Any) -> None:
        from softpatch.runtime.images import allowing

        with allowing(max_pixels):
            command(**arguments)

    parameters = [*own.values(), most]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _method(method: str, discriminator: str) -> str:
    from softpatch.detectors import METHODS

    if discriminator == "auto":
        return method
    if method != "softpatch":
        raise UsageError(f"--discriminator goes with --method softpatch, not {method}")
    known = [name.removeprefix("softpatch-") for name in METHODS if name.startswith("softpatch-")]
    if discriminator not in known:
        raise UsageError(
            f"no discriminator is called {discriminator!r}; there are auto, {', '.join(known)}"
        )
    return f"softpatch-{discriminator}"


@contextmanager
def making(folder: Path) -> Iterator[None]:
    """Make a folder for results, before the work; bad use that shows after that removes it again.

    Which layers a network has, for example, is known once it is loaded.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except UsageError:
        with suppress(OSError):  # not empty, or gone
            if new:
                folder.rmdir()
        raise


def check_output(file: Path | None, what: str, kind: Callable[[Path], bool]) -> None:
    """Raise UsageError, before any work, where a file that was asked for could not be written.

    Something of another ``kind`` is never replaced, see ``check_target``.
    """
    if file is None:
        return
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent}: no such folder to write {what} to")
    from softpatch.runtime.targets import check_target

    check_target(file, kind)
