"""The operator's catalogue and policy, which the worker gives to every activity."""

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
    """The operator's settings for all activities of a worker."""

    catalogue: Catalogue
    policy: Policy
    index_key: str = field(default="", repr=False)
    """The key of the hashes of resource names; without one, plans are not indexed by resource."""

    def call(self, tool: Tool, plan_id: str, step: Step, mode: Mode, secrets: Secrets, undone: int = 0) -> ToolCall:
        """Return the context of a call that its tool function gets."""
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
        """Refuse to act for any workflow but the plan's own; with `undo`, the workflow of its undo is accepted too.

        Raises:
            ApplicationError: If another workflow, or a client, started the activity.
        """
        info = activity.info()
        allowed = {names.plan_workflow_id(plan_id), *((names.undo_workflow_id(plan_id),) if undo else ())}
        if info.workflow_type != names.PLAN_WORKFLOW or info.workflow_id not in allowed:
            raise ApplicationError(
                f"this is not the run of plan {plan_id!r}: nothing was done", type="NotThePlan", non_retryable=True
            )

    def contract_now(self, step: Step) -> Contract:
        """Return the contract that this worker's catalogue has for a step now."""
        return self.catalogue.contract(step.tool, step.args)
