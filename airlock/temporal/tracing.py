"""OpenTelemetry traces, from the submission of a plan to its last call, across all processes.

Off unless `AIRLOCK_TRACING` says `1`. Where traces go is OpenTelemetry's own matter: a program that has set a tracer
provider keeps it; for all others OpenTelemetry's environment variables count (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_SERVICE_NAME`, ...).
"""

import os
import threading
from collections.abc import Mapping

from temporalio.client import Interceptor

from airlock.base.errors import ConfigError, Problem

VARIABLE = "AIRLOCK_TRACING"
SERVICE = "airlock"
"""Service name of the spans, unless `OTEL_SERVICE_NAME` names another."""


def traced(environment: Mapping[str, str] = os.environ) -> bool:
    """Return True if traces are on.

    Raises:
        ConfigError: If the variable is neither 0 nor 1.
    """
    said = environment.get(VARIABLE, "")
    if said not in ("", "0", "1"):
        raise ConfigError([Problem(where=VARIABLE, message=f"is {said!r}", fix="1 switches traces on, 0 off")])
    return said == "1"


def tracing_interceptors() -> list[Interceptor]:
    """Return the tracing interceptors of a client, which its workers inherit; none if traces are off.

    Spans hold ids and names, never arguments or outputs. Those of a workflow are points in time and outlive its worker: a
    plan waits for weeks, and its trace goes on in whichever process carries it on.

    Raises:
        ConfigError: If traces are on, but OpenTelemetry is not installed.
    """
    if not traced():
        return []
    try:
        from opentelemetry import trace  # the extra `otel`

        from airlock.temporal.tracer import Tracer
    except ImportError as error:
        missing = Problem(
            where=VARIABLE, message=f"is 1, but there is no {error.name}", fix="pip install 'airlock-temporal[otel]'"
        )
        raise ConfigError([missing]) from error
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        _set_provider()
    return [Tracer(trace.get_tracer(SERVICE))]


def _set_provider() -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if "OTEL_SERVICE_NAME" in os.environ else {SERVICE_NAME: SERVICE}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def send_last_traces(within: float = 5.0) -> None:
    """Flush the spans within some seconds; for a process that ends without running its exit handlers."""
    if os.environ.get(VARIABLE) != "1":
        return
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        # in a thread: the SDK does not keep the limit it accepts, and without a collector the flush would block
        sending = threading.Thread(target=flush, daemon=True)
        sending.start()
        sending.join(within)
