"""Arguments with odd values are taken, or refused in one line: nothing else, before any work."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softpatch import SoftPatch, fit_many, load, merge
from softpatch.calling.threshold import threshold_without_labels
from softpatch.datasets import Category, contaminate
from softpatch.detectors import METHODS, make_detector
from softpatch.errors import SoftPatchError, UsageError
from softpatch.evaluation.measurement import Measurement
from softpatch.export import export_model
from softpatch.noise.discriminators import make_discriminator
from softpatch.ranges.kinds import Size
from softpatch.ranges.table import RANGES, range_of, read
from softpatch.runtime import Detector as Runtime
from softpatch.serving import ServerSettings
from softpatch.storage.versions import roll_back
from softpatch.watch import watch

SHARES = ("tau", "coreset_ratio", "max_false_alarms")
SIZES = ("resize", "crop", "tile")
ODD_TEXT = st.one_of(
    st.text(max_size=9),
    st.sampled_from(
        ["8", "8x256", "256x8", "0", "-1", "x", "1x2x3", "nan", "inf", "1e9", "٣", "²"]
    ),
    st.integers(0, 10**30).map(str),
)
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([-1, 0, 1, 2, 64, 2**31, 2**32, 2**63, 2**64, 10**400, -(10**400)]),
    st.integers(),
    st.floats(),
    st.sampled_from([-0.0, 0.5, 1.0, 1e308, 5e-324, math.nan, math.inf]),
    st.sampled_from([None, True, False, "", "0.5", "6", "auto", "none", b"6", object(), [], {}]),
    st.sampled_from([
        np.int8(1), np.uint64(2**64 - 1), np.float32(0.5), np.float64(np.nan), np.float16(np.inf),
        np.bool_(True), np.array(1), np.array([0.5]), np.ones((3, 3)), np.str_("auto"),
        torch.tensor(1), torch.tensor([0.5, 1]), Decimal("0.5"), Fraction(1, 2),
        Fraction(10**400), 1j, (64, 64), [64, 96], (64,), (0, 64), (64, math.nan), ("a", ""),
        np.longdouble("1e4000"), range(3),
    ]),
    st.text(max_size=9),
)  # fmt: skip
ONES = np.ones(5)
ONE_PROCESS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


def taken(name: str, value: Any, part: str = "") -> bool:
    """Whether the table says so."""
    row = range_of(name, part)
    assert row is not None
    try:
        row.check(name, value)
    except UsageError:
        return False
    return True


def refuses(call: Callable[[], object]) -> str:
    """The line with which it is refused; empty if it is not. Other errors fail the test."""
    words = ""
    try:
        call()
    except UsageError as error:
        words = str(error)
    except SoftPatchError:
        pass
    assert "\n" not in words
    return words


OPTIONS = [
    (method, name)
    for method, (kind, _) in METHODS.items()
    for name in sorted(kind.option_names() & set(RANGES))
]


@settings(max_examples=1500, **ONE_PROCESS)
@given(st.sampled_from(OPTIONS), ANYTHING)
def test_any_option_of_any_method(option: tuple[str, str], value: Any) -> None:
    method, name = option
    size = {"resize": 64} if name == "crop" else {}
    words = refuses(lambda: make_detector(method, **{**size, name: value}))
    if value is not None and not taken(name, value):  # None may be the preset's
        assert words.startswith(name.removesuffix("_size")), (option, value, words)
    if not words:
        detector = make_detector(method, **{**size, name: value})
        json.dumps(detector._parameters())
        json.dumps(vars(detector.features))


@settings(max_examples=200, **ONE_PROCESS)
@given(st.sampled_from((*SIZES, "memory_limit", "device", "precision", "distance")), ODD_TEXT)
def test_texts(name: str, value: str) -> None:
    refuses(
        lambda: make_detector("softpatch", **{"resize": 64, "crop": 64, name: read(name, value)})
    )


@pytest.mark.parametrize("size", ["8", "8x256", "256x8", "8193", "99999999"])
def test_sizes_that_no_network_sees_are_refused(size: str) -> None:
    with pytest.raises(UsageError, match="pixels a side"):
        make_detector("softpatch", resize=read("resize", size))


@pytest.mark.parametrize("share", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize("name", SHARES)
def test_shares_that_are_none_are_refused(name: str, share: float) -> None:
    with pytest.raises(UsageError, match=name):
        make_detector("softpatch-lof", **{name: share})


def test_numbers_that_are_taken_stay_what_they_are() -> None:
    for row in RANGES.values():
        if not isinstance(row, Size):
            continue
        assert row.check("size", 64) == row.check("size", [np.int64(64), 64]) == (64, 64)
    numbers: dict[str, Any] = {"k": np.int64(3), "tau": np.float32(0.5), "bank_size": 7}
    detector = SoftPatch(discriminator="lof", **numbers)
    assert detector._parameters()["tau"] == 0.5
    assert type(detector._parameters()["tau"]) is float
    assert type(detector._parameters()["k"]) is int


def test_numbers_of_functions(
    small_detector: SoftPatch,
    small_model: Path,
    small_pictures: Path,
    tmp_path: Path,
) -> None:
    """Each number of what is public beside the constructors."""
    empty = tmp_path / "empty"
    empty.mkdir()
    category = Category("part", tmp_path, (), ())
    missing = tmp_path / "missing.softpatch"

    other = load(small_model)

    def threshold(value: Any) -> None:
        other.threshold_ = value

    calls: dict[tuple[str, str], Callable[[Any], object]] = {
        ("forget", ""): lambda value: small_detector.clone().update([], forget=value),
        ("first", ""): lambda value: small_detector.suspects(first=value),
        ("max_false_alarms", "threshold"): lambda share: threshold_without_labels(ONES, share),
        ("threshold", ""): threshold,
        ("bank_size", ""): lambda value: merge(small_detector, small_detector, bank_size=value),
        ("batch_size", ""): lambda value: load(small_model, batch_size=value),
        ("device", ""): lambda value: load(small_model, device=value),
        ("interval", ""): lambda value: list(watch(None, empty, empty, interval=value, once=True)),  # type: ignore[arg-type]
        ("patience", ""): lambda value: list(watch(None, empty, empty, patience=value, once=True)),  # type: ignore[arg-type]
        ("jobs", ""): lambda value: fit_many(empty, tmp_path / "models", jobs=value),
        ("depth", ""): lambda value: fit_many(empty, tmp_path / "models", depth=value),
        ("threshold", "export"): lambda value: export_model(
            missing, tmp_path / "a.onnx", pictures=[], threshold=value
        ),
        ("tolerance", "export"): lambda value: export_model(
            missing, tmp_path / "a.onnx", pictures=[], tolerance=value
        ),
        ("precision", "export"): lambda value: export_model(
            missing, tmp_path / "a.onnx", pictures=[], calibration=[empty], precision=value
        ),
        ("noise", ""): lambda value: contaminate(category, value, overlap=True, seed=0),
        ("seed", ""): lambda value: contaminate(category, 0, overlap=True, seed=value),
        ("k", ""): lambda value: make_discriminator("lof", k=value),
        ("references", ""): lambda value: make_discriminator("lof", references=value),
        ("pixel_at", ""): lambda value: Measurement(small_detector, [], value),
        ("threads", ""): lambda value: Runtime(missing.with_suffix(".onnx"), threads=value),
        ("to", ""): lambda value: roll_back(missing, value),
    }  # fmt: skip
    for name in RANGES.keys() & vars(ServerSettings()).keys() | {"max_pixels"}:
        calls[name, "serve"] = partial(lambda name, value: ServerSettings(**{name: value}), name)

    @settings(max_examples=1000, **ONE_PROCESS)
    @given(st.sampled_from(sorted(calls)), ANYTHING)
    def every(option: tuple[str, str], value: Any) -> None:
        name, part = option
        words = refuses(lambda: calls[option](value))
        if not taken(name, value, part) and not (name in ("bank_size", "device") and value is None):
            assert name in words, (option, value, words)

    every()
