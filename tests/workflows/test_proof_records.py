"""Records of chains of calls that an attacker sets back: what was made is read from the world."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from airlock.activities.calls.sent_back import SentBackCalls
from airlock.base import names
from airlock.client import PlanHandle
from airlock.client.undo import undo as airlock_undo
from airlock.plans.state import State
from tests.workflows.conftest import step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_calls import running, times
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


async def overwriting(where: Place, workflow_id: str, activity_id: str, record: Payload | None) -> None:
    """Overwrite what an activity has recorded, again and again, until it has ended."""
    while await where.attacker.heartbeat_by_id(workflow_id, activity_id, record):  # noqa: ASYNC110  # only Temporal knows
        await asyncio.sleep(0.02)


async def recorded(where: Place, workflow_id: str) -> Payload | None:
    """The record that Temporal holds of the activity that is under way, which every client can read."""
    found = await where.attacker.client.get_workflow_handle(workflow_id).describe()
    for pending in found.raw_description.pending_activities:
        if pending.heartbeat_details.payloads:
            return pending.heartbeat_details.payloads[0]
    return None


CHAIN = (
    step("a", "once", key="a", value=1),
    step("b", "once", ("a",), key="b", value=1),
    step("c", "once", ("b",), key="c", value=1),
)
REPEATABLE = (
    step("a", "put", key="a", value=1),
    step("b", "put", ("a",), key="b", value=1),
    step("c", "put", ("b",), key="c", value=1),
)


@dataclass(frozen=True)
class Attacked:
    """A plan whose chain is in its last call, while an attacker sets back the record of that chain."""

    where: Place
    workflow_id: str
    handle: PlanHandle
    hold: asyncio.Event
    """The event that ends the last call."""
    overwriting: asyncio.Task[None]

    @property
    def run(self) -> WorkflowHandle[Any, Any]:
        """The attacker's handle of it."""
        return self.where.attacker.client.get_workflow_handle(self.workflow_id)

    async def end(self) -> None:
        """Let the last call end."""
        self.hold.set()
        await until(lambda: not WORLD.running)

    async def time_out(self) -> None:
        """End the attempt of the activity, as Temporal then sees it."""
        await self.where.attacker.change_options(self.workflow_id, "a:live", seconds=1, attempts=1)
        await self.overwriting


@asynccontextmanager
async def attacked(client: Client, document: dict[str, Any], *, kept: bool) -> AsyncIterator[Attacked]:
    """Yield a plan of a place of its own; with `kept` its record is an earlier genuine one, otherwise empty."""
    where = await place(client, f"records{next(_NUMBERS)}", keyring("k"))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with where.working():
        handle, hold, older = await chain_in_its_last_call(where, document, kept=kept)
        overwrite = asyncio.create_task(overwriting(where, workflow_id, "a:live", older))
        yield Attacked(where, workflow_id, handle, hold, overwrite)


