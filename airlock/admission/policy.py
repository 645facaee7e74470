"""The operator's policy: thresholds, approvers, permissions. It belongs to the worker, never to the submitter."""

import json
import re
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from airlock.admission.decision_rules import DecisionName, DecisionRules, people_needed
from airlock.admission.rules.rule import Rule
from airlock.base.canonical import digest
from airlock.base.keys import SignatureError, read_key
from airlock.base.model import FileModel, is_empty
from airlock.base.person import folded, same_person
from airlock.plans.contract import Contract, Risk
from airlock.plans.plan import seconds
from airlock.signing.passkey import Passkey
from airlock.signing.proof import Registered

ANY = "*"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""A key that TOML takes without quotes."""

NO_APPROVER = "no approver is in both policies" + "." * 200
"""The only entry of a list of approvers that lets no person approve. It is longer than the name of any sender."""


def _readable(line: str) -> str:
    try:
        read_key(line)
    except SignatureError as error:
        raise ValueError(str(error)) from error
    return line


class SignatureRule(StrEnum):
    """The approvals that must carry a signature."""

    NEVER = "never"
    HIGH = "high"
    ALWAYS = "always"


class Budget(FileModel):
    """Limits on spending; None sets no limit."""

    live_calls: int | None = Field(default=None, ge=0, strict=True)
    irreversible_calls: int | None = Field(default=None, ge=0, strict=True)
    cost: float | None = Field(default=None, ge=0, strict=True, allow_inf_nan=False)
    """In the operator's own unit, as in contracts."""


class WindowBudget(Budget):
    """A budget for any stretch of time of one length."""

    per: str = "24h"
    """The length of the window, as a duration such as `24h`."""

    @field_validator("per")
    @classmethod
    def _duration(cls, value: str) -> str:
        seconds(value)
        return value

    @property
    def seconds(self) -> float:
        """The length of the window, in seconds."""
        return seconds(self.per)


