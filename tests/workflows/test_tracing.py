"""Traces, with an in-memory exporter: one from the submission to the last call, and nothing of what a plan holds in it."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from activities.toolbox import Toolbox
from airlock.errors import ConfigError
from airlock_client import Airlock
from airlock_client.tracing import VARIABLE, tracing_interceptors
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, namespace, step
from worker import build_workers

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
    async with AsyncExitStack() as stack:
        workers = build_workers(client, Toolbox(catalogue(), POLICY))
        for worker in workers:
            await stack.enter_async_context(worker)
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
    async with AsyncExitStack() as stack:
        for worker in build_workers(airlock.client, Toolbox(catalogue(), POLICY)):
            await stack.enter_async_context(worker)
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    spans = spans_of(root.context.trace_id)
    names = [span.name for span in spans]
    assert names.count("LIVE put") == 1
    assert names.count("RunWorkflow:PlanWorkflow") == 1  # the replay in the second worker adds none
    assert names.count("StartActivity:rehearse") == 1


def test_traces_are_off_unless_switched_on(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert tracing_interceptors() == []
    monkeypatch.setenv(VARIABLE, "yes")
    with pytest.raises(ConfigError, match=r"AIRLOCK_TRACING: is 'yes' \(fix: 1 switches traces on, 0 off\)"):
        tracing_interceptors()
