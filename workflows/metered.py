"""An interceptor that counts plans as they end; once each, because the SDK's meter is silent while a history is replayed."""

from typing import Any

from temporalio import workflow
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from airlock.base.metrics import PLANS_ENDED
from airlock.run.views import PlanResult


class Metered(Interceptor):
    """To be given to every worker that runs Airlock's workflows; issues no commands, so it changes no history."""

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # the name is the SDK's
    ) -> type[WorkflowInboundInterceptor] | None:
        """Return the interceptor of each workflow instance."""
        return _CountEnds


class _CountEnds(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        result = await super().execute_workflow(input)
        if isinstance(result, PlanResult):
            counter = workflow.metric_meter().create_counter(PLANS_ENDED.name, PLANS_ENDED.text)
            counter.add(1, {"outcome": result.outcome.value})
        return result
