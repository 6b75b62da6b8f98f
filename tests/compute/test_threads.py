"""Small steps run in parallel, each on one core, and leave torch's threads unchanged."""

from __future__ import annotations

import pytest
import torch

from softpatch.compute.threads import parallel_for
from tests.threads import thread_count


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_item_is_worked_on_once_on_one_core(threads: int) -> None:
    seen: list[tuple[int, int]] = []
    with thread_count(threads):
        parallel_for(lambda item: seen.append((item, torch.get_num_threads())), range(20))
        assert torch.get_num_threads() == threads
    assert sorted(seen) == [(item, 1) for item in range(20)]


def test_an_error_comes_through() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        parallel_for(lambda item: 1 / item, [3, 0, 1])
    assert torch.get_num_threads() == before
