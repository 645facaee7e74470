"""The SDK's tracing interceptor, made safe against headers of any sender. Needs the extra `otel`."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.trace import Tracer as OpenTelemetryTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio.api.common.v1 import Payload
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.converter import DefaultPayloadConverter
from temporalio.worker import WorkflowInboundInterceptor, WorkflowInterceptorClassInput

MAX_HEADER = 8_192
"""Bytes of a trace header, which has a few hundred. It is decoded for each signal, and counts as none of its content."""


class Tracer(TracingInterceptor):
    """Interceptor that passes the trace id from process to process. It passes no baggage into a plan's history."""

    def __init__(self, tracer: OpenTelemetryTracer) -> None:
        super().__init__(tracer)
        self.text_map_propagator = TraceContextTextMapPropagator()
        self.payload_converter = _Carriers()

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # the name is the SDK's
    ) -> type[TracingWorkflowInboundInterceptor]:
        """Return the interceptor of a workflow instance."""
        super().workflow_interceptor_class(input)
        return _InWorkflow


class _InWorkflow(TracingWorkflowInboundInterceptor):
    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # the name is the SDK's
        super().__init__(next)
        self.text_map_propagator = TraceContextTextMapPropagator()
        self.payload_converter = _Carriers()


class _Carriers(DefaultPayloadConverter):
    """Converter of trace headers that never raises. A signal with a malformed header could otherwise wedge a run."""

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type[Any]] | None = None) -> list[Any]:
        if any(payload.metadata.get("encoding") != b"json/plain" or len(payload.data) > MAX_HEADER for payload in payloads):
            return [{} for _ in payloads]
        try:
            found = super().from_payloads(payloads, type_hints)
        except Exception:  # noqa: BLE001  # a malformed header counts as no trace
            found = [{} for _ in payloads]
        return [_strings(carrier) for carrier in found]


def _strings(carrier: Any) -> dict[str, str]:
    if not isinstance(carrier, dict):
        return {}
    return {name: value for name, value in carrier.items() if isinstance(name, str) and isinstance(value, str)}
