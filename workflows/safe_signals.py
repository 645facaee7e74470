"""An interceptor that turns a signal that no handler could handle into a recorded refusal: it cannot wedge a run."""

from temporalio import workflow
from temporalio.worker import (
    HandleSignalInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)


class SafeSignals(Interceptor):
    """To be given to every worker that runs Airlock's workflows."""

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # the name is the SDK's
    ) -> type[WorkflowInboundInterceptor] | None:
        """Return the interceptor of each workflow instance."""
        return _RecordRefusals


class _RecordRefusals(WorkflowInboundInterceptor):
    async def handle_signal(self, input: HandleSignalInput) -> None:
        try:
            await super().handle_signal(input)
        except Exception as error:  # noqa: BLE001  # not BaseException: cancellation and continue-as-new must pass
            refuse = getattr(workflow.instance(), "refuse_signal", None)
            if refuse is not None:
                refuse(input.signal, f"could not be handled: {type(error).__name__}")
