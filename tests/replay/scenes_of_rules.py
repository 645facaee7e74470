"""Scenes of rules with conditions: a step denied, one about which people of a role are asked, one allowed."""

from airlock.plans.state import State
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene, under
from tests.workflows.conftest import awaiting, step
from tests.workflows.protected import Place

RULES = {
    "roles": {"finance": ["finn", "fay"]},
    "rule": [
        {"id": "big", "when": "step.args.value > 1000", "then": 'ask(2, "finance")', "reason": "much"},
        {"id": "no-b", "when": "step.id == 'b' || step.args.value == 'put'", "then": "deny"},
        {"id": "small", "when": "step.args.value < 10", "then": "allow"},
    ],
}


@scene
async def ruled(where: Place, plan_id: str) -> Runs:
    """One of the two people is asked for, then the other; what is denied for certain, or perhaps, stays a dry run."""
    async with under(where, **RULES).working():
        handle = await submit(
            where.airlock,
            plan_id,
            step("a", "put", key="a", value=1),
            step("b", "put", key="b", value=2),
            step("much", "put", key="c", value=5000),
            step("unknown", "put", key="d", value={"$ref": "a.key"}),
        )
        digest = (await awaiting(handle)).digest
        for by in ("alice", "finn"):
            assert (await handle.decide("approve", by=by, digest=digest)).accepted
        assert (await handle.status()).state is State.AWAITING_APPROVAL
        assert (await handle.decide("approve", by="fay", digest=digest)).accepted
        await ended(handle, "partial")
    return {"ruled": handle.workflow}
