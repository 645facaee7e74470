"""A workflow that does one of two things, by what comes first: the answer of its activity, or an update."""

from datetime import timedelta

from temporalio import activity, workflow

QUEUE = "lamps"
LOOK = "look"
"""The id of its activity."""


@activity.defn
def look() -> None:
    """Answer when the test says so."""
    activity.raise_complete_async()


@workflow.defn
class LateLamp:
    def __init__(self) -> None:
        self._wanted = False

    @workflow.run
    async def run(self) -> str:
        await workflow.execute_activity(look, activity_id=LOOK, start_to_close_timeout=timedelta(hours=1))
        if self._wanted:
            await workflow.sleep(0.01)
            return "wanted before the answer"
        await workflow.wait_condition(lambda: self._wanted)
        workflow.upsert_memo({"wanted": "after the answer"})
        await workflow.sleep(0.01)
        return "wanted after the answer"

    @workflow.signal
    def noise(self) -> None:
        """Change nothing."""

    @workflow.update
    async def want(self) -> None:
        """Want the lamp."""
        self._wanted = True
