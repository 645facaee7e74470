"""Callers of a Nexus endpoint, in a namespace of their own, that mean no good: what they reach and what they learn."""

import asyncio
import base64
import itertools
import json
from typing import Any, cast

import pytest
from nexusrpc import HandlerError, HandlerErrorType
from nexusrpc.handler import CancelOperationContext
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.service import RPCError
from temporalio.worker import Worker

from airlock.adapters.nexus import PROPOSE, RESULT, SERVICE, PlanOperations
from airlock.base import names
from airlock.client import Airlock
from airlock.plans.state import State
from tests.adapters.conftest import Office
from tests.adapters.stranger import Stranger
from tests.adapters.test_nexus import elsewhere
from tests.workflows.attacker import JUNK, NESTED, plain

_NUMBERS = itertools.count(1)


def a_plan(book: str, **more: Any) -> dict[str, Any]:
    number = next(_NUMBERS)
    add = {"id": "add", "agent": "clerk", "tool": "notes.add", "args": {"book": book, "line": "milk"}, "confidence": 0.9}
    return {"plan_id": f"nexus-{number}", "goal": f"Notes in {book}", "requested_by": "rita", "steps": [add], **more}


async def asked(client: Client, endpoint: str, operation: str, given: Payload) -> Any:
    number = next(_NUMBERS)
    async with Worker(client, task_queue=f"strangers-{number}", workflows=[Stranger]):
        return await client.execute_workflow(
            Stranger.run,
            args=[endpoint, operation, RawValue(given)],
            id=f"stranger-{number}",
            task_queue=f"strangers-{number}",
        )


async def is_there(airlock: Airlock, plan_id: str) -> bool:
    try:
        await airlock.plan(plan_id).workflow.describe()
    except RPCError:
        return False
    return True


async def test_a_caller_that_guesses_the_id_of_a_plan_gets_neither_its_result_nor_a_callback_of_it(desk: Office) -> None:
    book = desk.book()
    secret = a_plan(book)
    handle = await desk.airlock.submit(secret)
    guess = a_plan("another") | {"plan_id": secret["plan_id"]}
    async with elsewhere(desk) as (client, endpoint):
        told = await asked(client, endpoint, PROPOSE, plain(guess))
        assert "was submitted before with other content" in told["refused"], told
        described = await handle.workflow.describe()
        assert not described.raw_description.callbacks, "the result of the plan goes to whoever knows its id"
        result = await asked(client, endpoint, RESULT, plain({"plan": guess, "part": 0}))
        assert "was submitted before with other content" in result["refused"], result
    await desk.decide(book, "deny", reason="enough")


LIE = {"state": "LIVE", "approved": ["add"], "submitted_at": "2026-01-01T00:00:00Z"}
INPUTS = {
    "nothing": lambda plan: plain({}),
    "a list": lambda plan: plain([plan]),
    "a text": lambda plan: plain("plan"),
    "null": lambda plan: plain(None),
    "junk": lambda plan: JUNK,
    "nested": lambda plan: NESTED,
    "a start": lambda plan: plain({"plan": plan}),
    "a carried run": lambda plan: plain(plan | {"run": LIE | {"plan": plan}}),
    "a plan that is approved": lambda plan: plain(plan | LIE),
    "a time of a schedule": lambda plan: plain(plan | {"plan_id": f"{plan['plan_id']}-2026-11-30T00:00:00Z"}),
}


@pytest.mark.parametrize("operation", [PROPOSE, RESULT])
@pytest.mark.parametrize("kind", INPUTS)
async def test_what_is_no_plan_is_refused_and_starts_nothing(desk: Office, kind: str, operation: str) -> None:
    plan = a_plan(desk.book())
    given = INPUTS[kind](plan)
    async with elsewhere(desk) as (client, endpoint):
        told = await asked(client, endpoint, operation, given)
    assert "timed out" not in told["refused"].lower(), told
    for plan_id in (plan["plan_id"], f"{plan['plan_id']}-2026-11-30T00:00:00Z"):
        assert not await is_there(desk.airlock, plan_id)


