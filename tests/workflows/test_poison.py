"""Poison in what any client may send: it ends with a reason, and the plan beside it goes on."""

import asyncio
import json

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import RawValue

from airlock.base import names
from airlock.client import NoAnswer
from airlock.plans.state import State
from airlock.run.messages import MESSAGES
from tests.poison import JSON, RAW
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.nonsense import VALID
from tests.workflows.test_cost import history

AT_ONCE = 10
"""Messages at a time: the frames of gRPC are limited."""
FIELDS = [(name, field) for name, model in MESSAGES.items() for field in model.model_fields]
SENT = ("99 lists", "220 lists", "150 objects", "a text of 60 KB", "line ends", "4,000 digits", "an odd path")


def written(value: object) -> RawValue:
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode()))


@pytest.mark.parametrize("way", ["signal", "update"])
async def test_every_field_of_every_message(airlock, plan, way):
    handle = await airlock.submit(plan(step("one", "put", key="a", value=1)))
    status = await awaiting(handle)
    # `deny` and `abort` with poison in a field that may hold any text would count, as they should: they name no digest
    bad = {name: {**VALID[name], "digest": "f" * 64} if name in ("approve", "deny") else VALID[name] for name in MESSAGES}
    cases = [(name, {**bad[name], field: JSON[value]()}) for name, field in FIELDS for value in SENT
             if name not in ("abort", "lock") or value not in ("line ends",)]  # fmt: skip
    cases = [(name, said) for name, said in cases if name not in ("lock", "abort") or not isinstance(said["by"], str)]
    answers = [
        await asyncio.gather(*(send(handle, way, name, said) for name, said in cases[start : start + AT_ONCE]))
        for start in range(0, len(cases), AT_ONCE)
    ]
    assert len([answer for group in answers for answer in group]) == len(cases) > 100
    assert all(answer in ("", "refused") for group in answers for answer in group)
    again = await awaiting(handle)
    assert again.digest == status.digest
    if way == "signal":
        assert again.refused == len(cases)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert (await history(handle.workflow))["WORKFLOW_TASK_FAILED"] == 0


async def send(handle, way: str, name: str, said: dict[str, object]) -> str:
    if way == "signal":
        await handle.workflow.signal(name, written(said))
        return ""
    try:
        verdict = await handle.workflow.execute_update("decide", written({**said, "decision": name}))
    except WorkflowUpdateFailedError:
        return "refused"
    return str(verdict) if verdict["accepted"] else "refused"


async def test_every_start(airlock, plan):
    document = plan(step("one", "put", key="a", value=1))
    arguments = {"steps": [{**document["steps"][0], "args": {"key": "a", "value": "@"}}]}
    starts = [(name, raw) for name, raw in RAW.items() if len(raw) < 1_500_000]
    around = json.dumps({"plan": {**document, **arguments}}).encode().split(b'"@"')
    for number, (name, raw) in enumerate([*starts, *((name, raw.join(around)) for name, raw in starts)]):
        workflow_id = f"plan-{document['plan_id']}-x{number}"
        payload = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=raw))
        run = await airlock.client.start_workflow(
            names.PLAN_WORKFLOW, payload, id=workflow_id, task_queue=names.WORKFLOW_QUEUE
        )
        with pytest.raises(WorkflowFailureError) as failed:
            await run.result()
        said = str(failed.value.cause)
        assert "is not a plan" in said or "must run as workflow" in said, (name, said)
        assert len(said) < 1_000, name
    handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"


@pytest.mark.parametrize("tool", ["put", "share", "send"])
async def test_an_argument_that_no_client_has_checked(airlock, plan, tool):
    """Each run ends with a reason or waits for approval, and can be aborted there; none of its workflow tasks fails."""
    name = "to" if tool == "send" else "key"

    async def one(raw: bytes) -> str:
        document = plan(step("one", tool, **{name: "@"}))
        payload = json.dumps({"plan": document}).encode().replace(b'"@"', raw)
        run = await airlock.client.start_workflow(
            names.PLAN_WORKFLOW, RawValue(Payload(metadata={"encoding": b"json/plain"}, data=payload)),
            id=f"plan-{document['plan_id']}", task_queue=names.WORKFLOW_QUEUE,
        )  # fmt: skip
        handle = airlock.plan(document["plan_id"])
        try:
            await until(lambda: at_rest(handle, run))
            if (await run.describe()).status is WorkflowExecutionStatus.RUNNING:
                assert (await handle.decide("abort", by="alice", reason="enough")).accepted
            said = str((await run.result())["why"])
        except WorkflowFailureError as failed:
            said = str(failed.cause)
        assert (await history(run))["WORKFLOW_TASK_FAILED"] == 0
        return said

    raws = [raw for raw in RAW.values() if len(raw) < 1_500_000]
    for start in range(0, len(raws), AT_ONCE):
        assert all(0 < len(said) < 1_000 for said in await asyncio.gather(*map(one, raws[start : start + AT_ONCE])))


async def at_rest(handle, run) -> bool:
    if (await run.describe()).status is not WorkflowExecutionStatus.RUNNING:
        return True
    try:
        return (await handle.status()).state is State.AWAITING_APPROVAL
    except NoAnswer:  # it ended between the two questions, or is refused as what is no plan
        return False
