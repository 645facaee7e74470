"""A worker without keys answers an approver's query: it cannot show one thing and let another be approved."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import QueryResultType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueRequest, RespondQueryTaskCompletedRequest
from temporalio.client import Client
from temporalio.service import RPCError

from airlock.base import names
from airlock.client.plan_history import read_plan
from airlock.run.presentation.preview_check import PreviewMismatch
from airlock.temporal.history import Unreadable
from tests.workflows.attacker import IDENTITY, Attacker, plain
from tests.workflows.conftest import approved, awaiting, step
from tests.workflows.protected import keyring, place


async def answer_a_query(attacker: Attacker, answer: dict[str, Any], query: str = "preview") -> None:
    """Take the next query in the place of an honest worker, and answer it."""
    client, queue = attacker.client, TaskQueue(name=names.WORKFLOW_QUEUE)
    while True:
        request = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=queue, identity=IDENTITY)
        try:
            task = await client.workflow_service.poll_workflow_task_queue(request, timeout=timedelta(seconds=5))
        except RPCError:
            continue
        if task.task_token and task.query.query_type == query:
            break
    await client.workflow_service.respond_query_task_completed(
        RespondQueryTaskCompletedRequest(
            namespace=client.namespace, task_token=task.task_token,
            completed_type=QueryResultType.QUERY_RESULT_TYPE_ANSWERED,
            query_result=Payloads(payloads=[plain(answer)]),
        )
    )  # fmt: skip


@pytest.mark.parametrize("lie", ["other content", "other text", "no digest"])
async def test_a_preview_that_a_worker_without_keys_shows_is_not_believed(dev_server, plan, lie):
    where = await place(dev_server.client, f"forged-preview-{lie.replace(' ', '-')}", keyring("k"))
    document = plan(step("a", "put", key="precious", value="gone"))
    async with where.working():
        handle = await where.airlock.submit(document)
        await awaiting(handle)
        honest = await handle.preview()
    answer = honest.model_dump(mode="json")
    if lie == "other content":
        answer["sealed"]["steps"][0]["args"] = {"key": "harmless", "value": 1}
    else:
        answer["text"] = answer["text"].replace("precious", "harmless")
    if lie == "no digest":  # it stands in the text, which a person reads
        answer["digest"] = None
    async with asyncio.TaskGroup() as both:
        both.create_task(asyncio.wait_for(answer_a_query(where.attacker, answer), 120))
        asked = both.create_task(_outcome(handle))
    shown = asked.result()
    if lie == "other content":
        assert isinstance(shown, PreviewMismatch)
        assert "approve nothing" in str(shown)
    elif lie == "no digest":
        assert "has no preview" in shown.text
        assert honest.digest[:12] not in shown.text
    else:
        assert shown.text == honest.text
        assert "precious" in shown.text


async def _outcome(handle: Any) -> Any:
    try:
        return await handle.preview()
    except PreviewMismatch as error:
        return error


async def test_a_call_that_a_worker_without_keys_leaves_out_is_not_left_out_of_an_export(dev_server, plan):
    where = await place(dev_server.client, "forged-carry", keyring("k"))
    document = plan(step("a", "put", key="a", value=1))
    async with where.working():
        handle = await where.airlock.submit(document)
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
        run_id = (await handle.workflow.describe()).run_id
        honest = await read_plan(where.airlock.client, handle.workflow.id, run_id)
        raw = where.airlock.client.get_workflow_handle(handle.workflow.id, run_id=run_id)
        carried: dict[str, Any] = await raw.query("carry", result_type=dict[str, Any])
    assert "put" in str(honest.record)
    carried |= {"calls": {}, "audit": [entry for entry in carried["audit"] if entry["kind"] != "call"]}
    async with asyncio.TaskGroup() as both:
        both.create_task(asyncio.wait_for(answer_a_query(where.attacker, carried, "carry"), 120))
        asked = both.create_task(_read(where.airlock.client, handle.workflow.id, run_id))
    assert "leaves out the call of step 'a'" in asked.result()


async def _read(client: Client, workflow_id: str, run_id: str) -> str:
    try:
        return str((await read_plan(client, workflow_id, run_id)).record)
    except Unreadable as error:
        return str(error)
