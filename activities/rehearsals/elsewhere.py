"""Rehearsals that another worker must carry out: while a deployment rolls, workers of two generations share the queue."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from airlock.activities.toolbox import Toolbox
from airlock.base.text import shorten
from airlock.plans.plan import Step
from airlock.run.handed_back import ELSEWHERE, SINCE_EPOCH
from airlock.run.live.call_messages import UndoLookRequest
from airlock.wire import RehearsalRequest


def require_contracts(toolbox: Toolbox, request: RehearsalRequest) -> None:
    """Hand mocks or dry runs back that this worker would make under other contracts than those of the plan.

    All are looked at before the first is made: another worker begins with the first one again.

    Raises:
        ApplicationError: For a worker that has these contracts; Temporal does not retry it, the workflow asks again.
    """
    if request.epoch < SINCE_EPOCH:  # the workflow of an earlier plan takes nothing back
        return
    compared: set[tuple[str, str]] = set()
    for step in request.steps:
        key = (request.contract_of[step.id], step.tool)
        tool = toolbox.catalogue.get(step.tool)
        if key in compared and not (tool and tool.has_variant):  # a large plan has thousands of steps and few contracts
            continue
        compared.add(key)
        contract = request.contracts[request.contract_of[step.id]]
        if why := toolbox.other_contract(contract, step, "the one that the plan was admitted with"):
            raise _handed_back(step, why)


def require_tools(toolbox: Toolbox, request: UndoLookRequest) -> None:
    """Hand the undo checks of tools back that this worker lacks: an undo needs the tool, not its contract.

    Raises:
        ApplicationError: For a worker that has them; Temporal does not retry it, the workflow asks again.
    """
    for made in request.calls if request.hand_back else ():
        if toolbox.catalogue.get(made.contract.tool) is None:
            raise _handed_back(made.step, f"this worker's catalogue has no tool {made.contract.tool!r}")


def _handed_back(step: Step, why: str) -> ApplicationError:
    activity.logger.warning("handed back the rehearsal of step %s: %s", step.id, why)
    return ApplicationError(shorten(f"step {step.id!r}: {why}"), type=ELSEWHERE, non_retryable=True)
