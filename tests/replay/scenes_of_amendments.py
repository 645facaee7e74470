"""Scenes of plans that are amended while they wait for approval, under the rules of epoch 7."""

from airlock.client import PlanHandle
from airlock.plans.state import State
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, asked_again, ended, scene, under
from tests.workflows.conftest import awaiting, signal, step, until
from tests.workflows.protected import Place
from tests.workflows.world import WORLD


@scene
async def amended(where: Place, plan_id: str) -> Runs:
    """The first vote counts on for what is not amended: by the requester, then by an approver and by signal."""
    async with under(where, approvals_required=2).working():
        handle = await submit(where.airlock, plan_id, *_steps())
        await _vote(handle, "alice")
        wrong = step("a", "put", ("c",), key="a", value=1)
        assert not (await handle.amend([wrong], by="rita", reason="a cycle")).accepted
        before = (await handle.status()).digest or ""
        assert (await handle.amend([step("c", "put", ("a", "b"), key="c", value=33)], by="rita", reason="typo")).accepted
        await asked_again(handle, before)
        await _vote(handle, "bob")
        before = (await handle.status()).digest or ""
        new = step("x", "put", key="x", value=4)
        await signal(handle, "amend", {"by": "bob", "reason": "one more", "steps": [new], "remove": ["d"]})
        await asked_again(handle, before)
        await _vote(handle, "alice")
        await _vote(handle, "carl")
        await ended(handle, "completed")
    assert WORLD.state[plan_id] == {"a": 1, "b": 2, "c": 33, "x": 4}
    return {"amended": handle.workflow}


@scene
async def amended_and_read_again(where: Place, plan_id: str) -> Runs:
    """A plan with reads before its preview is amended before it is sealed, and locked while it is rehearsed again."""
    WORLD.state[plan_id]["k"] = "seen"
    handle = await submit(where.airlock, plan_id, step("see", "look", key="k"), _copy("copy"))
    await signal(handle, "amend", {"by": "rita", "reason": "another name", "steps": [_copy("other")]})
    async with under(where, read_lane=True).working():
        await until(lambda: _is_amended(handle))
        before = (await handle.status()).digest or ""
        where.holding.hold("rehearse")
        assert (await handle.amend([_copy("third")], by="rita", reason="a third name")).accepted
        await where.holding.begun("rehearse")
        assert (await handle.decide("lock", by="olga", reason="a look")).accepted
        where.holding.let_go("rehearse")
        assert (await handle.decide("unlock", by="olga", reason="looked")).accepted
        await asked_again(handle, before)
        await _vote(handle, "alice")
        await ended(handle, "completed")
    assert WORLD.state[plan_id]["third"] == "seen"
    return {"amended-and-read-again": handle.workflow}


def _steps() -> tuple[dict[str, object], ...]:
    return (
        step("a", "put", key="a", value=1),
        step("b", "put", key="b", value=2),
        step("c", "put", ("a", "b"), key="c", value=3),
        step("d", "put", key="d", value=4),
    )


def _copy(key: str) -> dict[str, object]:
    return step("set", "put", key=key, value={"$ref": "see.found"})


async def _vote(handle: PlanHandle, by: str) -> None:
    verdict = await handle.decide("approve", by=by, digest=(await awaiting(handle)).digest)
    assert verdict.accepted, verdict


async def _is_amended(handle: PlanHandle) -> bool:
    status = await handle.status()
    sealed = (await handle.preview()).sealed if status.state is State.AWAITING_APPROVAL else None
    return sealed is not None and sealed.amended is not None
