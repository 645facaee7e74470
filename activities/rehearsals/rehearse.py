"""MOCK: mocks of all steps of a plan in one activity, in dependency order."""

import asyncio
from functools import partial
from typing import Any

from temporalio import activity

from airlock.activities.calls.call_metrics import measure
from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_defects import explain
from airlock.activities.functions.tool_functions import as_model, bind_shown, checked_output, tool_of
from airlock.activities.functions.tool_runs import run
from airlock.activities.heartbeat import run_to_completion
from airlock.activities.options import MOCK_TIMEOUT
from airlock.activities.rehearsals.elsewhere import require_contracts
from airlock.activities.rehearsals.rehearsal_tries import Stopped, could_not_look, repeated
from airlock.activities.stopped import stopped_early
from airlock.activities.toolbox import Toolbox
from airlock.base.metrics import CallResult
from airlock.plans.contract import Contract, Mode
from airlock.plans.outcome import MockFailed
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN
from airlock.wire import RehearsalRequest, RehearseResult


class RehearseActivities:
    """The mocks of a worker that needs no credentials: a mock touches nothing outside the process."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="rehearse")
    async def rehearse(self, request: RehearsalRequest) -> RehearseResult:
        """Mock steps in the given order. Each step reads the mocked outputs of earlier steps.

        A mock that says that another try could succeed is tried again.

        Raises:
            ApplicationError: If this worker has other contracts than those of the plan, or was stopped before the last mock.
        """
        require_contracts(self._toolbox, request)
        stopped = asyncio.Event()
        return await run_to_completion(self.mock_all(request, stopped), lambda: None, stopped.set)

    async def mock_all(self, request: RehearsalRequest, stopped: asyncio.Event) -> RehearseResult:
        """Mock steps until all are mocked.

        Raises:
            ApplicationError: If the event is set before the last one.
        """
        outputs = dict(request.outputs)
        failures: list[MockFailed] = []
        for step in request.steps:
            if stopped.is_set():  # a partial result would let steps pass that were never mocked: the next attempt mocks all
                raise stopped_early("stopped before every step was mocked")
            contract = request.contracts[request.contract_of[step.id]]
            with measure(contract.tool, Mode.MOCK, step.id) as measurement:
                try:
                    mock = partial(self._mock, request.plan_id, step, contract, outputs)
                    outputs[step.id] = await repeated(mock, stopped)
                    measurement.result = CallResult.WORKED
                except Stopped:
                    raise stopped_early("stopped before every step was mocked") from None
                except Exception as error:  # noqa: BLE001  # any exception of a mock lowers the ceiling of its step
                    # a mock asks no target: one that takes too long is a defect of its own
                    unlooked = could_not_look(error) and not isinstance(error, TimeoutError)
                    text = explain(error, Secrets({}), f"plan {request.plan_id}, step {step.id}, mock")
                    failures.append(MockFailed(step=step.id, error=text, unlooked=unlooked))
                    measurement.result = CallResult.FAILED
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
