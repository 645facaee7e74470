"""Messages that take long to read, several of them in one workflow task: the plan refuses them and goes on."""

from typing import Any

import pytest

from airlock.admission.policy import Policy
from airlock.base import names
from airlock.client.live_gate import LiveGate
from airlock.temporal.live_gate import start_live_gate
from tests.workflows.conftest import awaiting, namespace, step, until, working

MANY = [[]] * 60_000
LISTS = [{"id": f"s{n}", "agent": "a", "tool": "put", "args": {"k": list(range(60))}, "confidence": 0.9} for n in range(900)]
TIMES = 60
HEAVY: dict[str, Any] = {
    "resolve": {"by": "mallory", "reason": "r", "step": "a", "outcome": "happened", "output": MANY},
    "amend": {"by": "mallory", "reason": "r", "steps": LISTS},
    "lock": {str(number): number for number in range(20_000)},
}


@pytest.mark.parametrize("name", HEAVY)
async def test_a_plan_goes_on_after_many_heavy_messages_at_once(dev_server: Any, plan: Any, name: str) -> None:
    own = await namespace(dev_server.client, f"heavy{name}")
    async with working(own) as airlock:
        handle = await airlock.submit(plan(step("a", "put", key="k")))
        await awaiting(handle)
    for _ in range(TIMES):  # no worker runs while they are sent, so that they come in one workflow task
        await handle.workflow.signal(name, HEAVY[name])
    async with working(own):
        status = await until(lambda: handle.status())
        assert status.refused >= TIMES - 4
        assert (await handle.decide("deny", by="alice", reason="enough")).accepted
        assert (await handle.status()).outcome == "denied"


async def test_the_live_gate_answers_after_releases_of_thousands_of_wrong_names(dev_server: Any) -> None:
    own = await namespace(dev_server.client, "heavygate")
    await start_live_gate(own, Policy())
    gate = own.get_workflow_handle(names.LIVE_GATE)
    for _ in range(5):
        await gate.signal("release", {"holder": "h", "request": "r", "doubts": [1] * 60_000})
    async with working(own):
        assert (await LiveGate(own).lock(by="op", reason="stop")).accepted
        assert [lock.reason for lock in (await LiveGate(own).status()).locks] == ["stop"]
