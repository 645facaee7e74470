"""The history of the run that an activity works for: read newest first, with what is proved about its payloads."""

import json
from collections.abc import AsyncIterator
from typing import Final

from temporalio import activity
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.converter import ActivitySerializationContext
from temporalio.service import RPCError, RPCStatusCode

from airlock.temporal.proof import Stamp

PAGE: Final = 100
"""Events of one answer of Temporal."""


async def own_events_backwards(first: int = PAGE) -> AsyncIterator[HistoryEvent]:
    """Yield the events of the run that this activity works for, newest first.

    Args:
        first: The number of events that are asked for first.

    Raises:
        RPCError: If they cannot be read.
    """
    info = activity.info()
    run = WorkflowExecution(workflow_id=info.workflow_id or "", run_id=info.workflow_run_id or "")
    service, token, size = activity.client().workflow_service, b"", first
    while True:
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=info.namespace, execution=run, maximum_page_size=size, next_page_token=token
        )
        try:
            page = await service.get_workflow_execution_history_reverse(request, retry=True)
        except RPCError as error:
            if error.status is not RPCStatusCode.UNIMPLEMENTED:
                raise
            break  # a server for tests reads forwards only
        for event in page.history.events:
            yield event
        token, size = page.next_page_token, PAGE
        if not token:
            return
    handle = activity.client().get_workflow_handle(run.workflow_id, run_id=run.run_id)
    for event in reversed([event async for event in handle.fetch_history_events()]):
        yield event


async def decoded(activity_id: str, activity_type: str, payloads: Payloads) -> tuple[object, Stamp]:
    """Return the only value of an activity's payloads, and what is proved about it.

    Args:
        activity_id: The activity, of this run.
        activity_type: Its type.
        payloads: Its input or its result.

    Raises:
        ValueError: If there is not one value, or it cannot be read.
    """
    info = activity.info()
    context = ActivitySerializationContext(
        namespace=info.namespace, workflow_id=info.workflow_id, workflow_type=info.workflow_type,
        activity_id=activity_id, activity_type=activity_type, activity_task_queue=info.task_queue, is_local=False,
    )  # fmt: skip
    converter = activity.client().data_converter.with_context(context)
    codec = converter.payload_codec
    (payload,) = await codec.decode(payloads.payloads) if codec else payloads.payloads
    return json.loads(payload.data), Stamp.of(payload)
