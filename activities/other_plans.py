"""Other open plans that touch the same resources, by visibility: a hint for the approver, never a gate."""

from collections.abc import Mapping

from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.converter import PayloadConverter

from airlock.admission.conflicts.conflict import Answer, Conflict, ConflictKind, conflict, with_another_plan
from airlock.base import names
from airlock.plans.state import State

MAX_NAMED = 20
"""Other plans that are named to an approver, at most."""


async def others(client: Client, own: str, touched: Mapping[str, tuple[str, str]]) -> tuple[Conflict, ...]:
    """Return one conflict for each resource that another open plan touches too, at most `MAX_NAMED` and one that says so.

    Args:
        client: A client of the namespace.
        own: The workflow id of the plan itself, which does not count.
        touched: Resource and step by the keyed hash under which the resource stands in the search attribute.

    Raises:
        RPCError: If visibility does not answer.
    """
    if not touched:
        return ()
    hashes = ", ".join(f"'{key}'" for key in sorted(touched))
    request = ListWorkflowExecutionsRequest(
        namespace=client.namespace,
        page_size=MAX_NAMED + 1,
        query=(
            f"WorkflowType = '{names.PLAN_WORKFLOW}' AND ExecutionStatus = 'Running' "
            f"AND WorkflowId != '{own}' AND {names.ATTRIBUTE_RESOURCES} IN ({hashes})"
        ),
    )
    page = await client.workflow_service.list_workflow_executions(request, retry=True)
    found = [
        with_another_plan(step, resource, info.execution.workflow_id, _state(info))
        for info in sorted(page.executions, key=lambda info: info.execution.workflow_id)
        for resource, step in sorted(touched[key] for key in _keywords(info, names.ATTRIBUTE_RESOURCES) if key in touched)
    ]
    if len(found) <= MAX_NAMED:
        return tuple(found)
    more = conflict(ConflictKind.RESOURCE, Answer.DELAY, (), "more open plans touch what this one touches")
    return (*found[:MAX_NAMED], more)


def _state(info: WorkflowExecutionInfo) -> State | None:
    (said,) = _keywords(info, names.ATTRIBUTE_STATE) or ("",)
    return State(said) if said in State.__members__ else None


def _keywords(info: WorkflowExecutionInfo, attribute: str) -> tuple[str, ...]:
    # search attributes are never encrypted, so the plain converter reads them
    payload = info.search_attributes.indexed_fields.get(attribute)
    value = None if payload is None else PayloadConverter.default.from_payload(payload)
    return tuple(value) if isinstance(value, list) else () if value is None else (str(value),)
