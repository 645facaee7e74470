"""Conflicts with a limit: the quota of a tool, a permission, the deadline."""

from typing import Any

import pytest

from airlock.admission.policy import Policy
from airlock.plans.contract import Mode
from airlock.plans.plan import Step
from tests.core.build import plan, step
from tests.core.conflict_build import answered, lowered, on, told

# RATE_LIMIT


def metered(number: int, **more: Any) -> list[Step]:
    return [step(f"s{index}", "metered", confidence=0.9, **more) for index in range(number)]


@pytest.mark.parametrize(("deadline", "kept"), [(None, 9), ("30s", 2), ("1m", 2), ("119s", 2), ("2m", 4), ("5m", 9)])
def test_as_many_calls_as_the_quota_allows_before_the_deadline(deadline: str | None, kept: int) -> None:
    found = answered(plan(*metered(9), deadline=deadline))
    assert len(found.live_candidates) == kept
    assert set(found.live_candidates) == {f"s{index}" for index in range(kept)}
    assert len(found.conflicts) == (kept < 9)


def test_the_least_confident_calls_are_left_out() -> None:
    steps = [step(name, "metered", confidence=value) for name, value in (("a", 0.8), ("b", 0.95), ("c", 0.9), ("d", 0.85))]
    found = answered(plan(*steps, deadline="1m"))
    assert set(found.live_candidates) == {"b", "c"}
    why = "4 calls of metered within the deadline, its rate limit 2/m allows 2"
    assert lowered(found) == dict.fromkeys(("a", "d"), f"RATE_LIMIT: {why}")
    assert told(found) == [f"RATE_LIMIT -> DOWNGRADE: {why}: a and d, the least confident, are previewed only"]
    assert all(cap.mode is Mode.DRY_RUN for name in ("a", "d") for cap in found.caps[name] if "RATE" in cap.reason)


def test_what_falls_with_a_surplus_call_is_not_counted_again() -> None:
    steps = [step("a", "metered", confidence=0.8), step("b", "metered", "a", confidence=0.9), *metered(2)]
    found = answered(plan(*steps, deadline="1m"))
    assert set(lowered(found)) == {"a"}
    assert set(found.live_candidates) == {"s0", "s1"}


def test_calls_that_are_not_made_do_not_count() -> None:
    found = answered(plan(*metered(2), step("x", "metered", confidence=0.6), deadline="1m"))
    assert set(found.live_candidates) == {"s0", "s1"}
    assert found.conflicts == ()


# PERMISSION


def test_a_missing_permission_is_a_conflict_and_the_same_cap_as_ever() -> None:
    steps = step("o", "open"), step("a", "charge", "o"), step("b", "charge", "o")
    found = answered(plan(*steps), Policy())
    assert lowered(found) == dict.fromkeys(("a", "b"), "agent 'bot' lacks permission money")
    assert told(found) == ["PERMISSION -> DOWNGRADE: agent 'bot' lacks permission money: a and b are mocked only"]


# TIMEOUT


def test_what_cannot_end_before_the_deadline_is_looked_at_only() -> None:
    steps = step("a", "slow"), step("b", "slow", "a"), step("c", "slow", "b"), step("d", "slow")
    found = answered(plan(*steps, deadline="100s"))
    assert set(found.live_candidates) == {"a", "d"}
    why = "with the timeouts of the calls before it, it may take 120 s, the deadline allows 100 s"
    assert lowered(found) == {"b": f"TIMEOUT: {why}"}
    (line,) = told(found)
    assert line.startswith("TIMEOUT -> DOWNGRADE: by the timeouts of its calls the plan does not fit its deadline: b is")
    assert answered(plan(*steps, deadline="3m")).conflicts == ()


def test_waiting_for_a_resource_takes_time_too() -> None:
    found = answered(plan(on("a", "jo"), on("b", "jo"), on("c", "jo"), on("d", "kim"), deadline="25s"))
    assert set(found.live_candidates) == {"a", "b", "d"}
    assert [each.kind.value for each in found.conflicts] == ["RESOURCE", "TIMEOUT"]


def test_what_is_too_late_anyway_does_not_use_up_the_quota() -> None:
    late = [step("m1", "metered", "s", confidence=1.0), step("m2", "metered", "s", confidence=1.0)]
    found = answered(plan(step("s", "slow"), *late, *metered(2), deadline="60s"))
    assert set(found.live_candidates) == {"s", "s0", "s1"}
    assert [each.kind.value for each in found.conflicts] == ["TIMEOUT"]
