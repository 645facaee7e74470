"""Adding up many counts at once gives what adding them one by one does."""

from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from airlock.monitoring.aggregation import Aggregate
from tests.core.counting import aggregates


@given(st.lists(aggregates(), max_size=6))
def test_a_total_is_the_sum(parts: list[Aggregate]) -> None:
    assert Aggregate.total(parts) == reduce(add, parts, Aggregate())
