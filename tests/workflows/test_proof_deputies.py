"""Honest workers that a client asks in the name of a run: what they say then counts nowhere."""

import asyncio
import itertools
import json
from typing import Any

import pytest
from temporalio.api.command.v1 import Command, UpsertWorkflowSearchAttributesCommandAttributes
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import CommandType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import RawValue
from temporalio.worker import Worker

from airlock.base import names
from airlock.base.keyring import Keyring
from airlock.client.live_gate import LiveGate
from airlock.run.audit import AuditKind
from airlock.temporal.standing_claims import standing_claims
from tests.workflows.attacker import plain, wrapped
from tests.workflows.attacker_starts import MALLORY, Done, Freed, Leaving
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)
EITHER = pytest.mark.parametrize("keys", [keyring("k"), Keyring()], ids=["keys", "no keys"])


async def of_type(where: Place, kind: str) -> list[str]:
    return [run.id async for run in where.attacker.client.list_workflows(f"WorkflowType = '{kind}'")]


async def leave(where: Place, workflow_id: str, request: dict[str, Any]) -> None:
    """Let an honest worker carry out `leave` for a workflow of the attacker's own, and wait until it has done or failed."""
    client = where.attacker.client
    async with Worker(client, task_queue=MALLORY, workflows=[Leaving]):
        run = await client.start_workflow(names.PLAN_WORKFLOW, RawValue(plain(request)), id=workflow_id, task_queue=MALLORY)
        await until(lambda: _closed(run))


async def _closed(run: Any) -> bool:
    return (await run.describe()).status is not WorkflowExecutionStatus.RUNNING


async def running(where: Place, document: dict[str, Any]) -> tuple[Any, asyncio.Event]:
    """A plan in its call `a`, which waits."""
    hold = WORLD.hold(document["plan_id"], "a")
    handle = await where.airlock.submit(document)
    await approved(handle)
    await until(lambda: (document["plan_id"], "a") in WORLD.running)
    return handle, hold


@EITHER
async def test_no_worker_releases_a_slot_for_a_client_that_takes_the_id_of_a_plan(dev_server, plan, keys):
    where, key = await place(dev_server.client, f"deputies{next(_NUMBERS)}", keys), f"deputy{next(_NUMBERS)}"
    first, second = (plan(step("a", "share", key=key, value=number)) for number in (1, 2))
    workflow_id = names.plan_workflow_id(first["plan_id"])
    async with where.working():
        handle, hold = await running(where, first)
        gates = await of_type(where, names.GATE_WORKFLOW)
        execution = (await handle.workflow.describe()).run_id
        await handle.workflow.terminate("because")
        forged = {
            "plan_id": first["plan_id"], "holder": workflow_id, "request": "1", "gates": gates, "execution": execution
        }  # fmt: skip
        await leave(where, workflow_id, forged)
        other = await where.airlock.submit(second)
        await approved(other)
        if not keys.keys:  # what the keys are for
            assert (await other.result()).outcome == "completed"
            assert len(WORLD.together[key][-1]) == 2
        else:
            await until(lambda: _waits(other))
            assert WORLD.together[key] == [frozenset({first["plan_id"]})]
            gate = LiveGate(where.airlock.client)
            assert (await gate.lock(by="op", reason="stop")).accepted
            assert [held.holder for held in (await gate.status()).holders] == [workflow_id]
        hold.set()
        await until(lambda: not WORLD.running)


async def _waits(handle: Any) -> bool:
    return (await handle.status()).waits_for.startswith("its turn at")


@EITHER
async def test_no_worker_settles_a_claim_for_a_client_that_takes_the_id_of_an_undo(dev_server, plan, keys):
    where = await place(dev_server.client, f"deputies{next(_NUMBERS)}", keys)
    document = plan(step("a", "send", to="x"))
    workflow_id = names.undo_workflow_id(document["plan_id"])
    async with where.working():
        handle, hold = await running(where, document)
        (claim,) = await until(lambda: of_type(where, names.CLAIM_WORKFLOW))
        settled = [{"claim": claim, "step": "a", "outcome": "free"}]
        await leave(
            where, workflow_id, {"plan_id": document["plan_id"], "holder": workflow_id, "request": "1", "settled": settled}
        )
        if keys.keys:
            assert not await _is_free(where, claim)
        else:  # what the keys are for
            await until(lambda: _is_free(where, claim))
        hold.set()
        assert (await handle.result()).outcome == "completed"