async def chain_in_its_last_call(where: Place, document: dict[str, Any], *, kept: bool) -> tuple[Any, Any, Payload | None]:
    """A plan whose chain is in its last call, the event that ends it, and its record before the first call had ended."""
    workflow_id = names.plan_workflow_id(document["plan_id"])
    first, last = WORLD.hold(document["plan_id"], "a"), WORLD.hold(document["plan_id"], "c")
    handle, _ = await running(where, document, "a")
    older = await until(lambda: recorded(where, workflow_id)) if kept else None
    first.set()
    await until(lambda: (document["plan_id"], "c") in WORLD.running)
    return handle, last, older


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker says nothing, as one that was killed."""

    async def nothing(self: SentBackCalls, number: int) -> None: ...

    monkeypatch.setattr(SentBackCalls, "_tell", nothing)


@pytest.mark.parametrize("kept", [True, False], ids=["set back", "emptied"])
async def test_an_older_record_of_a_chain_hides_no_call(dev_server, plan, kept):
    """The first call is the only one that the plan knows of then: once it is settled, the plan ends as if it were all."""
    document = plan(*CHAIN)
    async with attacked(dev_server.client, document, kept=kept) as chain:
        run = chain.run
        await run.signal("lock", {"by": "mallory", "reason": "mine"})
        await chain.time_out()
        for _ in range(50):  # before its worker has noticed
            with suppress(RPCError):  # the plan has ended
                said = {"by": "mallory", "step": "a", "outcome": "did_not_happen", "reason": "mine"}
                await run.signal("resolve", said)
                await run.signal("abort", {"by": "mallory", "reason": "mine"})
            await asyncio.sleep(0.02)
        status = await until(lambda: standing(chain.handle))
        await chain.end()
        # the first one was settled by the attacker
        told = {each.id: "in_doubt" if each.id == "a" else each.status for each in status.steps}
        assert nothing_hidden(told), status
    assert [times(document, name) for name in "abc"] == [1, 1, 1]


@pytest.mark.parametrize("kept", [True, False], ids=["set back", "emptied"])
async def test_a_record_that_was_set_back_hides_no_call_of_a_worker_that_is_gone(dev_server, plan, silent, kept):
    document = plan(*CHAIN)
    async with attacked(dev_server.client, document, kept=kept) as chain:
        await chain.time_out()
        status = await until(lambda: standing(chain.handle))
        await chain.end()
        assert nothing_hidden({each.id: each.status for each in status.steps}), status
        assert nothing_hidden(await undo_knows(chain))
    assert [times(document, name) for name in "abc"] == [1, 1, 1]


async def test_calls_behind_the_record_of_a_worker_that_is_gone_are_made_again_where_that_is_harmless(
    dev_server, plan, silent
):
    document = plan(*REPEATABLE)
    async with attacked(dev_server.client, document, kept=False) as chain:
        await chain.time_out()
        await chain.end()
        assert (await chain.handle.result()).outcome == "completed"
    assert [times(document, name) for name in "abc"] == [2, 2, 2]
    assert [WORLD.effects[names.idempotency_key(document["plan_id"], name, 0)] for name in "abc"] == [1, 1, 1]


async def test_calls_behind_the_record_of_a_worker_that_is_gone_are_in_doubt_if_they_are_not_made_again(
    dev_server, plan, silent
):
    document = plan(*REPEATABLE)
    async with attacked(dev_server.client, document, kept=False) as chain:
        await chain.run.signal("lock", {"by": "mallory", "reason": "mine"})
        await chain.time_out()
        status = await until(lambda: standing(chain.handle))
        await chain.end()
        assert nothing_hidden({each.id: each.status for each in status.steps}), status
    assert [times(document, name) for name in "abc"] == [1, 1, 1]


def nothing_hidden(told: dict[str, str]) -> bool:
    """Return True if the last call is in doubt, and those before it too, or known.

    A worker that is faster than the attacker records them once more: then they are known.
    """
    return told["c"] == "in_doubt" and {told["a"], told["b"]} <= {"in_doubt", "live"}


async def standing(handle: Any) -> Any:
    status = await handle.status()
    return status if not status.in_flight and (status.parked or status.state.closed) else None


async def test_an_older_record_of_a_chain_hides_no_call_from_the_undo_of_its_plan(dev_server, plan):
    document = plan(*CHAIN)
    async with attacked(dev_server.client, document, kept=False) as chain:
        await chain.time_out()
        assert nothing_hidden(await undo_knows(chain))


async def undo_knows(chain: Attacked) -> dict[str, str]:
    """Terminate the plan, and return the calls that its undo knows of."""
    plan_id = chain.handle.plan_id
    await chain.run.terminate("mine")
    await chain.end()
    undo = await airlock_undo(chain.where.airlock.client, plan_id, by="rita", reason="what was it?")
    status = await undo.wait_for(State.AWAITING_APPROVAL, State.LOCKED, State.ABORTED)
    await undo.workflow.terminate()
    return {each.id: each.status for each in status.steps}
