"""A workflow that stands for a plan which holds claims, in a module of its own: the sandbox imports all of it."""

from datetime import timedelta

from temporalio import activity, workflow


@activity.defn(name="call")
async def pretend(step: str) -> None: ...


@workflow.defn
class Holder:
    """Stands for a plan: stays open, begins the live call it is told to begin, continues as new when told to."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._begun: list[str] = []

    @workflow.run
    async def run(self) -> None:
        while True:
            await workflow.wait_condition(lambda: bool(self._told))
            what = self._told.pop(0)
            if what == "end":
                return
            if what == "again":
                workflow.continue_as_new()
            step, _, attempt = what.partition("#")
            await workflow.execute_activity(
                "call", step, activity_id=f"{step}:live" + (f":{attempt}" if attempt else ""),
                start_to_close_timeout=timedelta(seconds=120),
            )  # fmt: skip
            self._begun.append(what)

    @workflow.signal
    def tell(self, what: str) -> None:
        self._told.append(what)

    @workflow.query
    def begun(self) -> list[str]:
        return self._begun
