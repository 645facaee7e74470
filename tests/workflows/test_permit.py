"""The live worker believes neither the workflow nor the worker that orchestrates: what was done is read from the world."""

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from temporalio.api.common.v1 import Payloads
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.base.incoming import Verdict
from airlock.base.keyring import Keyring
from airlock.plans.state import State
from airlock.run.decisions import decision as decisions
from airlock.run.decisions import entry
from airlock.temporal.connection import data_converter, keyring_of
from airlock.worker.roles import build_workers
from airlock.workflows import rehearse
from airlock.workflows.calls import chain_calls
from tests import running
from tests.workflows.attacker import plain, wrapped
from tests.workflows.conftest import approved, awaiting, catalogue, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.fixture
async def made_place(dev_server) -> Callable[..., Awaitable[Place]]:
    async def make(keys: Keyring, **policy: object) -> Place:
        return await place(dev_server.client, f"permit{next(_NUMBERS)}", keys, **policy)

    return make


@pytest.fixture(params=[Keyring(), keyring("k")], ids=["no keys", "keys"])
async def either(request, made_place) -> Place:
    return await made_place(request.param)


@pytest.fixture
async def protected(made_place) -> Place:
    return await made_place(keyring("k"))


@asynccontextmanager
async def live_worker(where: Place, **policy: object) -> AsyncIterator[None]:
    """A live worker whose policy differs from the one of the orchestrating worker."""
    rules = Policy.model_validate(where.policy.model_dump() | policy)
    async with running.running(build_workers(where.workers, Toolbox(catalogue(), rules), "live")):
        try:
            yield
        finally:
            WORLD.release()


def times(document: dict, name: str) -> int:
    return WORLD.attempts[f"{document['plan_id']}/{name}"]


async def refused_entry(handle, *words: str) -> str:
    """The reason of a refused entry in the audit, once there is one."""

    async def said() -> str | None:
        entries = (await handle.audit()).entries
        return next((entry.reason for entry in entries if entry.what == "entry to LIVE"), None)

    reason = await until(said)
    assert reason is not None
    for word in words:
        assert word in reason, reason
    return reason


