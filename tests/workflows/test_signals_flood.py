"""More than a thousand junk signals: none counts, no vote is lost, and the histories stay short."""

import itertools

from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.run.audit import MAX_REFUSALS
from tests.workflows.conftest import approved, awaiting, chain, until
from tests.workflows.nonsense import DIGEST, failed_tasks, refused, send_all
from tests.workflows.world import WORLD

JUNK = [
    ("approve", ({"by": "mallory", "digest": DIGEST},)),
    ("approve", ()),
    ("lock", ("now",)),
    ("whatever", ({"x": "y" * 200},)),
    ("resolve", (None, None)),
]


async def test_1500_junk_signals_to_a_waiting_plan(airlock_with, held):
    airlock = await airlock_with(approvals_required=2)
    handle = await airlock.submit(held)
    before = await awaiting(handle)
    assert (await handle.decide("approve", by="alice", digest=before.digest)).accepted
    first_run = (await handle.workflow.describe()).run_id
    await send_all(handle, list(itertools.islice(itertools.cycle(JUNK), 1_500)))
    after = await refused(handle, 1_500)
    assert (await handle.workflow.describe()).run_id != first_run
    assert after.state is State.AWAITING_APPROVAL
    assert (after.digest, after.expires_at, after.approvals) == (before.digest, before.expires_at, ("alice",))
    assert len([entry for entry in (await handle.audit()).entries if entry.kind == "refused"]) == MAX_REFUSALS
    again = await handle.decide("approve", by="alice", digest=before.digest)
    assert "one vote" in again.reason
    assert (await handle.decide("approve", by="bob", digest=before.digest)).accepted
    WORLD.holds[(handle.plan_id, "one")].set()
    result = await handle.result()
    assert (result.outcome, result.refused, result.digest) == ("completed", 1_501, before.digest)
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    await lengths_are_bounded(handle)


async def test_1300_junk_signals_while_a_call_runs(airlock, held):
    """Return the run cannot continue as new with a call in flight; it does right after, and repeats nothing."""
    handle = await airlock.submit(held)
    await approved(handle)
    await until(lambda: (handle.plan_id, "one") in WORLD.running)
    await send_all(handle, list(itertools.islice(itertools.cycle(JUNK), 1_300)))
    assert (await refused(handle, 1_300)).state is State.LIVE
    WORLD.holds[(handle.plan_id, "one")].set()
    result = await handle.result()
    assert (result.outcome, result.refused) == ("completed", 1_300)
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    assert WORLD.attempts[f"{handle.plan_id}/one"] == WORLD.attempts[f"{handle.plan_id}/two"] == 1
    assert len(await chain(handle)) == 2


async def test_1300_junk_signals_to_a_locked_plan(airlock, held):
    handle = await airlock.submit(held)
    await awaiting(handle)
    assert (await handle.decide("lock", by="lena", reason="stop")).accepted
    await send_all(handle, list(itertools.islice(itertools.cycle(JUNK), 1_300)))
    assert (await refused(handle, 1_300)).state is State.LOCKED
    assert (await handle.decide("unlock", by="lena", reason="go on")).accepted
    await approved(handle)
    WORLD.holds[(handle.plan_id, "one")].set()
    result = await handle.result()
    assert (result.outcome, result.refused) == ("completed", 1_300)
    await lengths_are_bounded(handle)


async def lengths_are_bounded(handle: PlanHandle) -> None:
    runs = await chain(handle)
    assert len(runs) > 1
    assert max(map(len, runs)) < 2_000
    assert not [why for run in runs for why in failed_tasks(run)]
