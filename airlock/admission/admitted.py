"""The answer of admission: an accepted plan with its frozen contracts and policy, or the problems that refuse it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, JsonValue, model_serializer, model_validator

from airlock.admission.ceiling import Cap
from airlock.admission.conflicts.conflict import Conflict
from airlock.admission.policy import Policy
from airlock.admission.reliability import Reliability
from airlock.base.errors import Problem
from airlock.base.model import WireModel, WorkerMessage, is_empty
from airlock.plans.applied_rule import AppliedRule
from airlock.plans.contract import Contract, Mode, Risk
from airlock.plans.plan import Step

EPOCH = 10
"""The rules of the release that admits plans now. A run keeps the rules it was admitted under, so that its history
replays: code that commands something else than an earlier release asks for `epoch >= N` here and nothing else."""

OWN_RELEASE_EPOCH = 9
"""The first epoch whose runs release their slots and report by signals of their own when they end, see docs/adr/0011."""

DEADLINE_EPOCH = 9
"""The first epoch whose runs do not ask the gates when they are too late for their deadline or their approval."""

DEMANDS_EPOCH = 10
"""The first epoch whose seals hold the demands on approvals as data, and whose plans wait for all that a risk demands."""

BOUNDED_EPOCH = 9
"""The first epoch that bounds how long a signed decision counts."""

TASK_EPOCH = 9
"""The first epoch whose runs ask for today's policy by an activity, see docs/adr/0021."""

LOST_CHAIN_EPOCH = 9
"""The first epoch that believes no record of a chain whose worker is gone: what it does not tell may have been made."""

VOICE_EPOCH = 9
"""The first epoch in which votes and voices that wait are bounded, and a person has one voice for each decision."""

UNDO_REQUEST_EPOCH = 10
"""The first epoch in which the policy judges the request for an undo after the end."""

AMEND_EPOCH = 7
"""The first epoch whose plans can be amended, see docs/adr/0015."""

ASKED_EPOCH = 8
"""The first epoch whose decisions other than approvals never take a worker's build id for today's policy."""

SIGNED_EPOCH = 7
"""The first epoch whose decisions may be signed, and are judged by today's policy too."""

RECORD_EPOCH = 6
"""The first epoch that believes the record of a chain to be the latest one only when no worker has said otherwise."""

POLICY_EPOCH = 6
"""The first epoch in which votes that are judged at the same time ask for today's policy one after the other."""

UNBEGUN_EPOCH = 5
"""The first epoch that believes a call to be unbegun only when no worker has said that it began it."""

OPENING_EPOCH = 4
"""The first epoch whose first calls of a stay enter LIVE in the same activity, see docs/adr/0011."""

SETTLED_EPOCH = 4
"""The first epoch in which a policy waives no approval of a call that a person has settled."""

OWN_STEPS_EPOCH = 3
"""The first epoch whose dry runs see what earlier steps of the plan would leave, see docs/adr/0009."""


@dataclass(frozen=True, slots=True)
class AdmittedStep:
    """One step of an accepted plan, as admission froze it.

    A dataclass, because a workflow task decodes thousands at once and the wire form is validated already.
    """

    contract: Contract
    """The contract of the call, for the step's arguments."""
    contract_hash: str
    """The digest of the contract when it was frozen. A later version with more fields would compute another one."""
    parents: tuple[str, ...] = ()
    """The direct dependencies, with those added for conflicts; sorted."""
    caps: tuple[Cap, ...] = ()
    """The limits of this step alone, before any rehearsal, with those added for conflicts."""
    resources: tuple[str, ...] = ()
    """The resources that the call touches. A resource that depends on a value not known yet is left out."""
    agent: str | None = None
    """The agent that admission moved the step to; None if it stays with the plan's agent."""
    args: dict[str, JsonValue] | None = None
    """The canonical arguments; None if they are those of the plan."""
    rules: tuple[AppliedRule, ...] = ()
    """The rules of the policy that apply to the step, in the order of their ids."""

    @property
    def uncapped(self) -> bool:
        """True if no cap of this step alone keeps it below LIVE."""
        return all(cap.mode is Mode.LIVE for cap in self.caps)


