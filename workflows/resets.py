"""Detection of a reset to the first workflow task, of which a workflow itself learns nothing.

Temporal gives a run a new seed at the point to which it was reset, in every replay of it. The callback that a workflow
registers when it is made comes too late for a seed at the very beginning: that of an interceptor does not. To compare
the run ids is no substitute: they also differ while the events before a later reset point replay.
"""

from typing import Any

from temporalio import workflow
from temporalio.worker import ExecuteWorkflowInput, WorkflowInboundInterceptor, WorkflowOutboundInterceptor

from airlock.temporal.seeds import seeds
from airlock.workflows.interceptors import OfWorkflows

SEEN_RESET = "a reset to the first workflow task is seen"
"""The patch in the history of a run that was reset so."""


class _Resets(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(outbound)
        self._seeds = 0
        seeds().on_reset(self._count)

    def _count(self, seed: int) -> None:
        self._seeds += 1

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        note = getattr(workflow.instance(), "was_reset", None)
        if self._seeds and note is not None:
            note()
        return await super().execute_workflow(input)


class Resets(OfWorkflows):
    """Interceptor that calls `was_reset` of a workflow that begins at the point to which it was reset."""

    inbound = _Resets
