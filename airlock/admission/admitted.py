"""The answer of admission: an accepted plan with its frozen contracts and policy, or the problems that refuse it."""

from pydantic import Field, JsonValue

from airlock.admission.ceiling import Cap
from airlock.admission.conflicts.conflict import Conflict
from airlock.admission.policy import Policy
from airlock.admission.reliability import Reliability
from airlock.base.errors import Problem
from airlock.base.model import WireModel, WorkerMessage
from airlock.plans.contract import Contract, Mode, Risk


class Admitted(WireModel):
    """A plan the operator's catalogue and policy accept.

    `contracts` are by hash, `contract_of` gives the hash for each step. `order` has every step after all it depends
    on. `caps` are what limits each step by itself, before anything was rehearsed. `resources` are the resolved
    resource names a step touches; one that depends on a value not known yet is left out. `conflicts` were found and
    answered: `parents` has the edges added for them, `caps` the lowered ceilings, `reassigned` the new agent of a step.
    `reliability` is what `caps` were calibrated by, by tool; None where nothing was calibrated.
    """

    contracts: dict[str, Contract]
    contract_of: dict[str, str]
    policy: Policy
    policy_hash: str
    catalogue_hash: str
    order: tuple[str, ...]
    parents: dict[str, tuple[str, ...]]
    caps: dict[str, tuple[Cap, ...]]
    resources: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    resource_index: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    reassigned: dict[str, str] = Field(default_factory=dict)
    reliability: dict[str, Reliability] | None = None
    epoch: int = 0
    """Which rules apply (`airlock.base.epoch`)."""
    args: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """By step: its arguments as the tool's own model writes them, references and secrets kept."""
    index: str = ""
    """The fingerprint of the key under which resource names are hashed."""

    def contract(self, step: str) -> Contract:
        """The frozen contract of a step."""
        return self.contracts[self.contract_of[step]]

    @property
    def going(self) -> tuple[str, ...]:
        """The steps that may go live before anything was rehearsed, in order: neither they nor their parents are capped."""
        found = set[str]()
        for step in self.order:
            if all(cap.mode is Mode.LIVE for cap in self.caps[step]) and found.issuperset(self.parents[step]):
                found.add(step)
        return tuple(step for step in self.order if step in found)

    @property
    def risk(self) -> Risk:
        """The highest risk of any step."""
        return max((contract.risk for contract in self.contracts.values()), key=lambda risk: risk.rank)


class Admission(WireModel, WorkerMessage):
    """The answer of admission: `admitted`, or the problems that refuse the plan."""

    admitted: Admitted | None = None
    problems: tuple[Problem, ...] = ()
