"""The tools of every activity: the operator's catalogue and policy, given by the worker."""

from dataclasses import dataclass, field

from temporalio import activity
from temporalio.exceptions import ApplicationError

from airlock.activities.secrets import Secrets
from airlock.admission.policy import Policy
from airlock.admission.secret_grants import secret_problems
from airlock.base import names
from airlock.base.errors import SecretRefused, ToolFailed
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Mode
from airlock.plans.plan import Step
from airlock.plans.refs import SECRET, markers
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

    def require_grants(self, step: Step) -> None:
        """Refuse each `$secret` of a step that this worker's own policy and contract do not allow.

        Raises:
            SecretRefused: With the first such `$secret`, and what the operator would have to allow.
        """
        contract = self.contract_now(step) if any(marker.kind == SECRET for marker in markers(step.args)) else None
        if contract and (problems := secret_problems((step,), {step.id: contract}, self.policy)):
            raise SecretRefused(str(problems[0]))

    def require_permissions(self, step: Step) -> None:
        """Refuse a step whose agent lacks a permission under this worker's own policy and contract.

        Raises:
            ToolFailed: With the permissions that are missing.
        """
        if missing := self.policy.missing_permissions(step.agent, self.contract_now(step)):
            raise ToolFailed(f"agent {step.agent!r} lacks permission {', '.join(missing)} on this worker")

    def contract_now(self, step: Step) -> Contract:
        """Return the contract this worker has for a step today."""
        return self.catalogue.contract(step.tool, step.args)
