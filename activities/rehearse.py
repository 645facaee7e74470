"""MOCK: every step of a plan is mocked in one activity, in dependency order."""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from airlock.activities.heartbeat import to_its_end
from airlock.activities.invoke import as_model, bind_shown, checked_output, describe, run, tool_of
from airlock.activities.metered import measured
from airlock.activities.options import MOCK_TIMEOUT
from airlock.activities.secrets import Secrets
from airlock.activities.toolbox import Toolbox
from airlock.base.metrics import CallResult
from airlock.base.text import shorten
from airlock.plans.contract import Contract, Mode
from airlock.plans.outcome import MockFailed
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN
from airlock.wire import RehearsalRequest, RehearseResult


class RehearseActivities:
    """Needs no credentials: a mock touches nothing outside the process."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="rehearse")
    async def rehearse(self, request: RehearsalRequest) -> RehearseResult:
        """Mock steps in the order given; each sees the mocked outputs of those before it."""
        stopped: list[bool] = []
        return await to_its_end(self._mock_all(request, stopped), lambda: None, lambda: stopped.append(True))

    async def _mock_all(self, request: RehearsalRequest, stopped: list[bool]) -> RehearseResult:
        outputs = dict(request.outputs)
        failures: list[MockFailed] = []
        for step in request.steps:
            if stopped:  # what was not mocked must not pass for mocked: the next attempt does it
                raise ApplicationError("stopped before every step was mocked", type="Stopped")
            contract = request.contracts[request.contract_of[step.id]]
            with measured(contract.tool, Mode.MOCK, step.id) as measure:
                try:
                    outputs[step.id] = await self._mock(request.plan_id, step, contract, outputs)
                    measure.result = CallResult.WORKED
                except Exception as error:  # noqa: BLE001  # whatever a mock raises lowers the ceiling of its step
                    failures.append(MockFailed(step=step.id, error=shorten(describe(error, Secrets({})))))
                    measure.result = CallResult.FAILED
        return RehearseResult(failures=tuple(failures))

    async def _mock(self, plan_id: str, step: Step, contract: Contract, outputs: dict[str, Any]) -> Any:
        tool = tool_of(self._toolbox.catalogue, contract)
        self._toolbox.require_grants(step)  # an agent without a permission may mock: a mock touches nothing
        bound = bind_shown(step.args, outputs)
        function = tool.functions.get("mock")
        if function is None:
            return UNKNOWN
        complete = not bound.unknown and not step.parents
        args = as_model(tool, bound.args, complete=complete)
        call = self._toolbox.call(tool, plan_id, step, Mode.MOCK, Secrets({}))
        return checked_output(tool, await run(function, args, call, MOCK_TIMEOUT))
