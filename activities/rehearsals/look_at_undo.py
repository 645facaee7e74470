"""DRY_RUN of an undo: the tools read the real systems and tell whether a call can still be undone."""

import asyncio
from typing import Any

from temporalio import activity

from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_defects import explain
from airlock.activities.functions.tool_functions import as_model, bind_real, tool_of
from airlock.activities.functions.tool_runs import run
from airlock.activities.heartbeat import run_to_completion
from airlock.activities.rehearsals.elsewhere import require_tools
from airlock.activities.rehearsals.rehearsal_tries import Stopped, could_not_look, repeated
from airlock.activities.stopped import stopped_early
from airlock.activities.toolbox import Toolbox
from airlock.base.canonical import require_bounded
from airlock.base.errors import AirlockError, RefError, ToolFailed
from airlock.base.text import MAX_OUTPUT_BYTES, shorten
from airlock.plans.contract import Mode
from airlock.plans.tool_call import Preview
from airlock.run.live.call_messages import MadeCall, UndoLookRequest, UndoLooks
from airlock.run.undo import UndoLook

_STOPPED = "stopped before every undo was looked at"
CONCURRENCY = 8
"""Undo checks at the same time in one activity."""


class UndoLookActivities:
    """The undo checks of a worker that needs no write credentials."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="look_at_undo")
    async def look_at_undo(self, request: UndoLookRequest) -> UndoLooks:
        """Ask the tools about every call. A tool without an undo check, or one that fails, returns `looked=False`."""
        self._toolbox.require_plan(request.plan_id, undo=True)
        require_tools(self._toolbox, request)
        stopped = asyncio.Event()
        return await run_to_completion(self._all(request, stopped), lambda: None, stopped.set)

    async def _all(self, request: UndoLookRequest, stopped: asyncio.Event) -> UndoLooks:
        looks: list[UndoLook] = []
        for start in range(0, len(request.calls), CONCURRENCY):
            if stopped.is_set():
                raise stopped_early(_STOPPED)
            group = request.calls[start : start + CONCURRENCY]
            try:
                looks += await asyncio.gather(*(self._one(made, stopped) for made in group))
            except Stopped:
                raise stopped_early(_STOPPED) from None
        return UndoLooks(looks=tuple(looks))

    async def _one(self, made: MadeCall, stopped: asyncio.Event) -> UndoLook:
        secrets, step = Secrets(), made.step.id
        during = f"plan {made.plan_id}, step {step}, undo check"
        try:
            tool = tool_of(self._toolbox.catalogue, made.contract)
        except ToolFailed as error:  # a worker of another generation tells nothing about the undo, which others can make
            return UndoLook(step=step, looked=False, error=str(error))
        try:
            function = tool.functions.get("undo_check")
            if function is None:
                return UndoLook(step=step, looked=False)
            args = as_model(tool, self._bound(made, secrets), complete=False)
            call = self._toolbox.call(tool, made.plan_id, made.step, Mode.DRY_RUN, secrets, made.undone)
            call.undo = secrets.restore(made.undo)
            said = await repeated(lambda: run(function, args, call, made.contract.timeout), stopped)
            if not isinstance(said, Preview):
                raise ToolFailed(f"the undo check of {tool.name} must return a Preview, it returned {type(said).__name__}")
            require_bounded(vars(said))
        except Stopped:
            raise
        except TimeoutError:
            return UndoLook(step=step, looked=False, error=f"the look took longer than {made.contract.timeout:g} s")
        except AirlockError as error:  # reported by the tool: the undo would fail
            # a target that did not answer in any try has said nothing about the undo
            return UndoLook(step=step, looked=not could_not_look(error), error=explain(error, secrets, during))
        except Exception as error:  # noqa: BLE001  # a defect of the check tells nothing about the undo
            return UndoLook(step=step, looked=False, error=explain(error, secrets, during))
        return UndoLook(step=step, looked=True, effect=shorten(str(secrets.redact(said.effect[:MAX_OUTPUT_BYTES]))))

    def _bound(self, made: MadeCall, secrets: Secrets) -> dict[str, Any]:
        try:
            return bind_real(self._toolbox, made.step, made.outputs, secrets, must_know=False).args
        except RefError:
            return dict(made.step.args)  # an output was discarded; the undo token suffices
