"""Records the histories that `test_proof_replay.py` replays: runs whose workers have keys, one of them under attack.

python -m tests.replay.record_proved
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from airlock.base import names
from airlock.client import PlanHandle
from airlock.plans.state import State
from tests import running
from tests.replay.record import IDENTITY, written
from tests.workflows.attacker import plain
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.protected import Place, keyring, place
from tests.workflows.world import WORLD

HISTORIES = Path(__file__).parent / "histories_with_keys"
NAMESPACE = "proved"
KEYS = keyring("k")
"""The keys these histories were recorded with. They protect nothing else."""


async def completed(where: Place) -> PlanHandle:
    """Two steps, approved and made."""
    first, second = step("a", "put", key="a", value=1), step("b", "put", ("a",), key="b")
    handle = await where.airlock.submit(_plan("completed", first, second))
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    return handle


async def forged(where: Place) -> PlanHandle:
    """An attacker answers admission and the call; the plan parks and is settled."""
    where.holding.hold("admit", "call")
    handle = await where.airlock.submit(_plan("forged", step("a", "once", key="a", value=1)))
    await where.answered_for("admit", plain({"admitted": None, "problems": []}))
    await approved(handle)
    lie = {"attempts": [{"kind": "live", "step": "a", "output": {"key": "k", "step": "a"}}]}
    await where.answered_for("call", plain(lie))
    status = await handle.wait_for(State.LOCKED)
    assert status.parked == ("a",)
    assert (await handle.decide("resolve", by="op", step="a", outcome="did_not_happen", reason="it is not there")).accepted
    assert (await handle.result()).outcome == "aborted"
    return handle


async def rehearsed_twice(where: Place) -> PlanHandle:
    """A stale call: the same activities are asked again under the same ids."""
    document = _plan("rehearsed-twice", step("a", "put", key="a", value=1))
    handle = await where.airlock.submit(document)
    first = await awaiting(handle)
    WORLD.state[document["plan_id"]]["a"] = "moved"
    await approved(handle)

    async def anew() -> Any:
        status = await handle.status()
        return status.state is State.AWAITING_APPROVAL and status.digest != first.digest

    await until(anew)
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    return handle


SCENARIOS: dict[str, Callable[[Place], Awaitable[PlanHandle]]] = {
    "completed": completed, "forged": forged, "rehearsed-twice": rehearsed_twice,
}  # fmt: skip


def _plan(name: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"plan_id": f"proved-{name}", "goal": "test", "requested_by": "rita", "steps": list(steps)}


async def main() -> None:
    files: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with running.dev_server(Path(folder)) as env:
            where = await place(env.client, NAMESPACE, KEYS, identity=IDENTITY)
            async with where.working():
                for name, play in SCENARIOS.items():
                    handle = await play(where)
                    files |= await written(where.airlock.client, handle.workflow, name)
                gate = where.airlock.client.get_workflow_handle(names.LIVE_GATE)
                files |= await written(where.airlock.client, gate, "gate-live")
    HISTORIES.mkdir(exist_ok=True)
    for file, text in sorted(files.items()):
        (HISTORIES / file).write_text(text, encoding="utf-8")
    print(f"{len(files)} histories in {HISTORIES.name}")


if __name__ == "__main__":
    asyncio.run(main())
