"""What to run: datasets × methods × features × noise × policies × kinds × seeds.

A grid is one readable YAML file, or the same things as flags::

    data: mvtec/                      # or a list of {root: mvtec/, categories: [bottle, cable]}
    categories: [bottle]              # all that are there, if not given
    methods:
      - softpatch-lof
      - {method: softpatch-lof, tau: [0.05, 0.3]}   # a list of values: one entry each
      - oracle                        # patchcore without the injected images
    features: [{preset: edge}]        # crossed with the methods
    options: {coreset_ratio: 0.1}     # of every method
    noise: [0, 0.1]
    policies: [overlap, no-overlap]
    kinds: [defects]
    seeds: [0]
    pixel_at: input                   # or native, see ``Measurement``
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softpatch.benchmark.results import ORACLE
from softpatch.datasets import KINDS
from softpatch.detectors import METHODS, make_detector
from softpatch.errors import MissingExtraError, UsageError
from softpatch.evaluation.measurement import FRAMES
from softpatch.ranges.table import check, read

ORACLE_METHOD = "patchcore"
POLICIES = ("overlap", "no-overlap")
AXES = ("seed", "seeds", "noise", "device", "batch_size")  # never options of a method

Options = tuple[tuple[str, Any], ...]  # sorted by name: hashable, and the same however written


@dataclass(frozen=True)
class Source:
    """A dataset on disk."""

    root: str  # as given
    layout: str | None = None  # None recognises it
    categories: tuple[str, ...] = ()  # those wanted; all that are there if empty


@dataclass(frozen=True)
class Method:
    """A method with its options, as written in the grid."""

    name: str  # one of ``METHODS``, or ``oracle``
    options: Options = ()  # those that are not left to their defaults, as in YAML

    @property
    def detector(self) -> str:
        """The method that is fitted."""
        return ORACLE_METHOD if self.name == ORACLE else self.name

    @property
    def arguments(self) -> dict[str, Any]:
        """The options as ``make_detector`` takes them."""
        return {name: read(name, value) for name, value in self.options}

    @property
    def variant(self) -> str:
        """The options in words: ``tau=0.05, denoise=false``; empty for the defaults."""
        return ", ".join(
            f"{name}={json.dumps(value).strip(chr(34))}" for name, value in self.options
        )


@dataclass(frozen=True)
class Grid:
    """Everything that decides which cells there are."""

    data: tuple[Source, ...]
    methods: tuple[Method, ...] = (Method("softpatch-lof"), Method("patchcore"))
    noise: tuple[float, ...] = (0.0, 0.1)
    policies: tuple[str, ...] = POLICIES
    kinds: tuple[str, ...] = ("defects",)
    seeds: tuple[int, ...] = (0,)
    pixel_at: str = "input"
    title: str = "Benchmark"
    about: str = ""
    as_written: Mapping[str, Any] = field(default_factory=dict, compare=False)


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; UsageError if it holds none."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("benchmark", "a grid in YAML") from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: not YAML ({reason})") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected a mapping such as 'methods: [softpatch-lof]'")
    return content


def read_grid(content: Mapping[str, Any]) -> Grid:
    """Check a grid as written, and resolve what it leaves open.

    UsageError for a key, method, option or value that does not exist.
    """
    known = (
        "title", "about", "data", "layout", "categories", "methods", "features", "options",
        "noise", "policies", "kinds", "seeds", "pixel_at",
    )  # fmt: skip
    for key in content:
        if key not in known:
            raise UsageError(f"a grid has no key {str(key)!r}; it has {', '.join(known)}")
    for key in ("methods", "features", "noise", "policies", "kinds", "seeds"):
        if key in content and not _listed(content[key]):
            raise UsageError(f"{key}: is empty; leave it out for the default")
    if not content.get("data"):
        raise UsageError("no data: name the data set's folder with --data ROOT or 'data: ROOT'")
    defaults: dict[str, Any] = {}
    if "noise" in content:
        defaults["noise"] = tuple(map(float, check("benchmark.noise", _listed(content["noise"]))))
    if "seeds" in content:
        defaults["seeds"] = check("seeds", _listed(content["seeds"]))
    for key, allowed in (("policies", POLICIES), ("kinds", KINDS)):
        if key in content:
            defaults[key] = tuple(_names(key, content[key], allowed))
    if "pixel_at" in content:
        [defaults["pixel_at"]] = _names("pixel_at", str(content["pixel_at"]), FRAMES)
    for key in ("title", "about"):
        if key in content:
            defaults[key] = " ".join(str(content[key]).split())
    return Grid(
        data=tuple(_sources(content)),
        methods=tuple(_methods(content)),
        as_written=content,
        **defaults,
    )


def _sources(content: Mapping[str, Any]) -> Iterator[Source]:
    layout, categories = content.get("layout"), _listed(content.get("categories"))
    for entry in _listed(content["data"]):
        fields = entry if isinstance(entry, Mapping) else {"root": entry}
        if "root" not in fields or not set(fields) <= {"root", "layout", "categories"}:
            raise UsageError(
                f"data: expected a folder or {{root: …, layout: …, categories: […]}}, got {entry!r}"
            )
        wanted = _listed(fields.get("categories")) or categories
        yield Source(
            str(fields["root"]), fields.get("layout", layout), tuple(str(name) for name in wanted)
        )


def _methods(content: Mapping[str, Any]) -> Iterator[Method]:
    """Every entry × features, a list of values giving one method each; checked by making it."""
    shared = _mapping("options", content.get("options", {}))
    features = [_mapping("features", entry) for entry in _listed(content.get("features", [{}]))]
    seen = set()
    for entry in _listed(content.get("methods", ["softpatch-lof", "patchcore"])):
        written = dict(entry) if isinstance(entry, Mapping) else {"method": entry}
        name = written.pop("method", None)
        known = [*METHODS, ORACLE]
        if name not in known:
            raise UsageError(f"no method is called {name!r}; there are {', '.join(known)}")
        for feature in features:
            for options in _variations({**shared, **feature, **written}):
                method = Method(name, options)
                _check(method)
                if method not in seen:
                    seen.add(method)
                    yield method


def _check(method: Method) -> None:
    for name, _ in method.options:
        if name in AXES:
            raise UsageError(f"{method.name}: {name} is no option of a method in a grid")
    make_detector(method.detector, **method.arguments)


def _variations(options: Mapping[str, Any]) -> Iterator[Options]:
    """``{tau: [0.1, 0.2], k: 6}`` -> one mapping for each tau."""
    names = sorted(options)
    for values in itertools.product(*(_listed(options[name]) for name in names)):
        yield tuple(zip(names, values, strict=True))


def _listed(value: Any) -> list[Any]:
    """A list as it is, anything else as a list of one, nothing as none."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise UsageError(f"{key}: expected options such as {{tau: 0.1}}, got {value!r}")
    return value


def _names(key: str, value: Any, allowed: Sequence[str]) -> Iterator[str]:
    for name in _listed(value):
        if name not in allowed:
            raise UsageError(f"{key}: {name!r} is none of {', '.join(allowed)}")
        yield name
