"""The false discovery rate of a lot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from softpatch.calling.false_discovery import Discoveries, discoveries
from softpatch.errors import UsageError
from softpatch.runtime.verdict import p_value


@given(
    p_values=st.lists(st.floats(0.001, 1), min_size=1, max_size=40),
    share=st.floats(0.01, 0.99),
)
def test_discoveries_are_scipys(p_values: list[float], share: float) -> None:
    adjusted = false_discovery_control(p_values)
    clear = np.abs(adjusted - share) > 1e-9
    assert (discoveries(p_values, share) == (adjusted <= share))[clear].all()


@pytest.mark.parametrize("bad", [0, 10])
def test_of_those_found_few_are_good(bad: int) -> None:
    """In the mean over lots, by scores of one reference: what is promised, and no worse."""
    random = np.random.default_rng(3)
    wrong, found_bad = [], []
    for _ in range(600):
        reference = np.sort(random.normal(size=200))
        scores = np.concatenate([random.normal(size=40), random.normal(6, 1, bad)])
        found = discoveries([p_value(score, reference) for score in scores], 0.1)
        wrong.append(found[:40].sum() / max(1, found.sum()))
        found_bad.append(found[40:].sum())
    assert np.mean(wrong) < 0.1 + 3 * np.std(wrong) / np.sqrt(len(wrong))
    if bad:
        assert np.mean(found_bad) > 9


def test_rows_without_a_p_value_are_left_alone_and_shares_are_checked() -> None:
    rows: list[dict[str, float]] = [
        {"score": 9.0, "p_value": 0.01},
        {"score": 1.0, "p_value": 0.8},
        {"score": 2.0},
    ]
    lot = Discoveries(0.1, 99)
    lot.finish(rows)
    assert [row.get("discovery") for row in rows] == [True, False, None]
    assert lot.words(rows).startswith("1 of 3 pictures are bad as a lot")
    assert not discoveries([], 0.1).size
    for share in (0, 1, -1, float("nan")):
        with pytest.raises(UsageError, match="fdr"):
            Discoveries(share, 99)


@pytest.mark.parametrize(("share", "reference", "takes"), [(0.1, 60, 17), (0.1, 9, 100)])
def test_none_is_told_with_how_many_it_takes(share: float, reference: int, takes: int) -> None:
    def words(highest: int) -> str:
        rows = [{"p_value": 1.0 if at >= highest else 1 / (reference + 1)} for at in range(100)]
        lot = Discoveries(share, reference)
        lot.finish(rows)
        return lot.words(rows)

    said = f"by {reference} training pictures no fewer than {takes} can be called so"
    assert words(takes - 1).endswith(said)
    assert words(takes).startswith(f"{takes} of 100 pictures are bad as a lot")


def test_small_shares_and_few_pictures_are_told_as_they_are() -> None:
    rows = [{"p_value": 1.0}] * 100
    assert "at most 0.5% is good" in Discoveries(0.005, 60).words(rows)
    assert (
        Discoveries(0.1, 8).words(rows).endswith("8 training pictures are too few to call any so")
    )
    assert Discoveries(0.1, 999).words(rows).endswith("the least p-value is 1")