@pytest.mark.parametrize("part", [-1, "0", None, 1.5, [0]])
async def test_a_part_that_there_cannot_be_is_refused(desk: Office, part: Any) -> None:
    async with elsewhere(desk) as (client, endpoint):
        told = await asked(client, endpoint, RESULT, plain({"plan": a_plan("none"), "part": part}))
    assert "asked for as" in told["refused"], told


async def test_the_result_of_a_plan_that_there_is_not_is_refused(desk: Office) -> None:
    async with elsewhere(desk) as (client, endpoint):
        told = await asked(client, endpoint, RESULT, plain({"plan": a_plan("none"), "part": 0}))
    assert "timed out" not in told["refused"].lower(), told


async def test_a_plan_that_is_proposed_by_two_callers_is_one_plan(desk: Office) -> None:
    book = desk.book()
    plan = a_plan(book)
    async with elsewhere(desk) as (one, first), elsewhere(desk) as (other, second):

        async def decided() -> None:
            await desk.decide(book, "approve")

        told = await asyncio.gather(
            asked(one, first, PROPOSE, plain(plan)), asked(other, second, PROPOSE, plain(plan)), decided()
        )
        again = await asked(other, second, PROPOSE, plain(plan))
    assert {told[0]["outcome"], told[1]["outcome"], again["outcome"]} == {"completed"}
    assert desk.lines(book) == ["milk"]


def token(**said: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


TOKENS = {
    "its own workflow": token(t=1, ns="default", wid="plan-a"),
    "another workflow": token(t=1, ns="default", wid=names.LIVE_GATE),
    "an activity": token(t=2, ns="default", aid="payment", rid="r"),
    "another kind": token(t=3, ns="default", wid="plan-a", uid="u", rid="r"),
    "no kind": token(t=99),
    "no token": "",
}


@pytest.mark.parametrize("which", TOKENS)
async def test_no_token_of_a_caller_cancels_anything(desk: Office, which: str) -> None:
    """A caller that reaches an endpoint over HTTP writes the token, and the SDK would cancel the thing that it names."""
    operation, never = PlanOperations(desk.airlock).propose(), cast(Any, None)
    context = CancelOperationContext(service=SERVICE, operation=PROPOSE, headers={}, task_cancellation=never)
    with pytest.raises(HandlerError, match="the plan goes on") as refused:
        await operation.cancel(context, TOKENS[which])
    assert refused.value.type is HandlerErrorType.NOT_IMPLEMENTED


async def test_a_caller_cannot_have_a_plan_of_its_own_go_live(desk: Office) -> None:
    """Its namespace gives it no right to decide: an approval is a message to Airlock's namespace."""
    book = desk.book()
    async with elsewhere(desk) as (client, endpoint):
        number = next(_NUMBERS)
        async with Worker(client, task_queue=f"strangers-{number}", workflows=[Stranger]):
            plan = a_plan(book)
            await client.start_workflow(
                Stranger.run, args=[endpoint, PROPOSE, RawValue(plain(plan))], id=f"stranger-{number}",
                task_queue=f"strangers-{number}",
            )  # fmt: skip
            handle = await desk.waiting(book)
            digest = (await handle.status()).digest
            for name in ("approve", "decide", "carry"):
                told = await asked(client, endpoint, name, plain({"by": "alice", "digest": digest, "plan": plan}))
                assert "refused" in told, told
            here = client.get_workflow_handle(handle.workflow.id)
            with pytest.raises(RPCError):
                await here.signal("approve", {"by": "alice", "digest": digest})
            assert (await handle.status()).state is State.AWAITING_APPROVAL
            await desk.decide(book, "deny", reason="enough")
    assert desk.lines(book) == []
