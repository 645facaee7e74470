"""The metrics of a real worker process, compared with the tools' own journal."""

import re
from collections import Counter
from typing import Any

import httpx

from airlock.base.metrics import CALL_DURATION, METRICS
from airlock.plans.state import State
from tests.deploy.queries import names_of_temporal
from tests.processes.harness import Scene, free_port, until
from tests.processes.registry import Stage, scenario

SCORE = 68.0
"""3 of 4 calls worked, 1 of 2 plans was rolled back, 0.95 was stated: 30·0.75 + 15·0.5 + 15·1 + 10·(1-0.2) + 30·0.5."""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


async def scrape(address: str) -> Samples:
    """Return every sample that a worker serves, without the labels that Temporal's SDK adds."""
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://{address}/metrics")).text
    found: Samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            sample = _SAMPLE.match(line)
            assert sample, line
            labels = dict(_LABEL.findall(sample["labels"] or ""))
            ours = {label for metric in METRICS for label in metric.labels} | {"le", "worker_type"}
            kept = frozenset((name, value) for name, value in labels.items() if name in ours)
            again = (sample["name"], kept) in found
            assert not (again and sample["name"].startswith("airlock_")), f"in two series: {line}"
            found[sample["name"], kept] = found.get((sample["name"], kept), 0.0) + float(sample["value"])
    return found


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def lines(scene: Scene, plan_id: str, *steps: str) -> dict[str, Any]:
    return {
        "plan_id": plan_id, "goal": "write lines", "requested_by": "rita",
        "steps": [
            {
                "id": step, "agent": "ops", "tool": "append_line", "confidence": 0.95,
                "after": [steps[number - 1]] if number else [], "args": {"path": str(scene.folder / plan_id), "text": step},
            }
            for number, step in enumerate(steps)
        ],
    }  # fmt: skip


@scenario
async def metrics_say_what_happened(stage: Stage) -> None:
    """One plan completes, one fails and is rolled back, one waits for approval: the numbers are those, and no others."""
    scene = stage.scene()
    address = f"127.0.0.1:{free_port()}"
    worker = scene.launch("all", "--metrics-address", address, "--metrics-every", "1")
    await worker.says("airlock worker ready")
    await _run_plans(scene)

    expected = _gauges()

    async def looked_up() -> Samples | None:
        samples = await scrape(address)
        oldest = value(samples, "airlock_approval_oldest_seconds") or 0.0
        return samples if expected.items() <= samples.items() and oldest >= 1.0 else None

    samples = await until(looked_up, f"the gauges do not come to be {expected}")
    calls = Counter[tuple[str, str]]()
    for (name, labels), number in samples.items():
        if name == "airlock_calls_total" and number:
            at = dict(labels)
            assert at["tool"] == "append_line", at
            calls[at["mode"], at["outcome"]] += int(number)
    assert calls == {
        ("MOCK", "worked"): 6,
        ("DRY_RUN", "worked"): 6,
        ("LIVE", "worked"): 3,
        ("LIVE", "failed"): 1,
        ("ROLLBACK", "worked"): 1,
    }
    zero = value(samples, "airlock_calls_total", tool="append_line", mode="LIVE", outcome="in_doubt")
    assert zero == 0  # and not missing: what appears with a 1 has not increased, as Prometheus sees it
    for mode, number in (("MOCK", 6), ("DRY_RUN", 6), ("LIVE", 4), ("ROLLBACK", 1)):
        assert value(samples, f"{CALL_DURATION.served}_count", tool="append_line", mode=mode) == number
    taken = value(samples, f"{CALL_DURATION.served}_sum", tool="append_line", mode="LIVE")
    assert taken is not None
    assert 0.0 < taken < 60.0
    assert value(samples, f"{CALL_DURATION.served}_bucket", tool="append_line", mode="LIVE", le="1800") == 4
    assert value(samples, "airlock_plans_ended_total", outcome="completed") == 1
    assert value(samples, "airlock_plans_ended_total", outcome="aborted") == 1
    assert (value(samples, "airlock_gate_capacity", gate="gate-live") or 0) >= 1
    served = {name for name, _ in samples}
    assert all(set(metric.series) <= served for metric in METRICS), sorted(served)
    assert names_of_temporal() <= served
    assert value(samples, "temporal_worker_task_slots_available", worker_type="ActivityWorker")


def _gauges() -> Samples:
    """Check that the gauges come to this: one plan waits, no plan is at the gate, two plans ended."""
    wanted = {
        "airlock_approvals_waiting": ({}, 1.0),
        "airlock_health_score": ({"window": "hour"}, SCORE),
        "airlock_anomalies": ({"kind": "high_rollback"}, 0.0),  # two plans are no sample
        "airlock_gate_used": ({"gate": "gate-live"}, 0.0),
        "airlock_gate_waiting": ({"gate": "gate-live"}, 0.0),
        "airlock_gate_locks": ({"gate": "gate-live"}, 0.0),
    }
    gauges = {(name, frozenset(labels.items())): number for name, (labels, number) in wanted.items()}
    for state in State:
        if not state.closed:
            gauges["airlock_plans", frozenset({("state", state.value)})] = float(state is State.AWAITING_APPROVAL)
    return gauges


async def _run_plans(scene: Scene) -> None:
    scene.fail("fails", "two")
    good = await scene.submit(lines(scene, "good", "one", "two"))
    fails = await scene.submit(lines(scene, "fails", "one", "two"))
    waits = await scene.submit(lines(scene, "waits", "one", "two"))
    for handle in (good, fails):
        await scene.approve(handle)
    assert (await scene.result(good)).outcome == "completed"
    assert (await scene.result(fails)).undone == ("one",)
    await scene.status(waits, State.AWAITING_APPROVAL)


@scenario
async def metrics_where_somebody_listens_already(stage: Stage) -> None:
    """A worker that cannot serve its metrics says so and does not start."""
    scene = stage.scene()
    worker = scene.launch("all", "--metrics-address", scene.server.address)
    assert await worker.code() == 1
    assert f"--metrics-address: {scene.server.address}: Failed starting Prometheus exporter" in worker.said()
