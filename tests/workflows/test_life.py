"""The life of a plan on a real Temporal server: effects are asserted in the world, not in calls."""

from tests.workflows.conftest import approved, step
from tests.workflows.world import WORLD


async def test_completed(airlock, plan):
    document = plan(
        step("find", "look", key="a"),
        step("one", "put", ("find",), key="a", value=1),
        step("two", "put", ("find",), key="b", value={"$ref": "one.step"}),
        step("mail", "send", to="jo@acme.test"),
    )
    handle = await airlock.submit(document)
    await approved(handle)
    result = await handle.result()
    assert result.outcome == "completed", result
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": "one", "sent": ["jo@acme.test"]}
    assert WORLD.log[-1] == ("live", handle.plan_id, "mail")
