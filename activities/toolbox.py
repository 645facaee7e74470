"""The operator's catalogue and policy, which the worker gives to every activity."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from airlock.activities.functions.secrets import Secrets
from airlock.admission.policy import Policy
from airlock.admission.secret_grants import secret_problems
from airlock.base import names
from airlock.base.canonical import differences, digest
from airlock.base.errors import ContractError, SecretRefused, ToolFailed
from airlock.base.text import listed
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Mode
from airlock.plans.plan import Step
from airlock.plans.refs import SECRET, markers
from airlock.plans.shared import Shared
from airlock.plans.tool import Tool
from airlock.plans.tool_call import ToolCall

Finder = Callable[[Shared[Any]], Any]
"""Returns what a worker has opened for its calls."""


def _nothing_open(_tool: Tool, _secrets: Secrets) -> Finder:
    def find(wanted: Shared[Any]) -> Any:
        raise ContractError(f"{wanted.name} is not open here")

    return find


@dataclass(frozen=True)
class Toolbox:
    """The operator's settings for all activities of a worker."""

    catalogue: Catalogue
    policy: Policy
    index_key: str = field(default="", repr=False)
    """The key of the hashes of resource names; without one, plans are not indexed by resource."""
    live: bool = False
    """True if the same worker makes live calls: its secrets are those of the calls."""
    finder: Callable[[Tool, Secrets], Finder] = field(default=_nothing_open, repr=False)
    """Returns the function behind `ToolCall.shared` for one call of a tool; see `opened`."""

    @cached_property
    def setup(self) -> str:
        """The digest of all by which this worker admits plans: policy, contracts and the key of the index. 16 hex digits."""
        key = hmac.new(self.index_key.encode(), b"airlock setup", hashlib.sha256).hexdigest() if self.index_key else ""
        return digest([self.policy.digest(), self.catalogue.digest(), key])[:16]

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
            find_shared=self.finder(tool, secrets),
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

    @staticmethod
    def require_gate(gate: str) -> None:
        """Refuse to act for any workflow but that gate's own.

        Raises:
            ApplicationError: If another workflow, or a client, started the activity.
        """
        info = activity.info()
        if info.workflow_type != names.GATE_WORKFLOW or info.workflow_id != gate:
            raise ApplicationError(f"this is not the gate {gate!r}: nothing was done", type="NotTheGate", non_retryable=True)

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

    def other_contract(self, contract: Contract, step: Step, known: str) -> str:
        """Return the reason why another worker must act for a step; empty if this one has the contract of its plan.

        Args:
            contract: The contract with which the plan was admitted.
            step: The step with its canonical arguments.
            known: The contract of the plan, in words: `the one that was approved`.
        """
        tool = contract.tool
        if self.catalogue.get(tool) is None:
            return f"this worker's catalogue has no tool {tool!r}"
        try:
            here = self.contract_now(step)
        except Exception:  # noqa: BLE001  # the tool's author computes it; no call was made, and that must stay certain
            return f"{tool} has no contract for the arguments of step {step.id!r} on this worker"
        if here.digest() == contract.digest():
            return ""
        others = differences(contract.model_dump(mode="json"), here.model_dump(mode="json"))
        return f"the contract of {tool} on this worker is not {known}: it differs in {listed(others)}"

    def contract_now(self, step: Step) -> Contract:
        """Return the contract that this worker's catalogue has for a step now."""
        return self.catalogue.contract(step.tool, step.args)
