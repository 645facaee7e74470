"""Approval step by step, by the people of the policy or in its own name; what is denied does not go live."""

from typing import Any

import pytest

from airlock.base.errors import AirlockError
from airlock.client import PlanEnded
from airlock.plans.state import State
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.decision_outcomes import completes, refusal
from tests.workflows.world import WORLD


async def test_deny_ends_the_plan_and_nothing_goes_live(airlock_with, document):
    airlock = await airlock_with(approvals_required=2)
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    assert (await handle.decide("approve", by="alice", digest=digest)).accepted
    with pytest.raises(AirlockError, match="reason"):
        await handle.decide("deny", by="bob")
    assert (await handle.decide("deny", by="bob", digest=digest[:20], reason="not today")).accepted
    result = await handle.result()
    assert (result.outcome, result.state, result.why) == ("denied", State.MOCK, "not today")
    assert not WORLD.state[handle.plan_id]
    with pytest.raises(PlanEnded):
        await handle.decide("approve", by="carol", digest=digest)


async def test_partial_approval_by_step(airlock, plan):
    document = plan(
        step("one", "put", key="a", value=1),
        step("child", "put", ("one",), key="b", value=2),
        step("unsure", "put", confidence=0.7, key="c", value=3),
        step("behind", "put", ("unsure",), key="d", value=4),
        step("mail", "send", to="x@acme.test"),
    )
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    both = {"by": "alice", "digest": digest}
    assert "depends on one: approve that too" in await refusal(handle, "approve", steps=["child"], **both)
    assert "cannot go live: confidence 0.70" in await refusal(handle, "approve", steps=["one", "unsure"], **both)
    assert "depends on 'unsure'" in await refusal(handle, "approve", steps=["behind"], **both)
    assert (await handle.decide("approve", steps=["child", "one"], **both)).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("partial", ("one", "child"))
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    ceilings = {view.id: view.ceiling for view in result.steps}
    assert ceilings == {"one": "LIVE", "child": "LIVE", "unsure": "DRY_RUN", "behind": "DRY_RUN", "mail": "LIVE"}


async def test_a_quorum_counts_step_by_step(airlock_with, plan):
    airlock = await airlock_with(approvals_required=2)
    document = plan(*(step(name, "put", key=name, value=1) for name in ("one", "two", "three")))
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    assert (await handle.decide("approve", by="alice", digest=digest, steps=["one", "two"])).accepted
    assert (await handle.decide("approve", by="bob", digest=digest, steps=["three"])).accepted
    assert (await handle.status()).state is State.AWAITING_APPROVAL  # two voices, but no step has both
    assert (await handle.decide("approve", by="carol", digest=digest, steps=["two", "three"])).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("partial", ("two", "three"))
    assert WORLD.state[handle.plan_id] == {"two": 1, "three": 1}


async def test_only_the_approvers_of_the_policy_count(airlock_with, document):
    airlock = await airlock_with(approvers=["alice", "rita"])
    handle = await airlock.submit(document)
    digest = (await awaiting(handle)).digest
    assert "not among the approvers (alice, rita)" in await refusal(handle, "approve", by="mallory", digest=digest)
    assert "not among the approvers" in await refusal(handle, "approve", by="alicia", digest=digest)
    assert "not among the approvers" in await refusal(handle, "deny", by="mallory", reason="no")
    assert "requested this plan" in await refusal(handle, "approve", by="rita", digest=digest)
    assert (await handle.decide("approve", by="ALICE", digest=digest)).accepted
    await completes(handle, 4)


async def test_a_policy_that_waives_approval_is_recorded_as_the_approver(airlock_with, plan):
    airlock = await airlock_with(approval_waived_for=["LOW", "MEDIUM"])
    handle = await airlock.submit(plan(step("look", "look", key="a"), step("one", "put", ("look",), key="a", value=1)))
    result = await handle.result()
    assert (result.outcome, result.live) == ("completed", ("look", "one"))
    decided = [entry for entry in (await handle.audit()).entries if entry.kind == "decision"]
    assert [(entry.what, entry.by, entry.digest) for entry in decided] == [("approve", "policy", result.digest)]


async def test_what_is_waived_needs_no_voice_but_does_not_go_ahead_of_the_rest(airlock_with, plan):
    airlock = await airlock_with(approval_waived_for=["LOW"])
    document = plan(
        step("look", "look", key="a"),
        step("one", "put", ("look",), key="a", value=1),
        step("after", "look", ("one",), key="a"),
        step("mail", "send", to="x@acme.test"),
    )
    handle = await airlock.submit(document)
    status = await awaiting(handle)
    waived = {shown.id for shown in (await handle.preview()).sealed.steps if shown.approval_waived}
    assert waived == {"look", "after"}
    assert not WORLD.attempts[f"{handle.plan_id}/look"]
    assert (await handle.decide("approve", by="alice", digest=status.digest, steps=["one"])).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("partial", ("look", "one", "after"))
    assert WORLD.state[handle.plan_id] == {"a": 1}


async def test_denying_what_is_left_ends_the_plan_and_says_what_is_live(airlock, document):
    handle = await airlock.submit(document)
    old = (await awaiting(handle)).digest
    WORLD.state[handle.plan_id]["a"] = "somebody else's"
    assert (await handle.decide("approve", by="alice", digest=old)).accepted

    async def new_seal() -> Any:
        found = await handle.status()
        return found if found.state is State.AWAITING_APPROVAL and found.digest != old else None

    status = await until(new_seal)
    assert (await handle.decide("deny", by="bob", digest=status.digest, reason="somebody works on it")).accepted
    result = await handle.result()
    assert (result.outcome, result.live) == ("denied", ("two",))
    assert WORLD.state[handle.plan_id] == {"a": "somebody else's", "b": 2}
