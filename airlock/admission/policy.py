"""The operator's policy: thresholds, approvers, permissions. It belongs to the worker, never to the submitter."""

import json
import re
from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field, field_validator

from airlock.base.canonical import digest
from airlock.base.errors import Problem
from airlock.base.keys import SignatureError, read_key
from airlock.base.model import FileModel, is_empty
from airlock.base.person import folded, name_problem, same_person, spellings
from airlock.base.text import count
from airlock.plans.contract import Contract, Risk
from airlock.plans.plan import seconds

ANY = "*"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""A key that TOML takes without quotes."""

NO_APPROVER = "no approver is in both policies" + "." * 200
"""The only entry of a list of approvers that lets no person approve. It is longer than the name of any sender."""


class SignatureRule(StrEnum):
    """The approvals that must carry a signature."""

    NEVER = "never"
    HIGH = "high"
    ALWAYS = "always"


class Budget(FileModel):
    """Limits on spending; None sets no limit."""

    live_calls: int | None = Field(default=None, ge=0)
    irreversible_calls: int | None = Field(default=None, ge=0)
    cost: float | None = Field(default=None, ge=0)
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

    confidence_threshold_for_live: float = Field(default=0.75, ge=0.0, le=1.0)
    """The lowest confidence (0.0-1.0) of a LIVE call, if the risk table asks for less."""
    dry_run_only: bool = False
    max_live_escalations: int = Field(default=5, ge=1)
    approval_required_for_high_risk: bool = True
    approval_waived_for: tuple[Risk, ...] = ()
    read_lane: bool = Field(default=False, exclude_if=is_empty)
    """True to waive the approval of LOW risk reads, and to make them before the preview, which shows what they returned."""
    enable_rollback_on_failure: bool = True
    rollback_on_stale: bool = False
    approvals_required: int = Field(default=1, ge=1, le=50)
    approval_timeout: str = "24h"
    """The time for approval, as a duration such as `24h`. A plan without approval by then is denied."""
    approval_valid_for: str | None = Field(default=None, exclude_if=is_empty)
    """The age at which an approval expires, as a duration such as `24h`; without it, the time for approval."""
    approvers: tuple[str, ...] = ()
    """The people who may approve. Empty, everyone but the requester may."""
    signature_required: SignatureRule = SignatureRule.NEVER
    authorized_keys: tuple[str, ...] = ()
    agents: dict[str, AgentPolicy] = Field(default_factory=dict)
    """The rights by agent name. `"*"` stands for every other agent; without it, an agent that is absent has no rights."""
    may_drift: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude_if=is_empty)
    """The arguments of each tool that a live call may find changed since its preview, as paths such as `row.amount`."""
    budget: Budget = Budget()
    """The budget of one plan."""
    auto_lock_severity: int | None = Field(default=None, ge=1, le=10)
    """The lowest severity (1-10) of an anomaly at which a monitor closes the live gate; None never closes it."""
    calibrated_confidence: bool = False
    """True to lower the confidence that agents state by the observed reliability of the tool."""
    monitor_shards: int = Field(default=1, ge=1, le=100)
    """The number of monitors that share the counting."""

    @field_validator("approval_timeout", "approval_valid_for")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None:
            seconds(value)
        return value

    @field_validator("authorized_keys")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for line in value:
            try:
                read_key(line)
            except SignatureError as error:
                raise ValueError(str(error)) from error
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
        form = folded(agent)
        name = next((known for known in self.agents if known != ANY and folded(known) == form), agent)
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
        """Return True if a live call under this contract needs no approval.

        An irreversible call always needs approval. So does a HIGH risk call while `approval_required_for_high_risk` is set.
        """
        if contract.irreversible:
            return False
        if contract.risk is Risk.HIGH and self.approval_required_for_high_risk:
            return False
        if self.read_lane and contract.risk is Risk.LOW and contract.read_only:
            return True
        return contract.risk in self.approval_waived_for

    def reads_early(self, contract: Contract) -> bool:
        """Return True if a live call under this contract may be made before the preview, see docs/adr/0012.

        A tool whose calls share slots waits for them in LIVE, where it can hold them.
        """
        return self.read_lane and contract.risk is Risk.LOW and contract.read_only and contract.max_concurrent is None

    def digest(self) -> str:
        """Return the hash over the whole policy."""
        return digest(self.model_dump(mode="json"))


def contradictions(policy: Policy) -> tuple[Problem, ...]:
    """Return the rules that no plan can satisfy; without this check, plans would wait for approval in vain."""
    voices = "one name, and have one voice together"
    problems = [
        *_unfit_approvers(policy),
        *_named_twice("policy.approvers", policy.approvers, voices, "name each approver once"),
        *_named_twice("policy.agents", policy.agents, "one agent", "give each agent one section"),
    ]
    people = len(spellings(policy.approvers))
    if policy.approvers and people < policy.approvals_required:
        problems.append(
            Problem(
                where="policy.approvals_required",
                message=f"is {policy.approvals_required}, but the list names {count(people, 'approver')}",
                fix="name more approvers, or require fewer approvals",
            )
        )
    if policy.signature_required is not SignatureRule.NEVER and not policy.authorized_keys:
        problems.append(
            Problem(
                where="policy.signature_required",
                message=f"is {policy.signature_required.value!r}, but authorized_keys lists no key",
                fix="add the approvers' public keys to policy.authorized_keys",
            )
        )
    return tuple(problems)


def _unfit_approvers(policy: Policy) -> list[Problem]:
    return [
        Problem(where="policy.approvers", message=f"{name!a}: {problem}", fix="correct or remove this approver")
        for name in policy.approvers
        if (problem := name_problem(name))
    ]


def _named_twice(where: str, given: Iterable[str], same: str, fix: str) -> list[Problem]:
    """Return a problem for each name that stands there in several spellings."""
    return [
        Problem(where=where, message=f"{', '.join(ascii(name) for name in names)} are spellings of {same}", fix=fix)
        for names in spellings(given).values()
        if len(names) > 1
    ]
