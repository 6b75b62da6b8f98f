"""Work in processes: no more of them than there is work."""

from __future__ import annotations

from softpatch.compute.processes import in_processes


def lost(item: int, error: BaseException) -> int:
    raise AssertionError(item) from error


def test_any_number_of_jobs_is_one_for_each_item_at_most() -> None:
    for jobs in (1, 10**20):
        assert {*in_processes(abs, [-1, -2], jobs, 1, lost)} == {1, 2}
    assert not [*in_processes(abs, [], 10**20, 1, lost)]
