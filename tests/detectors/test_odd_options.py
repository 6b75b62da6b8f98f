"""Options with odd values are taken, or refused in one line: nothing else, and before any work."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpatch.detectors import METHODS, make_detector
from softpatch.errors import UsageError
from softpatch.ranges.table import read

NUMBERS = ("seed", "k", "references", "bank_size", "banks", "dimensions", "batch_size")
SHARES = ("tau", "coreset_ratio", "max_false_alarms")
SIZES = ("resize", "crop", "tile")
WHOLE = st.one_of(st.integers(), st.sampled_from([-1, 0, 2**31, 2**32, 2**63, 2**64, 10**30]))
ODD_TEXT = st.one_of(
    st.text(max_size=9),
    st.sampled_from(
        ["8", "8x256", "256x8", "0", "-1", "x", "1x2x3", "nan", "inf", "1e9", "٣", "²"]
    ),
    st.integers(0, 10**30).map(str),
)


def in_one_line(name: str, value: Any, method: str) -> None:
    """Other errors than that of bad use pass through and fail the test."""
    refused = ""
    try:
        make_detector(method, **{"resize": 64, "crop": 64, name: read(name, value)})
    except UsageError as error:
        refused = str(error)
    except TypeError as error:  # an option of another method
        refused = str(error)
        if "has no option" not in refused:
            raise
    assert "\n" not in refused


@given(st.sampled_from(NUMBERS), WHOLE, st.sampled_from(sorted(METHODS)))
def test_whole_numbers(name: str, value: int, method: str) -> None:
    in_one_line(name, value, method)


@given(st.sampled_from(SHARES), st.floats(), st.sampled_from(sorted(METHODS)))
def test_shares(name: str, value: float, method: str) -> None:
    in_one_line(name, value, method)


@given(st.sampled_from((*SIZES, "memory_limit", "device", "precision", "distance")), ODD_TEXT)
def test_texts(name: str, value: str) -> None:
    in_one_line(name, value, "softpatch")


@pytest.mark.parametrize("size", ["8", "8x256", "256x8", "8193", "99999999"])
def test_sizes_that_no_network_sees_are_refused(size: str) -> None:
    with pytest.raises(UsageError, match="pixels a side"):
        make_detector("softpatch", resize=read("resize", size))


@pytest.mark.parametrize("share", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize("name", SHARES)
def test_shares_that_are_none_are_refused(name: str, share: float) -> None:
    with pytest.raises(UsageError, match=name):
        make_detector("softpatch-lof", **{name: share})
