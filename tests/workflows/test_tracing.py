"""Traces, with an in-memory exporter: one from the submission to the last call, and nothing of what a plan holds in it."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.api.common.v1 import Header, Payload, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest

from airlock.activities.toolbox import Toolbox
from airlock.base.errors import ConfigError
from airlock.client import Airlock
from airlock.temporal.tracer import MAX_HEADER, _Carriers
from airlock.temporal.tracing import VARIABLE, tracing_interceptors
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, namespace, step, until

SPANS = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider():
    """OpenTelemetry takes one provider a process; other tests then write into this one, under traces of their own."""
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(SPANS))
    trace.set_tracer_provider(made)


@pytest.fixture
async def traced(dev_server, monkeypatch, request) -> AsyncIterator[tuple[Airlock, list]]:
    monkeypatch.setenv(VARIABLE, "1")
    client = await namespace(dev_server.client, request.node.name.replace("_", "-"))
    workers = build_workers(client, Toolbox(catalogue(), POLICY))
    async with running(workers):
        yield Airlock(client), workers


def spans_of(trace_id: int) -> list[ReadableSpan]:
    return [span for span in SPANS.get_finished_spans() if span.context.trace_id == trace_id]


def ancestors(span: ReadableSpan, spans: list[ReadableSpan]) -> list[str]:
    by_id = {each.context.span_id: each for each in spans}
    names = []
    while span.parent is not None:
        span = by_id[span.parent.span_id]
        names.append(span.name)
    return names


async def test_one_trace_from_submit_to_the_last_call(traced, plan):
    airlock, _ = traced
    document = plan(step("one", "put", key="a", value="a value nobody else may see"), step("two", "put", ("one",), key="b"))
    with trace.get_tracer("an agent").start_as_current_span("an agent decides") as root:
        handle = await airlock.submit(document)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    spans = spans_of(root.context.trace_id)
    calls = {
        (span.attributes["airlock.mode"], span.attributes["airlock.step"]): span
        for span in spans
        if "airlock.tool" in span.attributes
    }
    assert sorted(calls) == [(mode, id) for mode in ("DRY_RUN", "LIVE", "MOCK") for id in ("one", "two")]
    last = calls["LIVE", "two"]
    assert last.name == "LIVE put"
    assert last.attributes["airlock.outcome"] == "worked"
    assert ancestors(last, spans) == [
        "RunActivity:call", "StartActivity:call", "StartWorkflow:PlanWorkflow", "an agent decides",
    ]  # fmt: skip
    text = json.dumps([json.loads(span.to_json()) for span in spans])
    assert "a value nobody else may see" not in text


async def test_a_trace_goes_on_when_another_worker_takes_over(traced, plan):
    airlock, workers = traced
    with trace.get_tracer("an agent").start_as_current_span("an agent decides") as root:
        handle = await airlock.submit(plan(step("one", "put", key="a")))
    await awaiting(handle)
    for worker in workers:
        await worker.shutdown()
    async with running(build_workers(airlock.client, Toolbox(catalogue(), POLICY))):
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    spans = spans_of(root.context.trace_id)
    names = [span.name for span in spans]
    assert names.count("LIVE put") == 1
    assert names.count("RunWorkflow:PlanWorkflow") == 1  # the replay in the second worker adds none
    assert names.count("StartActivity:prepare") == 1


JUNK = {
    "not JSON": Payload(metadata={"encoding": b"json/plain"}, data=b"{"),
    "no encoding": Payload(data=b"x"),
    "a number": Payload(metadata={"encoding": b"json/plain"}, data=b"7"),
    "a list in it": Payload(metadata={"encoding": b"json/plain"}, data=b'{"traceparent": [1, {}], "tracestate": 5}'),
    "no trace": Payload(metadata={"encoding": b"json/plain"}, data=b'{"traceparent": "00-xyz", "tracestate": ",,=,"}'),
}


async def test_a_junk_header_on_a_signal_does_not_wedge_a_run(traced, plan):
    airlock, _ = traced
    handle = await airlock.submit(plan(step("one", "put", key="a")))
    await awaiting(handle)
    for junk in JUNK.values():
        request = SignalWorkflowExecutionRequest(
            namespace=airlock.client.namespace, signal_name="unheard-of",
            workflow_execution=WorkflowExecution(workflow_id=handle.workflow.id),
            header=Header(fields={"_tracer-data": junk}),
        )  # fmt: skip
        await airlock.client.workflow_service.signal_workflow_execution(request)
    await until(lambda: _refused(handle, len(JUNK)))
    await approved(handle)
    assert (await handle.result()).outcome == "completed"


def test_a_header_that_takes_long_to_decode_is_no_trace():
    carrier = b'{"traceparent": "00-a-b-01"'
    plain = Payload(metadata={"encoding": b"json/plain"}, data=carrier + b"}")
    long = Payload(metadata={"encoding": b"json/plain"}, data=carrier + b" " * MAX_HEADER + b"}")
    protobuf = {"encoding": b"json/protobuf", "messageType": b"temporal.api.common.v1.Payloads"}
    read = _Carriers().from_payloads
    assert read([plain]) == [{"traceparent": "00-a-b-01"}]
    assert read([long]) == read([Payload(metadata=protobuf, data=b'{"payloads":[{}]}')]) == [{}]


async def _refused(handle, number) -> bool:
    return (await handle.status()).refused == number


async def test_baggage_stays_out_of_the_history(traced, plan):
    airlock, _ = traced
    with trace.get_tracer("an agent").start_as_current_span("an agent decides"):
        token = context.attach(baggage.set_baggage("customer", "jo-of-acme"))
        try:
            handle = await airlock.submit(plan(step("one", "put", key="a")))
        finally:
            context.detach(token)
    await awaiting(handle)
    history = await handle.workflow.fetch_history()
    assert "_tracer-data" in history.to_json()
    assert "jo-of-acme" not in str([event.SerializeToString() for event in history.events])


def test_everything_runs_without_opentelemetry():
    code = (
        "import sys; sys.modules['opentelemetry'] = None; import airlock.worker.command, airlock.cli.start; "
        "from airlock.temporal.tracing import *\ntry: tracing_interceptors()\nexcept Exception as error: print(error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, VARIABLE: "1"},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "AIRLOCK_TRACING: is 1, but there is no opentelemetry (fix: pip install 'airlock-temporal[otel]')" in told.stdout


def test_where_nobody_takes_the_traces_a_process_ends_all_the_same():
    code = (
        "import os, time\nfrom airlock.temporal.tracing import *\ntracing_interceptors()\n"
        "from opentelemetry import trace\nwith trace.get_tracer('x').start_as_current_span('y'): pass\n"
        "began = time.monotonic()\nsend_last_traces(0.5)\nprint('after', time.monotonic() - began, flush=True)\nos._exit(0)"
    )
    nowhere = {
        VARIABLE: "1", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "100",
        "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **nowhere}, capture_output=True, text=True, timeout=120, check=True
    )
    taken = float(told.stdout.split("after ")[1])
    assert 0.4 < taken < 50  # the exporter itself would go on trying for a hundred seconds


def test_traces_are_off_unless_switched_on(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert tracing_interceptors() == []
    monkeypatch.setenv(VARIABLE, "yes")
    with pytest.raises(ConfigError, match=r"AIRLOCK_TRACING: is 'yes' \(fix: 1 switches traces on, 0 off\)"):
        tracing_interceptors()
