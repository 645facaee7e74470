"""Metrics and spans of call attempts, recorded in the process that makes the call."""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.common import MetricMeter

from airlock.base import names
from airlock.base.metrics import CALL_DURATION, CALLS, CallResult
from airlock.plans.contract import Mode
from airlock.plans.outcome import Attempt, CallFailed, CallInDoubt, CallStale, CallSucceeded

_tracer: Any = None
with suppress(ImportError):  # without the extra `otel` there are no spans
    from opentelemetry import trace

    _tracer = trace.get_tracer("airlock")

ROLLBACK = "ROLLBACK"
"""Label `mode` of compensations; every other attempt has the mode of its call."""

_ALWAYS = (CallResult.WORKED, CallResult.FAILED, CallResult.AGAIN)
_AT_ZERO = (
    (names.LIVE_QUEUE, "call", Mode.LIVE.value, (*_ALWAYS, CallResult.STALE, CallResult.IN_DOUBT)),
    (names.UNDO_QUEUE, "compensate", ROLLBACK, _ALWAYS),
)


@dataclass
class Measurement:
    """Measurement of one attempt. Its caller sets the result, unless an exception asks Temporal for another attempt."""

    result: CallResult = CallResult.AGAIN


@contextmanager
def measure(tool: str, mode: str, step: str) -> Iterator[Measurement]:
    """Count, time and trace the body as one attempt of a call; usable within an activity only.

    Neither metric nor span holds arguments, outputs or error messages.
    """
    attempt = Measurement()
    started = time.monotonic()
    with _span(tool, mode, step) as span:
        try:
            yield attempt
        finally:
            labels = {"tool": tool, "mode": mode}
            meter = activity.metric_meter()
            meter.create_counter(CALLS.name, CALLS.text).add(1, {**labels, "outcome": attempt.result.value})
            taken = timedelta(seconds=time.monotonic() - started)
            meter.create_histogram_timedelta(CALL_DURATION.name, CALL_DURATION.text, "duration").record(taken, labels)
            if span is not None:
                span.set_attribute("airlock.outcome", attempt.result.value)


def _span(tool: str, mode: str, step: str) -> AbstractContextManager[Any]:
    if _tracer is None:
        return nullcontext()
    attributes = {"airlock.tool": tool, "airlock.mode": mode, "airlock.step": step}
    span: AbstractContextManager[Any] = _tracer.start_as_current_span(
        f"{mode} {tool}", attributes=attributes, record_exception=False, set_status_on_exception=False
    )
    return span


def serve_zero_counters(meter: MetricMeter, namespace: str, tools: Iterable[str]) -> None:
    """Serve the counters of live calls and compensations as 0 before the first attempt.

    A counter that appears with a 1 has not increased, as Prometheus sees it: the first call in doubt would raise no alarm.

    Args:
        meter: The meter of the workers' runtime.
        namespace: The namespace of the workers.
        tools: The names of all tools that they may call.
    """
    for queue, kind, mode, results in _AT_ZERO:
        labels = {"namespace": namespace, "task_queue": queue, "activity_type": kind, "mode": mode}
        for tool in tools:
            for result in results:
                counted = {**labels, "tool": tool, "outcome": result.value}
                meter.create_counter(CALLS.name, CALLS.text).add(0, counted)


def result_of(attempt: Attempt) -> CallResult:
    """Return the counter's label for a live attempt. One that took effect worked, even if its output is unusable."""
    match attempt:
        case CallSucceeded():
            return CallResult.WORKED
        case CallFailed():
            return CallResult.FAILED
        case CallStale():
            return CallResult.STALE
        case CallInDoubt():
            return CallResult.IN_DOUBT
        case _:
            return CallResult.AGAIN
