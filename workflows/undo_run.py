"""The undo of a plan after its end: read the live calls, preview and seal their undo, then roll back."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from airlock.plans.state import Event, State
    from airlock.run.call_record import CallStatus
    from airlock.run.decisions.undo_request import judge_request
    from airlock.run.handed_back import SINCE_EPOCH, UNDO_PATIENCE
    from airlock.run.live.call_messages import UndoLookRequest, UndoLooks
    from airlock.run.live.load import portions, weight
    from airlock.run.live.recovery import begin_undo, steps_left
    from airlock.run.presentation.undo_preview import seal_undo
    from airlock.run.state import Run
    from airlock.run.undo import UndoLook
    from airlock.wire import RecoverRequest
    from airlock.workflows import commands
    from airlock.workflows.answers import HandedBackError, abort, answered_or_aborted, apart
    from airlock.workflows.asking_again import answered_by_its_generation
    from airlock.workflows.calls.call_requests import made_call
    from airlock.workflows.timers import wait_until

LOOKS_AT_ONCE = 200
"""The number of undos that one activity looks at, so that its answer fits a payload."""


class UndoRun:
    """The MOCK, DRY_RUN or LIVE stage of an undo. It ends when the run has left that state.

    Args:
        run: The run of the undo.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._moves = run.moves

    async def run(self) -> None:
        """Run the stage: MOCK recovers the ended run, DRY_RUN previews the undo, LIVE begins the approved rollback."""
        match self._run.state:
            case State.MOCK:
                await self._recover()
            case State.DRY_RUN:
                await self._preview()
            case _:
                asked = self._run.undoing
                assert asked is not None
                self._run.apply(Event.ROLLBACK, workflow.now(), by=asked.by, reason=asked.reason)

    async def _recover(self) -> None:
        run, asked = self._run, self._run.undoing
        assert asked is not None
        if not asked.recovered:
            request = RecoverRequest(plan_id=run.plan.plan_id, previous=asked.previous, signed=asked.evidence is not None)
            found = await answered_or_aborted(run, lambda: commands.recover(request, apart(run)))
            if found is None:
                return
            if found.run is None:
                abort(run, found.refused)
                return
            if nothing := begin_undo(run, found.run, found.quiet_at):
                abort(run, nothing)
                return
            if refused := judge_request(run, found.ended, workflow.now()):
                abort(run, refused)
                return
        await self._wait_until_quiet()
        if run.moves == self._moves:
            run.apply(Event.REHEARSED, workflow.now(), reason="the live calls of the ended plan are known")

    async def _preview(self) -> None:
        run = self._run
        undoable = [
            step
            for step in steps_left(run)
            if run.calls[step].status is not CallStatus.IN_DOUBT and run.contracts().contract(step).undoable
        ]
        looks: list[UndoLook] = []
        weighed = run.contracts().epoch >= 1
        start = 0
        for steps in portions(((step, self._weight(step) if weighed else 0) for step in undoable), LOOKS_AT_ONCE):
            request = UndoLookRequest(plan_id=run.plan.plan_id, calls=tuple(made_call(run, step) for step in steps))
            looked = await self._look(request, start)
            start += len(steps)
            if looked is None:
                return
            looks += looked.looks
        seal_undo(run, looks, workflow.now())
        run.apply(Event.PREVIEWED, workflow.now(), reason="the undo was previewed and sealed")

    async def _look(self, request: UndoLookRequest, start: int) -> UndoLooks | None:
        """Ask the tools; a worker that lacks one is at last told to say what it could not look at."""
        run = self._run
        asked = request.model_copy(update={"hand_back": True}) if run.contracts().epoch >= SINCE_EPOCH else request
        try:
            return await answered_by_its_generation(
                run, lambda: commands.look_at_undo(asked, start, apart(run)), UNDO_PATIENCE
            )
        except HandedBackError:
            return await answered_or_aborted(run, lambda: commands.look_at_undo(request, start, apart(run)))

    def _weight(self, step: str) -> int:
        return weight(made_call(self._run, step))

    async def _wait_until_quiet(self) -> None:
        """Wait until no call of the ended run can still be in flight, or until this run is stopped.

        Earlier, an undo check could miss the effect of such a call.
        """
        quiet_at = self._run.undoing.quiet_at if self._run.undoing else None
        if quiet_at is not None and quiet_at > workflow.now():
            await wait_until(quiet_at, "until calls in flight have ended", lambda: self._run.moves != self._moves)