async def _is_free(where: Place, claim: str) -> bool:
    return not await standing_claims(where.workers, claim)


@pytest.mark.parametrize(("kind", "own"), [("Done", Done), (names.CLAIM_WORKFLOW, Freed)], ids=["completed", "freed"])
async def test_a_workflow_that_a_client_ends_under_the_id_of_a_claim_does_not_hide_the_claim(dev_server, plan, kind, own):
    where = await place(dev_server.client, f"deputies{next(_NUMBERS)}", keyring("k"))
    document = plan(step("a", "send", to="x"))
    client = where.attacker.client
    async with where.working():
        handle, hold = await running(where, document)
        (claim,) = await until(lambda: of_type(where, names.CLAIM_WORKFLOW))
        await client.get_workflow_handle(claim).terminate("because")
        async with Worker(client, task_queue=MALLORY, workflows=[own]):
            run = await client.start_workflow(kind, id=claim, task_queue=MALLORY)
            await until(lambda: _closed(run))
        assert [found.claimed.plan_id for found in await standing_claims(where.workers, claim)] == [document["plan_id"]]
        hold.set()
        await until(lambda: not WORLD.running)
        await handle.workflow.terminate()


async def events_of(where: Place, document: dict[str, Any]) -> list[HistoryEvent]:
    return await where.attacker.events(names.plan_workflow_id(document["plan_id"]))


async def question(where: Place, document: dict[str, Any], kind: str) -> Payload | None:
    """The first question of a plan to an activity of a kind, as its history holds it."""
    asked = [event.activity_task_scheduled_event_attributes for event in await events_of(where, document)]
    return next((each.input.payloads[0] for each in asked if each.activity_type.name == kind), None)


async def answered(where: Place, document: dict[str, Any], number: int) -> bool:
    events = await events_of(where, document)
    return len([each for each in events if each.HasField("activity_task_completed_event_attributes")]) >= number


def asked_by_a_client(genuine: Payload, tool: Payload, document: dict[str, Any]) -> Payloads:
    """The question about another tool, with the mark that the plan's own next question will have."""
    forged = plain(json.loads(tool.data) | {"plan_id": document["plan_id"]})
    for name in ("airlock-ask", "airlock-by", "airlock-run", "airlock-first"):
        if name in genuine.metadata:
            forged.metadata[name] = genuine.metadata[name]
    forged.metadata["airlock-kind"] = b"RehearsalRequest"
    return wrapped(forged)


@EITHER
async def test_a_dry_run_that_a_client_asked_for_is_not_what_the_approver_sees(dev_server, plan, keys):
    """The mark of the next question is the same for every activity of a run: it is no secret, and proves nothing."""
    where = await place(dev_server.client, f"deputies{next(_NUMBERS)}", keys)
    steps = [step("a", tool, key="k", value=1) for tool in ("once", "put", "put")]
    other, same, document = (plan(each) for each in steps)
    async with where.working():
        for each in (other, same):
            await awaiting(await where.airlock.submit(each))
    about_another_tool = await question(where, other, "preview")
    upserts = [each.upsert_workflow_search_attributes_event_attributes for each in await events_of(where, same)]
    handle = await where.airlock.submit(document)
    async with where.working("orchestrate"):
        genuine = await until(lambda: question(where, document, "rehearse"))
    async with where.working("rehearse"):
        await until(lambda: answered(where, document, 2))
        upsert = Command(
            command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
            upsert_workflow_search_attributes_command_attributes=UpsertWorkflowSearchAttributesCommandAttributes(
                search_attributes=next(each.search_attributes for each in upserts if each.HasField("search_attributes"))
            ),
        )
        forged = asked_by_a_client(genuine, about_another_tool, document)
        await where.attacker.command(
            names.WORKFLOW_QUEUE, "preview", "preview", forged, names.REHEARSE_QUEUE, before=[upsert]
        )
        await until(lambda: answered(where, document, 3))
    async with where.working():
        await awaiting(handle)
        (sealed,) = (await handle.preview()).sealed.steps
        refused = [entry.what for entry in (await handle.audit()).entries if entry.kind is AuditKind.REFUSED]
    if keys.keys:
        assert (sealed.preview.effect, refused) == ("set k", ["forged answer"])
    else:  # what the keys are for
        assert (sealed.preview.effect, refused) == ("set k once", [])
