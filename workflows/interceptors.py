"""Interceptors of every worker that runs Airlock's workflows. They issue no commands, so they change no history."""

from typing import Any, ClassVar

from temporalio import workflow
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleSignalInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from airlock.base.metrics import PLANS_ENDED
from airlock.run.presentation.views import PlanResult


class OfWorkflows(Interceptor):
    """Interceptor whose part of each workflow instance is `inbound`."""

    inbound: ClassVar[type[WorkflowInboundInterceptor]]

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # the name is the SDK's
    ) -> type[WorkflowInboundInterceptor] | None:
        """Return the interceptor of a workflow instance."""
        return self.inbound


class _SafeSignals(WorkflowInboundInterceptor):
    async def handle_signal(self, input: HandleSignalInput) -> None:
        try:
            await super().handle_signal(input)
        except Exception as error:  # noqa: BLE001  # not BaseException: cancellation and continue-as-new must pass
            refuse = getattr(workflow.instance(), "refuse_signal", None)
            if refuse is not None:
                refuse(input.signal, f"could not be handled: {type(error).__name__}")


class SafeSignals(OfWorkflows):
    """Interceptor that records a signal as refused where its handler raises. Such a signal would wedge the run."""

    inbound = _SafeSignals


class _EndedPlans(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        result = await super().execute_workflow(input)
        if isinstance(result, PlanResult):
            counter = workflow.metric_meter().create_counter(PLANS_ENDED.name, PLANS_ENDED.text)
            counter.add(1, {"outcome": result.outcome.value})
        return result


class EndedPlans(OfWorkflows):
    """Interceptor that counts each plan at its end, once: the SDK's meter is silent while a history is replayed."""

    inbound = _EndedPlans
