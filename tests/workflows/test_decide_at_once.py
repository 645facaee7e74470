"""Decisions that come at the same time, or in hundreds: each counts once, and no run fills up."""

import asyncio
from typing import Any

from airlock.client import PlanHandle
from airlock.plans.state import State
from tests.workflows.conftest import approved, awaiting, chain, signal, until
from tests.workflows.decision_outcomes import completes
from tests.workflows.world import WORLD


async def test_two_approvers_at_once_count_once_each(airlock_with, document):
    airlock = await airlock_with(approvals_required=2)
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    clicks = await asyncio.gather(*(handle.decide("approve", by="alice", digest=digest) for _ in range(3)))
    assert sorted(verdict.accepted for verdict in clicks) == [False, False, True]
    status = await handle.status()
    assert (status.state, status.approvals) == (State.AWAITING_APPROVAL, ("alice",))
    assert "1 approval until " in status.waits_for
    others = await asyncio.gather(*(handle.decide("approve", by=by, digest=digest) for by in ("bob", "carol")))
    assert sorted(verdict.accepted for verdict in others) == [False, True]
    await completes(handle, 3)
    decided = [entry.by for entry in (await handle.audit()).entries if entry.kind == "decision"]
    assert decided[0] == "alice"
    assert len(decided) == 2


async def test_two_approvers_of_a_quorum_of_two_both_count(airlock_with, document):
    airlock = await airlock_with(approvals_required=2)
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    verdicts = await asyncio.gather(*(handle.decide("approve", by=by, digest=digest) for by in ("alice", "bob")))
    assert sorted(verdict.reason for verdict in verdicts) == ["approval 1 of 2 counted", "approval 2 of 2 counted"]
    await completes(handle, 0)


async def test_twenty_at_once_and_exactly_one_counts(airlock, document):
    gates = [WORLD.hold(document["plan_id"], made["id"]) for made in document["steps"]]
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    verdicts = await asyncio.gather(*(handle.decide("approve", by=f"a{n}", digest=digest) for n in range(20)))
    assert sum(verdict.accepted for verdict in verdicts) == 1
    for gate in gates:
        gate.set()
    await completes(handle, 19)


async def test_signal_and_update_at_once_count_once_each(airlock_with, document):
    airlock = await airlock_with(approvals_required=3)
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    await asyncio.gather(
        signal(handle, "approve", {"by": "alice", "digest": digest}),
        signal(handle, "approve", {"by": "alice", "digest": digest}),
        handle.decide("approve", by="alice", digest=digest),
        handle.decide("approve", by="bob", digest=digest),
    )
    status = await until(lambda: two_refused(handle))
    assert sorted(status.approvals) == ["alice", "bob"]
    assert (await handle.decide("approve", by="carol", digest=digest)).accepted
    await completes(handle, 2)


async def two_refused(handle: PlanHandle) -> Any:
    status = await handle.status()
    return status if status.refused == 2 else None


async def test_many_refused_updates_do_not_fill_a_run(airlock, document):
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    for _ in range(80):
        verdicts = await asyncio.gather(*(handle.decide("approve", by="mallory", digest="0" * 12) for _ in range(8)))
        assert not any(verdict.accepted for verdict in verdicts)
    after = await handle.status()
    assert (after.refused, after.digest, after.expires_at) == (640, status.digest, status.expires_at)
    await approved(handle)
    result = await handle.result()
    assert (result.outcome, result.refused) == ("completed", 640)
    runs = await chain(handle)
    assert len(runs) > 1
    assert max(map(len, runs)) < 2_000
