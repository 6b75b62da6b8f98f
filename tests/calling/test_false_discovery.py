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
    lot = Discoveries(0.1)
    lot.finish(rows)
    assert [row.get("discovery") for row in rows] == [True, False, None]
    assert lot.words(rows).startswith("1 of 3 pictures are bad as a lot")
    assert not discoveries([], 0.1).size
    for share in (0, 1, -1, float("nan")):
        with pytest.raises(UsageError, match="fdr"):
            Discoveries(share)
