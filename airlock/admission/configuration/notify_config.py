"""The sections `[notify.<receiver>]` of `airlock.toml`: who is told what about plans, how, and when."""

import re
from collections.abc import Iterator, Mapping
from datetime import time
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from airlock.admission.configuration.tool_entries import Given, SecretName
from airlock.admission.configuration.web_address import HTTP, HTTP_OF_THIS_MACHINE, address_problem, host_of
from airlock.admission.roles import MEMBERS_OF, Roles
from airlock.base.errors import Problem
from airlock.base.model import FileModel
from airlock.base.person import name_problem
from airlock.plans.contract import Risk
from airlock.plans.plan import seconds

RECEIVER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""The name of a receiver; it is part of workflow ids."""
PLAN_PLACE, WORKFLOW_PLACE = "{plan_id}", "{workflow_id}"
"""Stand in a link for the id of the plan, and for that of its workflow."""
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_ADDRESS = re.compile(r"[^\s@<>,;:\"()]{1,64}@[^\s@<>,;:\"()]{1,255}")
_BRACE = re.compile(r"[{}]")
_LINK = re.compile(r"https?://[^\s<>\"'\\]+")
_HOSTS = {
    "slack": ("hooks.slack.com", "hooks.slack-gov.com"),
    "teams": (
        ".webhook.office.com", "outlook.office.com", "outlook.office365.com", ".logic.azure.com", ".logic.azure.us",
        ".api.powerplatform.com", ".api.gov.powerplatform.microsoft.us",
    ),
}  # fmt: skip
"""The ends of the hosts of incoming webhooks, by the kind whose form they take. Another host may take any of them."""
_MINUTE, _DAY = 60.0, 86_400.0


class AlertKind(StrEnum):
    """The things that a receiver is told."""

    WAITING = "waiting"
    """A plan waits for approval."""
    EXPIRING = "expiring"
    """A plan still waits for approval, and will soon be denied."""
    LOCKED = "locked"
    """A plan is locked by a person or by its policy."""
    PARKED = "parked"
    """A compensation failed: a person must settle it."""
    IN_DOUBT = "in_doubt"
    """A call may or may not have taken effect: a person must settle it."""
    ROLLED_BACK = "rolled_back"
    """A plan has ended, and what it did was undone, as far as it can be."""
    SYSTEM_LOCKED = "system_locked"
    """The live gate is locked, for everything or for a scope."""


def _filled(link: str) -> str:
    return link.replace(PLAN_PLACE, "plan").replace(WORKFLOW_PLACE, "plan-plan")


def _clock(value: str) -> str:
    if not _CLOCK.fullmatch(value):
        raise ValueError(f"{value[:40]!r} is no time of day; write for example '07:30'")
    return value


def _duration_within(value: str, least: float, most: float, said: str) -> str:
    if not least <= seconds(value) <= most:
        raise ValueError(f"{value[:40]!r} must be between {said}")
    return value


def time_of(clock: str) -> time:
    """Return a time of day that is written as `07:30`."""
    hours, minutes = clock.split(":")
    return time(int(hours), int(minutes))


class QuietHours(FileModel):
    """The hours of every day in which nothing is sent. What still stands is sent at their end."""

    model_config = ConfigDict(populate_by_name=True)

    begin: str = Field(alias="from")
    """A time of day in the receiver's zone, such as `22:00`."""
    end: str = Field(alias="to")
    """A time of day; earlier than the begin, it is that of the next day."""
    exempt: tuple[AlertKind, ...] = Field(default=(), alias="except")
    """The alerts that are sent all the same."""

    @field_validator("begin", "end")
    @classmethod
    def _clocks(cls, value: str) -> str:
        return _clock(value)

    @model_validator(mode="after")
    def _some_of_the_day(self) -> "QuietHours":
        if self.begin == self.end:
            raise ValueError("from and to are the same time: nothing would ever be sent")
        return self