class AgentPolicy(FileModel):
    """The rights of one agent."""

    permissions: tuple[str, ...] = ()
    """The granted permissions; `"*"` grants every permission."""
    secrets: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The secrets that its plans may name in a `$secret`, in any case; `"*"` grants every secret."""
    budget: WindowBudget | None = None
    """The budget over all plans of the agent; None sets no limit."""

    @field_validator("permissions", "secrets", mode="before")
    @classmethod
    def _sorted(cls, value: object) -> object:
        if isinstance(value, set | frozenset | list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(sorted(set(value)))
        return value


class Policy(FileModel):
    """The operator's rules. Every default is the careful one."""

    confidence_threshold_for_live: float = Field(default=0.75, ge=0.0, le=1.0, strict=True, allow_inf_nan=False)
    """The lowest confidence (0.0-1.0) of a LIVE call, if the risk table asks for less."""
    dry_run_only: bool = False
    max_live_escalations: int = Field(default=5, ge=1, strict=True)
    approval_required_for_high_risk: bool = True
    approval_waived_for: tuple[Risk, ...] = ()
    read_lane: bool = Field(default=False, exclude_if=is_empty)
    """True to waive the approval of LOW risk reads, and to make them before the preview, which shows what they returned."""
    enable_rollback_on_failure: bool = True
    rollback_on_stale: bool = False
    approvals_required: int = Field(default=1, ge=1, le=50, strict=True)
    approval_timeout: str = "24h"
    """The time for approval, as a duration such as `24h`. A plan without approval by then is denied."""
    approval_valid_for: str | None = Field(default=None, exclude_if=is_empty)
    """The age at which an approval expires, as a duration such as `24h`; without it, the time for approval."""
    approvers: tuple[str, ...] = ()
    """The people who may approve. Empty, everyone but the requester may."""
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude_if=is_empty)
    """The people by role. `@name` stands for all people of another role."""
    rule: tuple[Rule, ...] = Field(default=(), exclude_if=is_empty)
    """The rules with conditions. All of them are looked at; their order means nothing."""
    signature_required: SignatureRule = SignatureRule.NEVER
    authorized_keys: tuple[Annotated[str, AfterValidator(_readable)], ...] = ()
    """The public SSH keys of people, as lines of `authorized_keys`; the last word of each is the person's name."""
    passkeys: tuple[Passkey, ...] = Field(default=(), exclude_if=is_empty)
    """The passkeys of people, which count beside `authorized_keys`."""
    decisions: dict[DecisionName, DecisionRules] = Field(default_factory=dict, exclude_if=is_empty)
    """The rules of decisions, by name. A decision without an entry counts from everyone who may make it otherwise."""
    agents: dict[str, AgentPolicy] = Field(default_factory=dict)
    """The rights by agent name. `"*"` stands for every other agent; without it, an agent that is absent has no rights."""
    may_drift: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude_if=is_empty)
    """The arguments of each tool that a live call may find changed since its preview, as paths such as `row.amount`."""
    budget: Budget = Budget()
    """The budget of one plan."""
    auto_lock_severity: int | None = Field(default=None, ge=1, le=10, strict=True)
    """The lowest severity (1-10) of an anomaly at which a monitor closes the live gate; None never closes it."""
    calibrated_confidence: bool = False
    """True to lower the confidence that agents state by the observed reliability of the tool."""
    monitor_shards: int = Field(default=1, ge=1, le=100, strict=True)
    """The number of monitors that share the counting."""

    @field_validator("approval_timeout", "approval_valid_for")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None:
            seconds(value)
        return value

    @property
    def approval_timeout_seconds(self) -> float:
        """Seconds that a plan waits for approval before it is denied."""
        return seconds(self.approval_timeout)

    def _entry(self, agent: str) -> AgentPolicy | None:
        """Return the rights of an agent. Another spelling of its name has no others, and no budget of its own."""
        if agent in self.agents:
            return self.agents[agent]
        form = folded(agent)
        same = (entry for name, entry in self.agents.items() if name != ANY and folded(name) == form)
        return next(same, self.agents.get(ANY))

    @property
    def approval_valid_for_seconds(self) -> float:
        """Seconds after which an approval no longer lets a call begin."""
        return seconds(self.approval_valid_for or self.approval_timeout)

    def may_approve(self, by: str) -> bool:
        """Return True if the list of approvers lets a person approve; an empty list lets everyone."""
        if NO_APPROVER in self.approvers:
            return False
        return not self.approvers or any(same_person(by, name) for name in self.approvers)

    @property
    def approvals_of_any(self) -> int:
        """The number of approvals that every step needs; those of some risk may need more."""
        return self.approvals_of(())

    def approvals_of(self, risks: Collection[Risk]) -> int:
        """Return how many approvals steps of these risks need together."""
        return max(self.approvals_required, people_needed(self.decisions, "approve", risks))

    @property
    def registered(self) -> Registered:
        """The keys and passkeys of all people."""
        return Registered(authorized_keys=self.authorized_keys, passkeys=self.passkeys)

    def permissions_of(self, agent: str) -> tuple[str, ...]:
        """Return the permissions of an agent; the entry `"*"` stands for every agent without one of its own."""
        entry = self._entry(agent)
        return entry.permissions if entry else ()

    def budget_of(self, agent: str) -> WindowBudget | None:
        """Return the budget of an agent over all its plans; the entry `"*"` counts separately for each agent."""
        entry = self._entry(agent)
        return entry.budget if entry else None

    def missing_permissions(self, agent: str, contract: Contract) -> tuple[str, ...]:
        """Return the permissions that the contract needs and the agent lacks, sorted."""
        granted = self.permissions_of(agent)
        return () if ANY in granted else tuple(sorted(set(contract.permissions) - set(granted)))

    def grant_for(self, agent: str, missing: Iterable[str]) -> str:
        """Return the fix for permissions that an agent lacks: the section of airlock.toml and the line to write there.

        An agent without an entry of its own gets one, which takes the place of `"*"`: it keeps what it was granted there.
        """
        name = self.agent_name(agent)
        key = name if _BARE_KEY.fullmatch(name) else json.dumps(name)
        wanted = list(dict.fromkeys((*self.permissions_of(agent), *missing)))
        return f"in airlock.toml, in the section [policy.agents.{key}]: permissions = {json.dumps(wanted)}"

    def secrets_of(self, agent: str) -> tuple[str, ...]:
        """Return the secrets granted to an agent; the entry `"*"` stands for every agent without an entry of its own."""
        entry = self._entry(agent)
        return entry.secrets if entry else ()

    def grants_secret(self, agent: str, name: str) -> bool:
        """Return True if a plan may name that secret for that agent. Capitals make no difference."""
        granted = self.secrets_of(agent)
        return ANY in granted or name.upper() in {secret.upper() for secret in granted}

    def waives_approval(self, contract: Contract) -> bool:
        """Return True if a live call under this contract needs no approval, whatever the rules say of single calls."""
        if not self.may_waive(contract):
            return False
        if self.read_lane and contract.risk is Risk.LOW and contract.read_only:
            return True
        return contract.risk in self.approval_waived_for

    def may_waive(self, contract: Contract) -> bool:
        """Return True if anything in this policy may waive the approval of a live call under this contract.

        An irreversible call always needs approval. So does a HIGH risk call while `approval_required_for_high_risk` is set.
        """
        return not contract.irreversible and not (contract.risk is Risk.HIGH and self.approval_required_for_high_risk)

    @property
    def rule_reasons(self) -> dict[str, str]:
        """The reason of each rule that has one, by its id."""
        return {rule.id: rule.reason for rule in self.rule if rule.reason}

    def agent_name(self, agent: str) -> str:
        """Return the name of an agent as this policy spells it; as it stands if the policy has no entry of that name."""
        form = folded(agent)
        return next((name for name in self.agents if name != ANY and folded(name) == form), agent)

    def reads_early(self, contract: Contract) -> bool:
        """Return True if a live call under this contract may be made before the preview, see docs/adr/0012.

        A tool whose calls share slots waits for them in LIVE, where it can hold them.
        """
        return self.read_lane and contract.risk is Risk.LOW and contract.read_only and contract.max_concurrent is None

    def digest(self) -> str:
        """Return the hash over the whole policy."""
        return digest(self.model_dump(mode="json"))
