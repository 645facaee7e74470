"""Separate processes for separate roles: the secret is in one of them, and nowhere else."""

import base64
import json
from typing import Any

from temporalio.api.common.v1 import Payload

from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.temporal.connection import DATA_CONVERTER
from tests.processes.harness import READY, Scene
from tests.processes.registry import Stage, scenario

SECRET = "v3ry-secret-value-of-the-vault"
ROLES = ("orchestrate", "rehearse", "live")


def told(plan_id: str, *steps: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a plan of `open_vault` calls that use the secret, one after the other."""
    return {
        "plan_id": plan_id, "goal": "use a secret", "requested_by": "rita",
        "steps": [
            {
                "id": step, "agent": "ops", "tool": "open_vault", "confidence": 0.95, "after": [steps[0][0]] if n else [],
                "args": {"password": {"$secret": "vault-password"}, **args},
            }
            for n, (step, args) in enumerate(steps)
        ],
    }  # fmt: skip


@scenario
async def secret_only_in_the_live_worker(stage: Stage) -> None:
    """A tool that needs it gets it; what it says with the secret in it is kept without."""
    scene = stage.scene()
    workers = {role: scene.launch(role, **secret_of(role)) for role in ROLES}
    for worker in workers.values():
        await worker.says(READY)
    folder = scene.folder / "vault"
    folder.mkdir()
    echoed = await scene.submit(told("echoed", ("open", {"file": str(folder / "echoed"), "say": "output"})))
    failed = await scene.submit(
        told("failed", ("open", {"file": str(folder / "failed"), "say": "undo"}), ("shut", {"say": "error"}))
    )
    for handle in (echoed, failed):
        await scene.approve(handle)
    result = await scene.result(echoed)
    assert result.outcome == "completed", result
    assert result.outputs["open"] == {"said": "the password is (secret vault-password)"}
    assert (folder / "echoed").read_text() == SECRET  # the tool did get it
    result = await scene.result(failed)
    assert result.outcome == "aborted", result
    assert result.why == "step 'shut' failed: the vault does not take (secret vault-password)"
    assert result.undone == ("open",)
    assert not (folder / "failed").exists()
    assert scene.times("failed", "open", "undo_before") == 2  # the first one failed, with the secret in its error
    made_by = {(line["moment"].split("_")[0], line["pid"]) for line in scene.log()}
    rehearse, live = workers["rehearse"].pid, workers["live"].pid
    assert made_by == {("mock", rehearse), ("live", live), ("undo", live)}
    await nowhere(scene, echoed, failed)


def secret_of(role: str) -> dict[str, str]:
    return {"AIRLOCK_SECRET_VAULT_PASSWORD": SECRET} if role == "live" else {}


async def nowhere(scene: Scene, *plans: PlanHandle) -> None:
    """The secret's value is in no history, no answer, no log and no byte of the server's database."""
    for plan in plans:
        text = "\n".join(await decoded(json.loads((await plan.workflow.fetch_history()).to_json())))
        assert "(secret vault-password)" in text  # it is decoded indeed
        assert SECRET not in text
        answers = (await plan.status(), await plan.preview(), await plan.audit(), await plan.result(), await plan.facts())
        for answer in answers:
            assert SECRET not in answer.model_dump_json()
    for worker in scene.workers:
        assert SECRET not in worker.said(), worker.log
    for path in scene.server.database.parent.iterdir():
        assert SECRET.encode() not in path.read_bytes(), path


async def decoded(value: Any) -> list[str]:
    """Return every text in a history's JSON, payloads decompressed and decoded."""
    if isinstance(value, dict) and set(value) >= {"metadata", "data"}:
        metadata = {name: base64.b64decode(text) for name, text in value["metadata"].items()}
        payload = Payload(metadata=metadata, data=base64.b64decode(value["data"]))
        codec = DATA_CONVERTER.payload_codec
        assert codec is not None
        return [each.data.decode(errors="replace") for each in await codec.decode([payload])]
    if isinstance(value, dict):
        return [str(key) for key in value] + [text for child in value.values() for text in await decoded(child)]
    if isinstance(value, list):
        return [text for child in value for text in await decoded(child)]
    return [str(value)]


@scenario
async def without_a_live_worker(stage: Stage) -> None:
    """A plan is rehearsed and approved, and waits for the worker that may make its calls."""
    scene = stage.scene()
    for role in ("orchestrate", "rehearse"):
        await scene.worker(role)
    target = scene.folder / "opened"
    plan = await scene.submit(told("waiting", ("open", {"file": str(target), "say": "output"})))
    await scene.approve(plan)
    await scene.status(plan, State.LIVE)
    assert not target.exists()
    await scene.worker("live", **secret_of("live"))
    assert (await scene.result(plan)).outcome == "completed"
