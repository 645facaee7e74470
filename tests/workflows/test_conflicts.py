"""Conflicts on a real server: what admission finds changes the plan, and other plans are seen."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from airlock.activities.admit import AdmitActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.call_digest import call_digest
from airlock.admission.policy import Policy
from airlock.client import Airlock, PlanHandle
from airlock.client.listing import list_plans
from airlock.gates.protocol import AcquireRequest, ClaimWanted
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import parse_plan
from airlock.plans.state import State
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.temporal import claims
from airlock.wire import AdmitRequest
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows import world
from tests.workflows.conftest import approved, awaiting, namespace, step, until

KEY = "a key for hashes of resource names"
POLICY = Policy.model_validate({"agents": {"*": {"permissions": ["*"]}, "intern": {}, "teller": {"permissions": ["stamp"]}}})


@tool(
    name="stamp", risk="MEDIUM", reversibility="irreversible", permissions={"stamp"}, depends_on_tools={"share"}, timeout=5
)
async def stamp(args: world.Put, call: ToolCall) -> dict[str, Any]:
    """Stamp a key with the name of the agent that does it."""
    return await world.WORLD.live(
        call, lambda: world.WORLD.state[call.plan_id].__setitem__(args.key, f"stamped by {call.agent}")
    )


@stamp.dry_run
async def _stamp_dry(args: world.Put, call: ToolCall) -> Preview:
    return Preview(effect=f"stamp {args.key} as {call.agent}")


def toolbox(index_key: str = KEY) -> Toolbox:
    return Toolbox(Catalogue([world.share, world.send, world.look, stamp]), POLICY, index_key)


@pytest.fixture(scope="module")
async def shared(dev_server: WorkflowEnvironment) -> AsyncIterator[Airlock]:
    """Yield an Airlock whose plans can find each other by resource."""
    client = await namespace(dev_server.client, "conflicts")
    async with running(build_workers(client, toolbox())):
        yield Airlock(client)


async def told(handle: PlanHandle) -> list[str]:
    """Return the conflicts as the approver reads them."""
    text = (await handle.preview()).text.split("\n")
    start = text.index("Conflicts:") if "Conflicts:" in text else len(text)
    return [line.strip() for line in text[start + 1 : text.index("", start) if start < len(text) else None]]


async def ceilings(handle: PlanHandle) -> dict[str, str]:
    sealed = (await handle.preview()).sealed
    assert sealed is not None
    return {each.id: each.ceiling.value for each in sealed.steps}


async def visible(airlock: Airlock, handle: PlanHandle, state: State) -> None:
    async def listed() -> bool:
        return any(found.workflow_id == handle.workflow.id for found in await list_plans(airlock.client, state=state))

    await until(listed)


async def test_conflicts_in_one_plan_reach_the_approver_and_the_audit(shared, plan):
    handle = await shared.submit(
        plan(
            step("first", "share", key="k1", value=1),
            step("second", "share", key="k1", value=2),
            step("mail", "send", to="a@conflicts.test", body="hello"),
            step("mail2", "send", to="a@conflicts.test", body="hello"),
            step("after", "share", ("mail2",), key="k2"),
            step("stamp", "stamp", agent="intern", key="k3"),
        )
    )
    await awaiting(handle)
    assert await told(handle) == [
        "ORDERING -> REASSIGN: stamp (stamp) needs share before it; stamp is moved behind first, "
        "and from intern to agent, who may call it",
        "DUPLICATE_ACTION -> ABORT: the same irreversible call of send as mail: mail2 is left out",
        "RESOURCE -> DELAY: first and second both need shared:k1; second waits for first",
    ]
    found = await ceilings(handle)
    assert found == {"first": "LIVE", "second": "LIVE", "mail": "LIVE", "mail2": "MOCK", "after": "MOCK", "stamp": "LIVE"}
    text = (await handle.preview()).text
    assert "      agent moved from intern to agent" in text
    entries = [entry for entry in (await handle.audit()).entries if entry.kind == "conflict"]
    assert [(entry.what, entry.answer, entry.step) for entry in entries] == [
        ("ORDERING", "REASSIGN", "stamp"),
        ("DUPLICATE_ACTION", "ABORT", "mail"),
        ("RESOURCE", "DELAY", "first"),
    ]


async def test_what_was_resolved_is_what_runs(shared, plan):
    handle = await shared.submit(
        plan(
            step("a-late", "stamp", agent="intern", key="k3"),
            step("b-early", "share", agent="teller", key="k4", value=1),
            step("c-next", "share", key="k4", value=2),
            step("mail", "send", to="b@conflicts.test", body="hello"),
            step("mail2", "send", to="b@conflicts.test", body="hello"),
        )
    )
    await approved(handle)
    result = await handle.result()
    assert result.outcome == "partial"
    assert set(result.live) == {"a-late", "b-early", "c-next", "mail"}
    plan_id = handle.plan_id
    assert world.WORLD.state[plan_id] == {"k3": "stamped by teller", "sent": ["b@conflicts.test"]}
    assert world.WORLD.state["shared"]["k4"] == 2
    live = [step for kind, of, step in world.WORLD.log if kind == "live" and of == plan_id]
    assert live.index("b-early") < live.index("a-late")
    assert live.index("b-early") < live.index("c-next")


async def test_a_plan_without_conflicts_says_nothing_of_them(shared, plan):
    handle = await shared.submit(plan(step("one", "share", key="alone"), step("two", "share", key="lonely")))
    await awaiting(handle)
    assert await told(handle) == []
    assert [entry for entry in (await handle.audit()).entries if entry.kind == "conflict"] == []


async def test_another_plan_that_waits_for_the_same_resource_is_named(shared, plan):
    one = await shared.submit(plan(step("a", "share", key="jo"), step("b", "share", key="kim"), plan_id="earlier"))
    await awaiting(one)
    await visible(shared, one, State.AWAITING_APPROVAL)
    two = await shared.submit(plan(step("a", "share", key="lee"), step("c", "share", ("a",), key="jo")))
    await awaiting(two)
    assert await told(two) == ["RESOURCE -> DELAY: another plan, plan-earlier, awaits approval for shared:jo"]
    sealed = (await two.preview()).sealed
    assert [(found.steps, found.other) for found in sealed.conflicts] == [(("c",), "plan-earlier")]
    assert await ceilings(two) == {"a": "LIVE", "c": "LIVE"}  # told, not stopped: the gate decides

    for harmless in (
        step("r", "look", key="jo"),
        step("w", "share", key="jo", confidence=0.7),
        step("o", "share", key="other"),
    ):
        three = await shared.submit(plan(harmless, step("x", "look")))
        await awaiting(three)
        assert await told(three) == []

    assert (await one.decide("abort", by="alice", reason="done")).accepted
    await one.result()

    async def gone() -> bool:
        return not [p for p in await list_plans(shared.client, open_only=True) if p.workflow_id == one.workflow.id]

    await until(gone)
    assert (await two.decide("abort", by="alice", reason="done")).accepted
    await two.result()


async def test_a_call_that_another_plan_has_claimed_is_left_out_before_anything_runs(shared, plan):
    digest = call_digest("send", {"to": "claimed@conflicts.test", "body": "hello"}, None)
    other = AcquireRequest(
        plan_id="other",
        holder="plan-other",
        request="0",
        claims=(ClaimWanted(step="mail", tool="send", digest=digest),),
    )
    claimed, _ = await claims.take(shared.client, other)
    assert list(claimed) == ["mail"]
    handle = await shared.submit(
        plan(
            step("write", "share", key="q"),
            step("mail", "send", to="claimed@conflicts.test", body="hello"),
            step("behind", "share", ("mail",), key="r"),
        )
    )
    await awaiting(handle)
    (line,) = await told(handle)
    assert line.startswith("DUPLICATE_ACTION -> ABORT: mail is left out: ")
    assert "plan-other" in line
    assert await ceilings(handle) == {"write": "LIVE", "mail": "MOCK", "behind": "MOCK"}
    assert not [key for key in world.WORLD.effects if key.startswith(f"{handle.plan_id}/")]


async def test_over_budget_is_refused_at_admission_with_the_number(airlock_with, plan):
    airlock = await airlock_with(budget={"live_calls": 2})
    handle = await airlock.submit(plan(*(step(f"s{number}", "share", key=f"k{number}") for number in range(3))))
    result = await handle.result()
    assert result.outcome == "aborted"
    assert "would make 3 live calls, the policy allows 2 (policy.budget.live_calls)" in result.why


async def test_that_nobody_can_be_asked_is_no_reason_to_refuse_a_plan(dev_server, plan):
    nowhere = type(dev_server.client)(dev_server.client.service_client, namespace="there-is-no-such-namespace")
    env = ActivityEnvironment(client=nowhere)
    asked = AdmitRequest(plan=parse_plan(plan(step("a", "share", key="jo"), step("m", "send", to="x@conflicts.test"))))
    admission = await env.run(AdmitActivities(toolbox()).admit, asked)
    assert admission.problems == ()
    assert admission.admitted is not None
    assert admission.admitted.conflicts == ()
    assert len(admission.admitted.resource_index) == 1


async def test_only_what_may_be_changed_live_can_be_found_by_others(dev_server, plan):
    env = ActivityEnvironment(client=dev_server.client)
    steps = step("a", "share", key="jo"), step("b", "share", key="kim", confidence=0.7), step("c", "look", key="lee")
    asked = AdmitRequest(plan=parse_plan(plan(*steps)))
    admission = await env.run(AdmitActivities(toolbox()).admit, asked)
    assert len(admission.admitted.resource_index) == 1
    without = await env.run(AdmitActivities(toolbox("")).admit, asked)
    assert without.admitted.resource_index == ()