class AdmittedColumns(WireModel):
    """The wire form of `Admitted`: one dictionary by step id for each column.

    Histories and open runs hold this form, and older workers read no other. It also carries a contract that thousands of
    steps share only once.
    """

    contracts: dict[str, Contract]
    """Each contract by its digest."""
    contract_of: dict[str, str]
    """The digest of each step's contract."""
    policy: Policy
    policy_hash: str
    catalogue_hash: str
    order: tuple[str, ...]
    parents: dict[str, tuple[str, ...]]
    caps: dict[str, tuple[Cap, ...]]
    resources: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """The resources of each step that touches any."""
    resource_index: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    reassigned: dict[str, str] = Field(default_factory=dict)
    """The new agent of each step that was moved."""
    args: dict[str, dict[str, JsonValue]] = Field(default_factory=dict, exclude_if=is_empty)
    """The canonical arguments of each step whose plan states them in another way."""
    rules: dict[str, tuple[AppliedRule, ...]] = Field(default_factory=dict, exclude_if=is_empty)
    """The rules that apply to each step to which any does."""
    reliability: dict[str, Reliability] | None = None
    epoch: int = Field(default=0, ge=0, exclude_if=lambda epoch: not epoch)
    """Left out when 0, so that an admission from before there were epochs is carried on unchanged."""

    def rows(self) -> dict[str, AdmittedStep]:
        """Return the steps, in the plan's order.

        Raises:
            ValueError: If a column lacks a step, or a contract is missing.
        """
        try:
            return {
                step: AdmittedStep(
                    contract=self.contracts[self.contract_of[step]],
                    contract_hash=self.contract_of[step],
                    parents=self.parents[step],
                    caps=self.caps[step],
                    resources=self.resources.get(step, ()),
                    agent=self.reassigned.get(step),
                    args=self.args.get(step),
                    rules=self.rules.get(step, ()),
                )
                for step in self.order
            }
        except KeyError as error:
            raise ValueError(f"the admitted plan lacks an entry for {error}") from error


class Admitted(WireModel):
    """A plan that the operator's catalogue and policy accept. Its wire form is `AdmittedColumns`."""

    steps: dict[str, AdmittedStep]
    """Every step by its id, each after all it depends on."""
    policy: Policy
    policy_hash: str
    catalogue_hash: str
    resource_index: tuple[str, ...] = ()
    """The keyed hashes of the resources by which other plans find this one."""
    conflicts: tuple[Conflict, ...] = ()
    """The conflicts that were found and answered."""
    reliability: dict[str, Reliability] | None = None
    """The reliability of each tool by which caps were calibrated; None if nothing was calibrated."""
    epoch: int = Field(default=0, ge=0)
    """The rules that this run keeps to its end, see `EPOCH`; 0 before there were epochs."""

    @model_validator(mode="before")
    @classmethod
    def _from_columns(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "steps" in value:
            return value
        columns = AdmittedColumns.model_validate(value)
        shared = {name: getattr(columns, name) for name in cls.model_fields if name != "steps"}
        return {**shared, "steps": columns.rows()}

    @model_serializer(mode="plain")
    def _to_columns(self) -> AdmittedColumns:
        return AdmittedColumns.model_construct(
            contracts=self.contracts,
            contract_of=self.contract_of,
            policy=self.policy,
            policy_hash=self.policy_hash,
            catalogue_hash=self.catalogue_hash,
            order=self.order,
            parents=self.parents,
            caps=self.caps,
            resources={step: row.resources for step, row in self.steps.items() if row.resources},
            resource_index=self.resource_index,
            conflicts=self.conflicts,
            reassigned=self.reassigned,
            args={step: row.args for step, row in self.steps.items() if row.args is not None},
            rules={step: row.rules for step, row in self.steps.items() if row.rules},
            reliability=self.reliability,
            epoch=self.epoch,
        )

    def step(self, step: Step) -> Step:
        """Return a step of the plan as admission froze it: with its agent and its canonical arguments."""
        row = self.steps[step.id]
        changed: dict[str, Any] = {} if row.agent is None else {"agent": row.agent}
        if row.args is not None:
            changed["args"] = row.args
        return step.model_copy(update=changed) if changed else step

    # Each property below that returns a dictionary builds it: read it once, before a loop over the steps.

    def contract(self, step: str) -> Contract:
        """Return the frozen contract of a step."""
        return self.steps[step].contract

    @property
    def contracts(self) -> dict[str, Contract]:
        """Each frozen contract by its digest."""
        return {row.contract_hash: row.contract for row in self.steps.values()}

    @property
    def contract_of(self) -> dict[str, str]:
        """The digest of each step's contract."""
        return {step: row.contract_hash for step, row in self.steps.items()}

    @property
    def order(self) -> tuple[str, ...]:
        """The ids of all steps, each after all it depends on."""
        return tuple(self.steps)

    @property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """The direct dependencies of each step."""
        return {step: row.parents for step, row in self.steps.items()}

    @property
    def caps(self) -> dict[str, tuple[Cap, ...]]:
        """The limits of each step alone."""
        return {step: row.caps for step, row in self.steps.items()}

    @property
    def reassigned(self) -> dict[str, str]:
        """The new agent of each step that admission moved."""
        return {step: row.agent for step, row in self.steps.items() if row.agent is not None}

    @property
    def live_candidates(self) -> tuple[str, ...]:
        """The steps that may go live before any rehearsal, in order: neither they nor their parents are capped."""
        found: dict[str, None] = {}
        for step, row in self.steps.items():
            if row.uncapped and all(parent in found for parent in row.parents):
                found[step] = None
        return tuple(found)

    @property
    def risk(self) -> Risk:
        """The highest risk of any step."""
        return max((row.contract.risk for row in self.steps.values()), key=lambda risk: risk.rank)


class Admission(WireModel, WorkerMessage):
    """The answer of admission: `admitted`, or the problems that refuse the plan."""

    admitted: Admitted | None = None
    problems: tuple[Problem, ...] = ()
