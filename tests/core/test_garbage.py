"""The collection of what evicted runs left in a worker."""

from airlock.worker.garbage import ENOUGH, LEAST, Garbage


def collections(sizes: list[int]) -> int:
    """Return how often the garbage of runs of these sizes is collected."""
    collected: list[None] = []
    garbage = Garbage(lambda: collected.append(None))
    for size in sizes:
        garbage.add(size)
    return len(collected)


def test_many_small_runs_are_collected_together() -> None:
    few = ENOUGH // LEAST
    assert collections([0] * few) == 0
    assert collections([0] * (few + 1)) == 1
    assert collections([0] * (10 * few + 1)) == 10


def test_a_large_run_is_collected_when_the_next_one_leaves() -> None:
    assert collections([2 * ENOUGH]) == 0, "its own objects are still in use when it is told"
    assert collections([2 * ENOUGH, 0]) == 1
