"""Claims on a real server: of many plans that want one call, one makes it, whatever becomes of it."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from airlock.base import names
from airlock.gates.protocol import Claimed, ClaimOutcome
from airlock.temporal import history
from airlock.temporal.claims import settle, standing, take
from airlock.temporal.history import runs_by_visibility
from airlock.worker.roles import patient, runner
from airlock.workflows.gates.claim import ClaimWorkflow
from airlock.workflows.interceptors import SafeSignals
from tests.running import running
from tests.workflows import world
from tests.workflows.claimed_calls import NUMBERS, a_call, a_holder, leaves, wants
from tests.workflows.conftest import approved, awaiting, binary, namespace, step, until
from tests.workflows.holder import Holder, pretend


@pytest.fixture(scope="module")
async def client(dev_server: WorkflowEnvironment) -> AsyncIterator[Client]:
    client = await namespace(dev_server.client, "claims")
    worker = Worker(
        client, task_queue=names.WORKFLOW_QUEUE, workflows=[ClaimWorkflow, Holder], activities=[pretend],
        workflow_runner=runner(), interceptors=[SafeSignals()],
    )  # fmt: skip
    async with running([patient(worker)]):
        yield client


async def closed(client: Client, digest: str) -> Any:
    handle = client.get_workflow_handle(names.claim_id("send", digest))

    async def look() -> Any:
        described = await handle.describe()
        return described if described.status is not WorkflowExecutionStatus.RUNNING else None

    return await until(look)


async def tell(holder: Any, what: str) -> None:
    await holder.signal(Holder.tell, what)
    await until(lambda: _begun(holder, what))


async def _begun(holder: Any, what: str) -> bool:
    return what in await holder.query(Holder.begun)


async def test_of_many_at_the_same_moment_exactly_one_claims(client):
    holders = [await a_holder(client) for _ in range(12)]
    digests = [a_call() for _ in range(3)]
    requests = [wants(holder.id, *((f"s{n}", digest) for n, digest in enumerate(digests))) for holder in holders]
    answers = await asyncio.gather(*(take(client, request) for request in requests))
    for n, digest in enumerate(digests):
        won = [holder.id for holder, (claimed, _) in zip(holders, answers, strict=True) if f"s{n}" in claimed]
        assert len(won) == 1
        status = await client.get_workflow_handle(names.claim_id("send", digest)).query("status", result_type=Claimed)
        assert status.holder == won[0]
        lost = [duplicates[f"s{n}"] for claimed, duplicates in answers if f"s{n}" not in claimed]
        assert lost == [f"{won[0]} is making this call, or will (step s{n})"] * 11
    assert await asyncio.gather(*(take(client, request) for request in requests)) == answers, "asked again: the same answer"


async def test_two_steps_of_one_plan_that_are_the_same_call(client):
    holder, digest = await a_holder(client), a_call()
    claimed, duplicates = await take(client, wants(holder.id, ("b", digest), ("a", digest)))
    assert claimed == {"b": names.claim_id("send", digest)}
    assert duplicates == {"a": "step b of this plan is the same call"}
    assert await take(client, wants(holder.id, ("a", digest))) == ({}, duplicates), "whenever the second one asks"


async def test_a_call_that_was_made_is_never_made_again(client):
    holder, other, digest = await a_holder(client), await a_holder(client), a_call()
    await take(client, wants(holder.id, ("send", digest)))
    assert await settle(client, leaves(holder.id, "send", digest, ClaimOutcome.DONE)) == ()
    described = await closed(client, digest)
    assert described.status is WorkflowExecutionStatus.COMPLETED
    when = f"{described.close_time:%Y-%m-%d %H:%M:%S} UTC"
    said = f"{holder.id} made this call on {when} (step send)"
    assert await take(client, wants(other.id, ("mine", digest))) == ({}, {"mine": said})
    assert await standing(client, wants(other.id, ("mine", digest)).claims, other.id) == {"mine": said}
    # after a reset the plan itself asks again
    assert await take(client, wants(holder.id, ("send", digest))) == (
        {},
        {"send": f"this plan made the same call already on {when}"},
    )
    assert await standing(client, wants(holder.id, ("send", digest)).claims, holder.id) == {}
    result = await client.get_workflow_handle(names.claim_id("send", digest), result_type=Claimed).result()
    assert (result.holder, result.step, result.outcome) == (holder.id, "send", ClaimOutcome.DONE)
    assert await settle(client, leaves(holder.id, "send", digest, ClaimOutcome.DONE)) == (names.claim_id("send", digest),)


async def all_shown_as_open(client: Client, workflow_id: str) -> list[WorkflowExecutionInfo]:
    """Return the runs of a claim as visibility shows them while it lags."""
    found = await runs_by_visibility(client, workflow_id)
    for info in found:
        info.status = Status.WORKFLOW_EXECUTION_STATUS_RUNNING
    return found


@pytest.mark.parametrize("seen", [runs_by_visibility, all_shown_as_open])
async def test_a_call_that_was_not_made_can_be_claimed_again(client, monkeypatch, seen):
    monkeypatch.setattr(history, "runs_by_visibility", seen)
    holder, other, digest = await a_holder(client), await a_holder(client), a_call()
    await take(client, wants(holder.id, ("send", digest)))
    await settle(client, leaves(holder.id, "send", digest, ClaimOutcome.FREE))
    await closed(client, digest)
    with pytest.raises(WorkflowFailureError) as failed:
        await client.get_workflow_handle(names.claim_id("send", digest)).result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "Free"
    assert await standing(client, wants(other.id, ("mine", digest)).claims, other.id) == {}
    claimed, duplicates = await take(client, wants(other.id, ("mine", digest)))
    assert (list(claimed), duplicates) == (["mine"], {})
    # what the first plan says now, a retry that comes late, is no news about the new claim
    await settle(client, leaves(holder.id, "send", digest, ClaimOutcome.FREE))
    handle = client.get_workflow_handle(names.claim_id("send", digest))
    status = await until(lambda: _refused(handle))
    assert (status.holder, status.outcome) == (other.id, None)
    assert status.last_refusal == f"settle: {holder.id} does not hold this claim, {other.id} does"


async def _refused(handle: Any, times: int = 1) -> Claimed | None:
    status = await handle.query("status", result_type=Claimed)
    return status if status.refused >= times else None


@pytest.mark.parametrize("continued", [False, True])
async def test_a_dead_holder_that_never_began_the_call_loses_its_claim(client, continued):
    holder, digest = await a_holder(client), a_call()
    await take(client, wants(holder.id, ("send", digest)))
    await tell(holder, "other")
    await tell(holder, "sender")
    if continued:
        await holder.signal(Holder.tell, "again")
        await until(lambda: _is_new(holder))
    await client.get_workflow_handle(holder.id).terminate("test")
    others = [await a_holder(client) for _ in range(6)]
    requests = [wants(other.id, ("mine", digest)) for other in others]
    assert await standing(client, requests[0].claims, others[0].id) == {}
    answers = await asyncio.gather(*(take(client, request) for request in requests))
    assert sum("mine" in claimed for claimed, _ in answers) == 1, "taken over, by exactly one"


@pytest.mark.parametrize("begun", ["send", "send#3"])
async def test_a_dead_holder_that_began_the_call_leaves_it_in_doubt(client, begun):
    holder, other, digest = await a_holder(client), await a_holder(client), a_call()
    await take(client, wants(holder.id, ("send", digest)))
    await tell(holder, begun)
    await holder.signal(Holder.tell, "again")  # the run that began it is not the latest any more
    await until(lambda: _is_new(holder))
    await client.get_workflow_handle(holder.id).terminate("test")
    claimed, duplicates = await take(client, wants(other.id, ("mine", digest)))
    assert claimed == {}
    assert duplicates["mine"].startswith(f"it is in doubt whether {holder.id} made this call (step send): find out, then")
    assert f"airlock rollback {holder.id.removeprefix('plan-')}" in duplicates["mine"]
    assert await standing(client, wants(other.id, ("mine", digest)).claims, other.id) == duplicates
    assert (await client.get_workflow_handle(names.claim_id("send", digest)).describe()).status is (
        WorkflowExecutionStatus.RUNNING
    )


async def _is_new(holder: Any) -> bool:
    return bool((await holder.describe()).run_id != holder.first_execution_run_id)


async def test_nothing_is_proved_by_a_history_that_was_reset_or_is_another_plans(client):
    holder, other, digest = await a_holder(client), await a_holder(client), a_call()
    await take(client, wants(holder.id, ("send", digest)))
    await tell(holder, "send")
    # back to before the call: the new history does not have it
    _temporal(
        client,
        "workflow",
        "reset",
        "-w",
        holder.id,
        "--type",
        "FirstWorkflowTask",
        "--reapply-exclude",
        "All",
        "--reason",
        "test",
    )
    await client.get_workflow_handle(holder.id).terminate("test")
    _, duplicates = await take(client, wants(other.id, ("mine", digest)))
    assert "in doubt" in duplicates["mine"]

    gone, digest = await a_holder(client), a_call()
    await take(client, wants(gone.id, ("send", digest)))
    await gone.terminate("test")
    again = await client.start_workflow(Holder.run, id=gone.id, task_queue=names.WORKFLOW_QUEUE)
    await again.terminate("test")
    _, duplicates = await take(client, wants(other.id, ("mine", digest)))
    assert "in doubt" in duplicates["mine"]

    _, duplicates = await take(client, wants("plan-never-there", ("send", other_digest := a_call())))
    _, duplicates = await take(client, wants(other.id, ("mine", other_digest)))
    assert "in doubt" in duplicates["mine"]


async def test_a_person_settles_a_claim_with_the_temporal_cli_and_nonsense_changes_nothing(client):
    holder, other, digest = await a_holder(client), await a_holder(client), a_call()
    await take(client, wants(holder.id, ("send", digest)))
    claim = names.claim_id("send", digest)
    handle = client.get_workflow_handle(claim)
    nonsense: list[list[Any]] = [
        [],
        [None],
        ["free"],
        [{}],
        [{"by": "bob"}],
        [{"holder": other.id, "outcome": "free"}],
        [1, 2],
    ]
    for arguments in nonsense:
        await handle.signal("settle", args=arguments)
    await handle.signal("sttle", {"by": "bob", "outcome": "free", "reason": "x"})
    await handle.cancel()
    status = await until(lambda: _refused(handle, len(nonsense) + 2))
    assert (status.outcome, status.refused) == (None, len(nonsense) + 2)
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING

    word = {"by": "alice", "outcome": "free", "reason": "the mail server never saw it"}
    _temporal(client, "workflow", "signal", "-w", claim, "--name", "settle", "--input", json.dumps(word))
    await closed(client, digest)
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert str(failed.value.cause) == (
        f"Free: free: {holder.id} did not make this call, says alice: the mail server never saw it"
    )
    claimed, _ = await take(client, wants(other.id, ("mine", digest)))
    assert claimed == {"mine": claim}


async def test_a_flood_of_signals_loses_nothing(client, monkeypatch):
    holder, digest = await a_holder(client), a_call()
    await take(client, wants(holder.id, ("send", digest)))
    handle = client.get_workflow_handle(names.claim_id("send", digest))
    first = (await handle.describe()).run_id
    for _ in range(13):
        await asyncio.gather(*(handle.signal("settle", "nonsense") for _ in range(100)))
    assert (await until(lambda: _refused(handle, 1_300))).refused == 1_300
    assert (await handle.describe()).run_id != first, "it continued as new"
    claimed, duplicates = await take(client, wants(holder.id, ("send", digest)))
    assert (list(claimed), duplicates) == (["send"], {})
    await settle(client, leaves(holder.id, "send", digest, ClaimOutcome.DONE))
    assert (await closed(client, digest)).status is WorkflowExecutionStatus.COMPLETED


async def test_what_is_no_claim_ends_at_once_and_blocks_nobody(client):
    digest, holder = a_call(), await a_holder(client)
    handle = await client.start_workflow(
        names.CLAIM_WORKFLOW, {"nonsense": 1}, id=names.claim_id("send", digest), task_queue=names.WORKFLOW_QUEUE
    )
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    claimed, _ = await take(client, wants(holder.id, ("send", digest)))
    assert list(claimed) == ["send"]


def _temporal(client: Client, *arguments: str) -> None:
    subprocess.run(
        [binary("temporal"), *arguments, "--address", client.service_client.config.target_host,
         "--namespace", client.namespace],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


async def test_of_five_identical_plans_at_the_same_time_one_sends_its_mail(airlock, plan):
    mail = f"jo{next(NUMBERS)}@acme.test"
    handles = [await airlock.submit(plan(step("mail", "send", to=mail, body="hi"))) for _ in range(5)]
    for handle in handles:
        await awaiting(handle)
    await asyncio.gather(*(approved(handle) for handle in handles))
    results = await asyncio.gather(*(handle.result() for handle in handles))
    sent = [handle for handle in handles if world.WORLD.state[handle.plan_id].get("sent")]
    assert [world.WORLD.state[handle.plan_id]["sent"] for handle in sent] == [[mail]], "one plan sent it, once"
    for handle, result in zip(handles, results, strict=True):
        if handle is not sent[0]:
            (audit,) = [entry for entry in (await handle.audit()).entries if entry.what == "DUPLICATE_ACTION"]
            assert (audit.step, audit.answer) == ("mail", "ABORT")
            assert audit.reason.startswith(
                (f"plan-{sent[0].plan_id} made this call on", f"plan-{sent[0].plan_id} is making")
            )
            assert result.outcome != "completed"
