"""The messages between the plan workflow and its activities: one object in, one out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import Field

from airlock.admission.admitted import Admission
from airlock.admission.policy import Policy
from airlock.base.model import WireModel, WorkerMessage, is_empty
from airlock.monitoring.outbox import Outbox
from airlock.plans.contract import Contract
from airlock.plans.outcome import MockFailed, PreviewOutcome
from airlock.plans.own_steps import Left
from airlock.plans.plan import Plan, Step
from airlock.plans.refs import referenced_steps
from airlock.run.messages import Approve
from airlock.run.state import Run
from airlock.run.undo import EndedPlan, Undoing


class PlanStart(WireModel, WorkerMessage):
    """The input of a PlanWorkflow: a plan, or the run that a continue-as-new carries on."""

    plan: Plan | None = None
    run: Run | None = None
    undo: Undoing | None = None
    """Set to undo `plan`, which has ended, under the workflow id `undo-<plan_id>`."""
    outbox: Outbox | None = None
    """The outbox that a continue-as-new carries on together with `run`."""


class AdmitRequest(WireModel, WorkerMessage):
    """A plan to judge by the operator's catalogue and policy."""

    plan: Plan


class PolicyRequest(WireModel, WorkerMessage):
    """The plan, or the gate, that a person decides about, which today's policy has rules for."""

    plan_id: str = ""
    gate: str = Field(default="", exclude_if=is_empty)
    """The workflow id of the gate; empty for a plan."""


class PolicyNow(WireModel, WorkerMessage):
    """The policy of the worker that answers."""

    policy: Policy


class StoredAtRequest(WireModel, WorkerMessage):
    """Approvals that a run learned of after the time for approval, because no worker was there earlier."""

    plan_id: str
    approvals: tuple[Approve, ...]


class StoredAt(WireModel, WorkerMessage):
    """When Temporal stored each of the approvals, UTC; None for one that the history does not show."""

    times: tuple[datetime | None, ...] = ()


class RehearsalRequest(WireModel, WorkerMessage):
    """Steps to mock or to preview, each after all that it depends on."""

    plan_id: str
    steps: tuple[Step, ...]
    contracts: dict[str, Contract]
    contract_of: dict[str, str]
    outputs: dict[str, Any] = Field(default_factory=dict)
    """The actual output of every live step and, for a preview, the predicted output of every step previewed before."""
    epoch: int = 0
    """The rules of the run, see `airlock.admission.admitted.EPOCH`."""
    parents: dict[str, tuple[str, ...]] | None = Field(default=None, exclude_if=lambda parents: parents is None)
    """The edges of admission among these steps and those previewed before; None if the steps' own are all that is known."""
    leaves: dict[str, dict[str, Left]] = Field(default_factory=dict, exclude_if=is_empty)
    """What the calls of steps previewed before would leave, by step and name."""

    others: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude_if=is_empty)
    """The names of the things that all other steps previewed before would leave, by step."""

    @cached_property
    def edges(self) -> dict[str, tuple[str, ...]]:
        """The direct dependencies of each step among the steps of this request."""
        asked = {step.id for step in self.steps}
        return {step.id: tuple(parent for parent in self._parents(step) if parent in asked) for step in self.steps}

    def _parents(self, step: Step) -> tuple[str, ...]:
        return step.parents if self.parents is None else self.parents.get(step.id, ())

    def writers_before(self, step: str) -> tuple[str, ...]:
        """Return the steps of this stay that write something and come before a step, the nearest on each way."""
        parents = self.parents or {}
        found: set[str] = set()
        pending, seen = list(parents.get(step, ())), set(parents.get(step, ()))
        while pending:
            each = pending.pop()
            if not self.contracts[self.contract_of[each]].read_only:
                found.add(each)
                continue
            above = [parent for parent in parents.get(each, ()) if parent not in seen]
            seen.update(above)
            pending += above
        return tuple(sorted(found))

    @cached_property
    def behind_writes(self) -> frozenset[str]:
        """The steps that depend on a writing step, directly or through others; a step of another request counts as one."""
        writing = {step.id for step in self.steps if not self.contracts[self.contract_of[step.id]].read_only}
        reading = {step.id for step in self.steps} - writing
        behind: set[str] = set()
        for step in self.steps:
            if any(parent not in reading or parent in behind for parent in self._parents(step)):
                behind.add(step.id)
        return frozenset(behind)


def rehearsal_request(run: Run, wanted: Sequence[str], outputs: Mapping[str, Any]) -> RehearsalRequest:
    """Return the request to mock or preview some steps of a run, with the outputs that they read."""
    admitted = run.contracts()
    by_id = {step.id: step for step in run.steps}
    steps = tuple(by_id[step] for step in wanted)
    read = {name for step in steps for name in referenced_steps(step.args)}
    return RehearsalRequest(
        plan_id=run.plan.plan_id,
        steps=steps,
        contracts=admitted.contracts,
        contract_of=admitted.contract_of,
        outputs={name: output for name, output in outputs.items() if name in read},
        epoch=admitted.epoch,
    )


class RehearseResult(WireModel, WorkerMessage):
    """The mocks that failed; all others succeeded."""

    failures: tuple[MockFailed, ...] = ()


class PreviewResult(WireModel, WorkerMessage):
    """The outcomes of the dry runs."""

    previews: tuple[PreviewOutcome, ...] = ()
    remaining: tuple[str, ...] = ()
    """The steps that did not fit into one payload; the workflow requests them again."""


class PrepareRequest(WireModel, WorkerMessage):
    """A plan to admit, to mock and to preview in one activity."""

    plan: Plan
    setup: str
    """The setup of the worker that asks; one with another setup hands the plan back."""


class Prepared(WireModel, WorkerMessage):
    """The answers of admission, mocks and dry runs, as far as they came. The run asks for the rest on its own."""

    admission: Admission
    admitted_at: datetime
    """The time at which admission had answered, UTC."""
    mocked: RehearseResult | None = None
    """None if admission refused the plan, or no step may be mocked."""
    mocked_at: datetime | None = None
    """The time at which the last mock had answered, UTC."""
    previewed: PreviewResult | None = None
    """None if no step may be previewed, or nothing more fitted into this answer."""


class RecoverRequest(WireModel, WorkerMessage):
    """The ended plan to recover for its undo."""

    plan_id: str
    previous: str = ""
    """As in `Undoing`."""
    signed: bool = Field(default=False, exclude_if=is_empty)
    """True if the request is signed, so that the answer must tell what it has to be about."""


class Recovered(WireModel, WorkerMessage):
    """The run of an ended plan as it really ended, or the reason why it cannot be undone."""

    run: Run | None = None
    refused: str = ""
    """The reason why the plan cannot be undone; empty if it can."""
    quiet_at: datetime | None = None
    """As in `Undoing`."""
    ended: EndedPlan | None = Field(default=None, exclude_if=is_empty)
    """Set for a signed request."""