async def test_an_honest_plan_goes_live_with_keys_and_without(either, plan):
    document = plan(step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b", value={"$ref": "a.step"}))
    async with either.working():
        handle = await either.airlock.submit(document)
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    assert (times(document, "a"), times(document, "b")) == (1, 1)


@pytest.mark.parametrize(
    ("rules", "sentence", "state"),
    [
        ({"dry_run_only": True}, "today's policy: it allows dry runs only", "rehearsed"),
        ({"approvers": ["bob"]}, "today's policy: the approval by 'alice' does not count", ""),
        ({"approvals_required": 2}, "today's policy: step a is not approved: 1 of 2 votes count", ""),
        ({"signature_required": "always"}, "today's policy: the approval by 'alice' does not count", ""),
    ],
    ids=["dry_run_only", "approvers", "approvals_required", "signature_required"],
)
async def test_a_policy_that_was_tightened_after_the_approval_stops_the_entry(either, plan, rules, sentence, state):
    """Cases 12 and 33: the workers that orchestrate still have the old policy."""
    document = plan(step("a", "once", key="a", value=1))
    async with either.working("orchestrate", "rehearse"):
        handle = await either.airlock.submit(document)
        await approved(handle)
        await handle.wait_for(State.LIVE)
        async with live_worker(either, **rules):
            await refused_entry(handle, sentence)
            again = await awaiting(handle)  # its people are asked again
            assert again.approvals == ()
            refusals = [entry for entry in again.refusals if sentence in entry.reason]
            assert refusals
    assert times(document, "a") == 0


async def after_the_first_call(where: Place, document: dict) -> Any:
    """Make the first of two calls of one stay; no worker runs any more then."""
    hold = WORLD.hold(document["plan_id"], "a")
    async with live_worker(where):
        async with where.working("orchestrate", "rehearse"):
            handle = await where.airlock.submit(document)
            await approved(handle)
            await until(lambda: (document["plan_id"], "a") in WORLD.running)
        hold.set()  # nothing commands the second call while no worker orchestrates
        await until(lambda: not WORLD.running)
    return handle


def two_calls(plan) -> dict:
    # a guarded call is never part of another call's chain
    return plan(step("a", "once", key="a", value=1), step("b", "send", ("a",), to="x"))


async def test_a_policy_that_was_tightened_between_two_calls_of_one_stay_stops_the_second(either, plan):
    document = two_calls(plan)
    handle = await after_the_first_call(either, document)
    async with either.working("orchestrate", "rehearse"), live_worker(either, approvers=["bob"]):
        await refused_entry(handle, "today's policy: the approval by 'alice' does not count")
        status = await awaiting(handle)
    assert {each.id: each.status for each in status.steps} == {"a": "live", "b": "waiting"}
    assert (times(document, "a"), times(document, "b")) == (1, 0)


async def test_a_live_worker_with_the_same_policy_accepts_the_permit_of_another_one(either, plan):
    document = two_calls(plan)
    handle = await after_the_first_call(either, document)
    async with either.working("orchestrate", "rehearse"), live_worker(either):
        assert (await handle.result()).outcome == "completed"
        assert "turned_away" not in {entry.what for entry in (await handle.audit()).entries}
    assert (times(document, "a"), times(document, "b")) == (1, 1)


@pytest.fixture
def few_renewals(monkeypatch) -> None:
    monkeypatch.setattr(entry, "MAX_RENEWALS", 1)


async def test_other_arguments_than_sealed_are_not_called(protected, plan, monkeypatch, few_renewals):
    """The worker that orchestrates is in the attacker's hands: it shows one plan, and commands another."""
    honest = chain_calls.call_request

    def other(*given):
        asked = honest(*given)
        changed = {"args": {**asked.step.args, "value": 666}}
        preview = None if asked.preview is None else asked.preview.model_copy(update=changed)
        return asked.model_copy(update={"step": asked.step.model_copy(update=changed), "preview": preview})

    monkeypatch.setattr(chain_calls, "call_request", other)
    document = plan(step("a", "once", key="a", value=1))
    async with protected.working():
        handle = await protected.airlock.submit(document)
        await approved(handle)
        status = await handle.wait_for(State.LOCKED)
        assert "no permit was given for this very call" in status.why
        assert status.parked == ()
    assert times(document, "a") == 0


async def test_votes_that_only_the_orchestrating_worker_counted_open_nothing(either, plan, monkeypatch):
    monkeypatch.setattr(decisions, "judge_approval", lambda *_: Verdict(accepted=True, reason="why not"))
    document = plan(step("a", "once", key="a", value=1))
    async with either.working():
        handle = await either.airlock.submit(document)
        digest = (await awaiting(handle)).digest
        assert (await handle.decide("approve", by="rita", digest=digest)).accepted
        await refused_entry(handle, "the plan's policy: the approval by 'rita' does not count", "requested this plan")
        await awaiting(handle)
    assert times(document, "a") == 0


async def test_an_approval_that_was_only_claimed_opens_nothing_and_locks_in_the_end(either, plan, monkeypatch):
    """A run that says it is approved, time after time, without any vote."""
    monkeypatch.setattr(rehearse, "waived_by_policy", lambda run: True)
    monkeypatch.setattr(rehearse, "approved_steps", lambda run: run.sealed.live_steps)
    document = plan(step("a", "once", key="a", value=1))
    async with either.working():
        handle = await either.airlock.submit(document)
        status = await handle.wait_for(State.LOCKED)
        assert "step a is not approved: 0 of 1 votes count" in status.why
        assert "3 times in a row" in status.why
    assert times(document, "a") == 0


async def test_a_worker_without_the_run_key_gets_no_entry_and_the_plan_says_why(made_place, plan):
    keys = keyring("k")
    where = await made_place(keys)
    document = plan(step("a", "once", key="a", value=1))
    client = await Client.connect(
        where.workers.service_client.config.target_host, namespace=where.workers.namespace, data_converter=data_converter()
    )
    orchestrating = Place(client, where.airlock, where.attacker, where.policy, where.holding)
    async with orchestrating.working("orchestrate", "rehearse"), live_worker(where):
        handle = await where.airlock.submit(document)
        await approved(handle)
        status = await handle.wait_for(State.LOCKED)
        assert "give the orchestrating workers the run key" in status.why
    assert times(document, "a") == 0


async def scheduled(where: Place, workflow_id: str) -> dict[str, Payloads]:
    """The inputs of all activities of a run, by activity id, as every client can read them."""
    events = [event.activity_task_scheduled_event_attributes for event in await where.attacker.events(workflow_id)]
    return {event.activity_id: event.input for event in events if event.activity_id}


async def test_genuine_inputs_in_a_run_of_the_attacker_do_nothing(protected, plan):
    document = plan(step("a", "once", key="a", value=1), step("b", "once", key="b", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    async with protected.working():
        handle = await protected.airlock.submit(document)
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
        copied = await scheduled(protected, workflow_id)
        acquire = next(each for each in copied if each.startswith("acquire:"))
        run = await protected.attacker.client.start_workflow(
            names.PLAN_WORKFLOW,
            {},
            id=workflow_id,
            task_queue="mallory",
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
        asked = 0
        for activity_id, kind, queue in ((acquire, "acquire", names.PERMIT_QUEUE), ("a:live", "call", names.LIVE_QUEUE)):
            for given in (copied[activity_id], wrapped(plain(json.loads(copied[activity_id].payloads[0].data)))):
                await protected.attacker.command("mallory", activity_id, kind, given, queue)
                asked += 1
                await until(partial(answers, protected, run, asked))
        said = await answers(protected, run, 4)
        assert [each["refusal"]["why"] for each in said[:2]] == [
            "the question was asked by another run",
            "this worker has keys and the question carries no proof (it carries no proof): "
            "give the orchestrating workers the run key",
        ]
        assert [each["attempts"][0]["kind"] for each in said[2:]] == ["unpermitted", "unpermitted"]
        await run.terminate()
    assert times(document, "a") == 1


async def answers(where: Place, run: Any, number: int = 0) -> list[dict[str, Any]]:
    """The answers of the activities of a run, oldest first, once there are so many."""
    events = await where.attacker.events(run.id, run.result_run_id or run.first_execution_run_id)
    done = [event.activity_task_completed_event_attributes for event in events]
    said = [json.loads(each.result.payloads[0].data) for each in done if each.result.payloads]
    return said if len(said) >= number else []


@pytest.mark.parametrize("again", ["a:live", "a:live:2"])
async def test_a_call_that_a_stolen_workflow_task_commands_again_is_made_once(either, plan, again):
    """The attacker takes a task of the genuine run, and commands the genuine call a second time."""
    document = plan(step("a", "once", key="a", value=1))
    workflow_id = names.plan_workflow_id(document["plan_id"])
    hold = WORLD.hold(document["plan_id"], "a")
    async with live_worker(either):
        async with either.working("orchestrate", "rehearse"):
            handle = await either.airlock.submit(document)
            await approved(handle)
            await until(lambda: (document["plan_id"], "a") in WORLD.running)
        copied = await scheduled(either, workflow_id)
        hold.set()
        await until(lambda: not WORLD.running)
        run = either.attacker.client.get_workflow_handle(workflow_id)
        before = len(await until(lambda: calls_answered(either, workflow_id, 1)))
        await run.signal("lock", {"by": "mallory", "reason": "wake up"})
        await either.attacker.command(
            names.WORKFLOW_QUEUE, again, "call", copied["a:live"], names.LIVE_QUEUE, of=workflow_id
        )
        async with either.working("orchestrate"):  # the gates answer; the history of this run fits no worker any more
            said = await until(lambda: calls_answered(either, workflow_id, before + 1))
        if again == "a:live" or not keyring_of(either.workers).keys:
            (attempt,) = said[-1]["attempts"]
            assert attempt["kind"] == "in_doubt", attempt
            assert "commanded before" in attempt["error"]
        else:  # the proof is for another activity: the worker does not let it in
            assert (said[-1]["attempts"], said[-1]["entered"]["kind"]) == ([], "denied"), said[-1]
        await run.terminate()
    assert times(document, "a") == 1


async def calls_answered(where: Place, workflow_id: str, number: int) -> list[dict[str, Any]]:
    said = [json.loads(each.data) for each in await where.attacker.answers(workflow_id, "call")]
    return said if len(said) >= number else []