class Digest(FileModel):
    """One message a period in the place of one for each thing."""

    every: str = "24h"
    """The period, from a minute to a day."""
    at: str = "00:00"
    """The time of day in the receiver's zone at which a period begins, each day."""

    @field_validator("every")
    @classmethod
    def _period(cls, value: str) -> str:
        return _duration_within(value, _MINUTE, _DAY, "1m and 24h")

    @field_validator("at")
    @classmethod
    def _clocks(cls, value: str) -> str:
        return _clock(value)


class Escalation(FileModel):
    """The receiver that is told when there is no answer."""

    after: str
    """A duration since the plan came to wait."""
    to: str
    """The name of another receiver."""

    @field_validator("after")
    @classmethod
    def _duration(cls, value: str) -> str:
        seconds(value)
        return value


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


class Receiver(FileModel):
    """A place that messages go to. None of them can decide anything: a message has a link, and no more."""

    kind: Literal["webhook", "slack", "teams", "email"]
    url: Given | None = None
    """The address of a webhook. Those of Slack and Teams are secrets: knowing one is enough to post there."""
    secret: Annotated[tuple[SecretName, ...], BeforeValidator(_one_or_more)] = ()
    """The secrets that sign a webhook's messages, `whsec_` and base64; several while one replaces another."""
    to: dict[str, str] = Field(default_factory=dict)
    """Mail addresses, by the person or `@role` that reads them."""
    people: tuple[str, ...] = ()
    """The people, or `@role`, that the receiver stands for. Empty: those of `to`, else all approvers of the policy."""
    events: tuple[AlertKind, ...] = tuple(AlertKind)
    """The things that it is told; empty, it is told what is escalated to it."""
    risks: tuple[Risk, ...] = ()
    """Only plans whose highest risk is one of these."""
    agents: tuple[str, ...] = ()
    """Only plans with a step of one of these agents; `*` at the end stands for any ending."""
    tools: tuple[str, ...] = ()
    """Only plans with a step of one of these tools; `*` at the end stands for any ending."""
    link: str | None = None
    """The page that the button opens, with `{plan_id}` or `{workflow_id}` in the place of the plan."""
    zone: str = "UTC"
    """The time zone of quiet hours, digests and shown times, by its IANA name."""
    warn_before: str = "1h"
    """The time before an expiry at which it is told; at most half of the time that the plan waits."""
    quiet: QuietHours | None = None
    digest: Digest | None = None
    escalate: Escalation | None = None
    attempts: int = Field(default=12, ge=1, le=100, strict=True)
    """Attempts before a message is a dead letter."""
    pause: str = "5s"
    """The time before the second attempt; it doubles up to 15 minutes, and the receiver's Retry-After counts more."""
    timeout: float = Field(default=10.0, gt=0, le=60, strict=True, allow_inf_nan=False)
    """Seconds for one attempt."""
    insecure: bool = False
    """True to send over plain http to another machine."""
    trust_environment: bool = False
    """True to use proxy and certificate variables such as `HTTPS_PROXY`."""

    @field_validator("warn_before", "pause")
    @classmethod
    def _duration(cls, value: str) -> str:
        seconds(value)
        return value

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if not _ZONE.fullmatch(value):
            raise ValueError(f"{value[:40]!r} is no IANA time zone; write for example 'Europe/Berlin'")
        return value

    @field_validator("link")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and not _LINK.fullmatch(_filled(value)):
            raise ValueError("a link begins with https:// and holds no spaces; {plan_id} stands for the plan")
        if value is not None and _BRACE.search(_filled(value)):
            raise ValueError("only {plan_id} and {workflow_id} stand for something in a link")
        return value

    @model_validator(mode="after")
    def _complete(self) -> "Receiver":
        problem = _mail_problem(self) if self.kind == "email" else _web_problem(self)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def stands_for(self) -> tuple[str, ...]:
        """The people and roles that it names; empty for all approvers."""
        return self.people or tuple(self.to)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets that sending to it takes, sorted."""
        url = (self.url,) if isinstance(self.url, SecretName) else ()
        return tuple(sorted({each.name for each in (*url, *self.secret)}))


Receivers = Mapping[str, Receiver]


def _mail_problem(receiver: Receiver) -> str:
    if receiver.url is not None or receiver.secret:
        return "url and secret are for a webhook: mail goes to the addresses in `to`"
    if receiver.people:
        return "the people of an email receiver are the names in `to`"
    if not receiver.to:
        return 'an email receiver needs addresses: to = { alice = "alice@example.com" }'
    wrong = next((address for address in receiver.to.values() if not _ADDRESS.fullmatch(address)), None)
    return "" if wrong is None else f"{wrong[:80]!r} is not one plain mail address"


def _web_problem(receiver: Receiver) -> str:
    if receiver.to:
        return '`to` is for kind = "email"'
    if receiver.url is None:
        return f"a {receiver.kind} receiver needs a url"
    if receiver.kind != "webhook" and not isinstance(receiver.url, SecretName):
        return 'this url is a secret, as it lets anyone post: url = { "$secret" = "NAME" }'
    if receiver.kind == "webhook" and not receiver.secret:
        return 'a webhook signs its messages: secret = { "$secret" = "NAME" }'
    if receiver.kind != "webhook" and receiver.secret:
        return f"{receiver.kind} takes no signature: remove secret"
    return "" if isinstance(receiver.url, SecretName) else url_problem(receiver, receiver.url)


def url_problem(receiver: Receiver, url: str) -> str:
    """Return the reason why a receiver of this kind cannot be at a URL; empty if it can. The URL is not quoted."""
    allowed, secret = HTTP if receiver.insecure else HTTP_OF_THIS_MACHINE, isinstance(receiver.url, SecretName)
    if problem := address_problem(url, allowed, secret=secret):
        return f"its url {problem}{', or insecure = true must allow it' if 'plain http' in problem else ''}"
    host = host_of(url)
    owner = next((kind for kind, hosts in _HOSTS.items() if host.endswith(hosts)), receiver.kind)
    return "" if owner == receiver.kind else f'its url is one of {owner.capitalize()}: write kind = "{owner}"'


def receiver_problems(receivers: Receivers, roles: Roles) -> tuple[Problem, ...]:
    """Return what is wrong with the receivers as a whole: names, people, and the ways of escalations."""
    return tuple(_problems(receivers, roles))


def _problems(receivers: Receivers, roles: Roles) -> Iterator[Problem]:
    for name, receiver in receivers.items():
        where = f"notify.{name}"
        if not RECEIVER_NAME.fullmatch(name):
            fix = "begin with a letter from a to z; letters, digits, - and _ may follow, 40 characters in all"
            yield Problem(where=where, message="is no name of a receiver", fix=fix)
        for entry in (*receiver.people, *receiver.to):
            role = entry.removeprefix(MEMBERS_OF)
            if entry.startswith(MEMBERS_OF):
                if role not in roles:
                    said = f"{entry!a}: there is no such role"
                    yield Problem(where=where, message=said, fix="name a role of policy.roles, or a person")
            elif problem := name_problem(entry):
                yield Problem(where=where, message=f"{entry!a}: {problem}", fix="correct or remove this name")
        yield from _escalation_problems(name, receivers)


def _escalation_problems(name: str, receivers: Receivers) -> Iterator[Problem]:
    where, seen, step = f"notify.{name}.escalate", [name], receivers[name].escalate
    if step is not None and step.to not in receivers:
        yield Problem(where=where, message=f"there is no receiver {step.to!a}", fix="name another section of notify")
    while step is not None and step.to in receivers:
        if step.to in seen:
            way = " -> ".join([*seen, step.to])
            yield Problem(
                where=where, message=f"goes in a circle: {way}", fix="end it at a receiver that escalates no further"
            )
            return
        seen.append(step.to)
        step = receivers[step.to].escalate
