"""The tools of every activity: the operator's catalogue and policy, given by the worker."""

from dataclasses import dataclass, field

from temporalio import activity
from temporalio.exceptions import ApplicationError

from airlock.activities.secrets import Secrets
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Mode
from airlock.plans.plan import Step
from airlock.plans.tool import Tool, ToolCall


@dataclass(frozen=True)
class Toolbox:
    """The operator's side of every activity. `index_key` keys the hashes of resource names; empty means no index."""

    catalogue: Catalogue
    policy: Policy
    index_key: str = field(default="", repr=False)

    def call(self, tool: Tool, plan_id: str, step: Step, mode: Mode, secrets: Secrets, undone: int = 0) -> ToolCall:
        """Return the call as its tool sees it."""
        return ToolCall(
            plan_id=plan_id,
            step_id=step.id,
            agent=step.agent,
            mode=mode,
            idempotency_key=names.idempotency_key(plan_id, step.id, undone),
            settings=self.catalogue.settings_of(tool),
            secret=secrets.resolve,
        )

    @staticmethod
    def require_plan(plan_id: str, *, undo: bool = False) -> None:
        """Refuse to act for anything but the run of that plan; with `undo`, that of its undo after the end will do too.

        Raises:
            ApplicationError: If the activity was started by something else, for example by hand.
        """
        info = activity.info()
        allowed = {names.plan_workflow_id(plan_id), *((names.undo_workflow_id(plan_id),) if undo else ())}
        if info.workflow_type != names.PLAN_WORKFLOW or info.workflow_id not in allowed:
            raise ApplicationError(
                f"this is not the run of plan {plan_id!r}: nothing was done", type="NotThePlan", non_retryable=True
            )

    def contract_now(self, step: Step) -> Contract:
        """Return the contract this worker has for a step today."""
        return self.catalogue.contract(step.tool, step.args)
