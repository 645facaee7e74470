"""Detection of a reset to the first workflow task, of which a workflow itself learns nothing.

Temporal gives a run a new seed at the point to which it was reset, in every replay of it. The callback that a workflow
registers when it is made comes too late for a seed at the very beginning: that of an interceptor does not. To compare
the run ids is no substitute: they also differ while the events before a later reset point replay.
"""

from typing import Any, ClassVar

from temporalio import workflow
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from airlock.base.keyring import Channel, Demands
from airlock.temporal.seeds import seeds


class _Resets(WorkflowInboundInterceptor):
    demands: ClassVar[Demands]

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(outbound)
        self._seeds = 0
        seeds().proofs_due = self.demands.due(Channel.RUN, outbound.info().workflow_start_time)
        seeds().on_reset(self._count)

    def _count(self, seed: int) -> None:
        self._seeds += 1

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        note = getattr(workflow.instance(), "was_reset", None)
        if self._seeds and note is not None:
            note()
        return await super().execute_workflow(input)


class Resets(Interceptor):
    """Interceptor that calls `was_reset` of a workflow that begins at the point to which it was reset.

    Args:
        demands: The messages that need a proof in this process.
    """

    def __init__(self, demands: Demands) -> None:
        self._demands = demands

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # the name is the SDK's
    ) -> type[WorkflowInboundInterceptor]:
        """Return the interceptor of a workflow instance."""

        class OfThisProcess(_Resets):
            demands = self._demands

        return OfThisProcess
