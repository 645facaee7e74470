"""The gauges, looked up on a real server; set on a meter that writes down what it is told."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.common import MetricMeter

from airlock.base.metrics import METRICS, Kind
from airlock.client import Airlock
from airlock.client.errors import NoAnswer
from airlock.client.gate_status import GateNow
from airlock.client.live_gate import LiveGate
from airlock.temporal.telemetry import metrics_address
from airlock.worker import sampler
from airlock.worker.sampler import Sampler
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.world import WORLD

Key = tuple[str, frozenset[tuple[str, str]]]


class Meter:
    """Of a `MetricMeter` what the sampler uses."""

    def __init__(self) -> None:
        self.values: dict[Key, float] = {}

    def create_gauge_float(self, name: str, _text: str) -> Any:
        meter = self

        class Gauge:
            def set(self, value: float, labels: dict[str, str]) -> None:
                meter.values[name, frozenset(labels.items())] = value

        return Gauge()

    def value(self, name: str, **labels: str) -> float | None:
        return self.values.get((name, frozenset(labels.items())))


@pytest.fixture
async def world(airlock_with) -> tuple[Airlock, Meter, Sampler]:
    airlock = await airlock_with()
    meter = Meter()
    return airlock, meter, Sampler(airlock.client, meter)  # type: ignore[arg-type]  # as much of it as it uses


def test_the_meter_here_is_called_as_the_real_one_is():
    real = MetricMeter.noop.create_gauge_float("name", "text")
    real.set(1.0, {"label": "value"})


async def test_the_one_that_waits_longest_is_found_beyond_the_first_page(world, plan, monkeypatch):
    airlock, meter, sampling = world
    monkeypatch.setattr(sampler, "_PAGE", 1)  # visibility gives the latest first
    handles = [await airlock.submit(plan(step("one", "put", key="a"))) for _ in range(3)]
    since = []
    for handle in handles:
        since.append((await awaiting(handle)).since)

    async def all_seen() -> bool:
        await sampling.sample(health=False)
        return meter.value("airlock_approvals_waiting") == 3

    await until(all_seen)
    age = meter.value("airlock_approval_oldest_seconds")
    now = (datetime.now(UTC) - min(since)).total_seconds()
    assert age is not None
    assert 0 < now - age < 5, "of the first, up to the time since it was looked up"
    assert age > (datetime.now(UTC) - max(since)).total_seconds() - 5
    for handle in handles:
        assert (await handle.decide("abort", by="rita", reason="enough")).accepted
        await handle.result()

    async def none_seen() -> bool:
        await sampling.sample(health=False)
        return meter.value("airlock_approvals_waiting") == 0

    await until(none_seen)
    assert meter.value("airlock_approval_oldest_seconds") == 0


async def test_gates_show_who_is_in_who_waits_and_what_is_locked(world, plan):
    airlock, meter, sampling = world
    one, two = plan(step("one", "share", key="x")), plan(step("one", "share", key="x"))
    held = WORLD.hold(one["plan_id"], "one")
    first = await airlock.submit(one)
    await first.decide("approve", by="alice", digest=(await awaiting(first)).digest)
    await until(lambda: (one["plan_id"], "one") in WORLD.running)
    second = await airlock.submit(two)
    await second.decide("approve", by="alice", digest=(await awaiting(second)).digest)

    async def queued() -> bool:
        await sampling.sample(health=False)
        return meter.value("airlock_gate_waiting", gate="gate-resource") == 1

    await until(queued)
    assert meter.value("airlock_gate_used", gate="gate-resource") == 1
    assert (meter.value("airlock_gate_used", gate="gate-live") or 0) >= 1
    verdict = await LiveGate(airlock.client).lock("olga", "look into it")
    assert verdict.accepted
    await sampling.sample(health=False)
    assert meter.value("airlock_gate_locks", gate="gate-live") == 1
    assert (await LiveGate(airlock.client).unlock("olga", "seen")).accepted
    held.set()
    for handle in (first, second):
        await handle.decide("abort", by="rita", reason="enough")


async def test_a_gate_at_rest_goes_to_zero(world, monkeypatch):
    _, meter, sampling = world
    gates = [{"gate-tool-put": GateNow(waiting=2, used=1, capacity=1)}, {}]

    async def told(_client: Any) -> dict[str, GateNow]:
        return gates.pop(0)

    monkeypatch.setattr(sampler, "gates_now", told)
    await sampling.sample(health=False)
    assert meter.value("airlock_gate_waiting", gate="gate-tool-put") == 2
    await sampling.sample(health=False)
    assert [meter.value(name, gate="gate-tool-put") for name in ("airlock_gate_waiting", "airlock_gate_capacity")] == [0, 0]


async def test_what_cannot_be_looked_up_keeps_its_age_is_said_once_and_stops_nothing_else(world, monkeypatch, caplog):
    _, meter, sampling = world
    await sampling.sample()
    before = meter.value("airlock_sampled_at_seconds", what="gates")
    plans = meter.value("airlock_sampled_at_seconds", what="plans")

    async def silent(_client: Any) -> dict[str, GateNow]:
        raise NoAnswer("gate-live cannot be read: nobody is there")

    monkeypatch.setattr(sampler, "gates_now", silent)
    with caplog.at_level(logging.WARNING):
        await sampling.sample()
        await sampling.sample()
    assert meter.value("airlock_sampled_at_seconds", what="gates") == before
    assert (meter.value("airlock_sampled_at_seconds", what="plans") or 0) > (plans or 0)
    said = [record.getMessage() for record in caplog.records if record.name == "airlock.worker.sampler"]
    assert said == ["the gauges of gates cannot be looked up: gate-live cannot be read: nobody is there"]


async def test_it_sets_exactly_the_gauges_there_are(world):
    _, meter, sampling = world
    await sampling.sample()
    by_name = {name: {label for label, _ in labels} for name, labels in meter.values}
    gauges = {metric.name: set(metric.labels) for metric in METRICS if metric.kind is Kind.GAUGE}
    assert {**gauges, **by_name} == gauges
    assert set(by_name) >= {name for name in gauges if not name.startswith("airlock_gate_")}


@pytest.mark.parametrize("text", ["127.0.0.1:9464", "[::1]:9464", "0.0.0.0:1", "127.0.0.1:65535"])
def test_addresses_to_listen_on(text):
    assert metrics_address(text) == text
    assert metrics_address("localhost:9464") == "127.0.0.1:9464"


@pytest.mark.parametrize("text", ["9464", ":9464", "prometheus:9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "x:y"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"is not an address to listen on; one is 127\.0\.0\.1:9464"):
        metrics_address(text)
