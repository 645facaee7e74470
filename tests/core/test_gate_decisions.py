"""Decisions about a gate that several people must make: each waits only while the gate is as its person saw it."""

from datetime import UTC, datetime, timedelta

from airlock.admission.policy import Policy
from airlock.base.incoming import Verdict
from airlock.gates.authority import judge
from airlock.gates.parsing import GateDecision
from airlock.gates.semaphore import Gate

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TWO_UNLOCK = Policy.model_validate({"decisions": {"unlock": {"people": 2}}})


def decided(gate: Gate, name: str, by: str, minutes: int, scope: str | None = None) -> Verdict:
    """Return the answer of a gate, as its workflow comes to it."""
    decision, now = GateDecision(by=by, reason="because", scope=scope), NOW + timedelta(minutes=minutes)
    if (refused := judge(gate, "gate-live", "default", name, decision, TWO_UNLOCK, now).refused) is not None:
        return refused
    if name == "lock":
        return gate.lock(scope, by, "because", now)
    return gate.unlock(scope, by, "because")


def test_two_people_unlock_a_gate() -> None:
    gate = Gate()
    assert decided(gate, "lock", "olga", 0).accepted
    assert "another person" in decided(gate, "unlock", "alice", 1).reason
    assert gate.barrier.locks
    assert decided(gate, "unlock", "bob", 2).accepted
    assert not gate.barrier.locks


def test_nobody_unlocks_a_gate_with_the_help_of_an_unlock_from_before_the_lock() -> None:
    gate = Gate()
    decided(gate, "unlock", "alice", 0)
    assert decided(gate, "lock", "olga", 1).accepted
    assert "another person" in decided(gate, "unlock", "bob", 2).reason
    assert gate.barrier.locks


def test_an_unlock_that_waits_does_not_count_for_the_next_lock_of_its_scope() -> None:
    gate = Gate()
    assert decided(gate, "lock", "olga", 0, "tool:pay").accepted
    decided(gate, "unlock", "alice", 1, "tool:pay")
    assert decided(gate, "lock", "olga", 2).accepted
    gate.unlock("tool:pay", "a policy without this rule", "over")
    assert decided(gate, "lock", "olga", 3, "tool:pay").accepted
    assert "another person" in decided(gate, "unlock", "bob", 4, "tool:pay").reason
    assert {lock.scope for lock in gate.barrier.locks} == {None, "tool:pay"}
