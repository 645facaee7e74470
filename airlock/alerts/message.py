"""The words of a message, before any form: a title, what is known in short lines, and one link."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final
from urllib.parse import quote

from airlock.admission.configuration.notify_config import PLAN_PLACE, WORKFLOW_PLACE, AlertKind, Receiver
from airlock.alerts.alert import FOR_APPROVERS, Alert
from airlock.alerts.asked import Asked
from airlock.alerts.calendar import zone_of
from airlock.alerts.foreign import foreign
from airlock.base.names import workflow_id_of
from airlock.base.text import MAX_LISTED, count

DIGEST_SHOWN: Final = 12
"""Characters of a seal's digest in a message: to compare, not to approve by."""
_NAME = 80
"""Characters of one name."""
_TITLES: Final = {
    AlertKind.WAITING: "Plan {} waits for approval",
    AlertKind.EXPIRING: "Plan {} is about to expire",
    AlertKind.LOCKED: "Plan {} is locked",
    AlertKind.PARKED: "Plan {} could not be undone as a whole",
    AlertKind.IN_DOUBT: "Plan {} has calls in doubt",
    AlertKind.ROLLED_BACK: "Plan {} was rolled back",
}


@dataclass(frozen=True)
class Line:
    """One thing that is known; every text in it can be shown as it is, once escaped for its form."""

    label: str
    text: str


@dataclass(frozen=True)
class Entry:
    """The words about one alert."""

    title: str
    lines: tuple[Line, ...]
    link: str | None = None
    command: str | None = None
    """A command that only shows."""


@dataclass(frozen=True)
class Message:
    """The words of one message: one entry, or those of a digest."""

    id: str
    title: str
    entries: tuple[Entry, ...]
    note: str = ""
    link: str | None = None
    """The link of the one button."""
    link_text: str = "Open"
    test: bool = False


def entry(alert: Alert, receiver: Receiver, who: Asked) -> Entry:
    """Return the words about an alert for one receiver."""
    if alert.kind is AlertKind.SYSTEM_LOCKED:
        scope = "everything" if alert.scope is None else foreign(alert.scope, _NAME)
        title, command = f"The system is locked: {scope}", None
    else:
        title, command = _TITLES[alert.kind].format(alert.plan_id), f"airlock show {alert.plan_id}"
    return Entry(title, tuple(_lines(alert, zone_of(receiver), who)), link_of(receiver, alert.plan_id), command)


def message(id: str, alert: Alert, receiver: Receiver, who: Asked, *, escalated: bool = False) -> Message:
    """Return the message about one alert; an escalated one says that there is no answer yet."""
    about = entry(alert, receiver, who)
    text = "Open the plan" if alert.plan_id else "Open"
    return Message(
        id=id,
        title=f"No answer yet: {about.title}" if escalated else about.title,
        entries=(about,),
        link=about.link,
        link_text=text,
    )


def digest_message(id: str, entries: tuple[tuple[Entry, bool], ...], receiver: Receiver) -> Message:
    """Return a digest; each entry comes with True if it is new."""
    new = sum(is_new for _, is_new in entries)
    title = f"{count(len(entries), 'thing')} to look at, {new} new"
    return Message(
        id=id, title=title, entries=tuple(each for each, _ in entries), link=link_of(receiver, ""), link_text="Open"
    )


def trial_message(id: str, name: str, receiver: Receiver) -> Message:
    """Return the message of `airlock notify test`."""
    lines = (
        Line("receiver", name),
        Line("meaning", "Messages of Airlock arrive here. No plan waits because of this one."),
    )
    title = "[TEST] Airlock can reach this receiver"
    return Message(id, title, (Entry(title, lines),), link=link_of(receiver, ""), test=True)


def link_of(receiver: Receiver, plan_id: str) -> str | None:
    """Return the link of a receiver to a plan; without a plan, only a link that needs none, or the part before it."""
    if receiver.link is None:
        return None
    if plan_id:
        filled = receiver.link.replace(PLAN_PLACE, quote(plan_id, safe=""))
        return filled.replace(WORKFLOW_PLACE, quote(workflow_id_of(plan_id), safe=""))
    return receiver.link.partition(PLAN_PLACE)[0].partition(WORKFLOW_PLACE)[0]


def _lines(alert: Alert, zone: tzinfo, who: Asked) -> Iterator[Line]:
    if alert.goal:
        yield Line("goal", _quoted(alert.goal))
    if alert.requested_by:
        yield Line("requested by", foreign(alert.requested_by, _NAME))
    if alert.kind in FOR_APPROVERS:
        yield from _of_approval(alert, zone, who)
    else:
        yield from _of_operation(alert)
    if alert.waits_for and alert.kind not in (AlertKind.LOCKED, AlertKind.ROLLED_BACK):
        yield Line("waits for", foreign(alert.waits_for))
    if alert.agents:
        yield Line("agents", _names(alert.agents))
    if alert.tools:
        yield Line("tools", _names(alert.tools))
    yield Line("since", _at(alert.since, zone))


def _of_operation(alert: Alert) -> Iterator[Line]:
    if alert.by:
        yield Line("locked by", foreign(alert.by, _NAME))
    if alert.parked:
        yield Line("to settle", _names(alert.parked))
    if alert.kind is AlertKind.ROLLED_BACK:
        yield Line("undone", count(alert.undone, "step"))
    if alert.kept:
        yield Line("still in effect", _names(alert.kept))
    if alert.why:
        yield Line("why", _quoted(alert.why))


def _of_approval(alert: Alert, zone: tzinfo, who: Asked) -> Iterator[Line]:
    permanent = f", {alert.irreversible} cannot be undone" if alert.irreversible else ""
    yield Line("steps", f"{count(alert.steps, 'step')}, {alert.live_steps} would go live{permanent}")
    if alert.risk:
        yield Line("highest risk", alert.risk)
    if alert.expires_at is not None:
        yield Line("expires", _at(alert.expires_at, zone))
    if alert.approvals:
        yield Line("approved by", f"{_names(alert.approvals)}, of {alert.approvals_required} that must")
    yield Line("asked", "everyone but the requester and the agents" if who.everyone else _names(who.names))
    if alert.digest:
        yield Line("digest", f"{alert.digest[:DIGEST_SHOWN]} (approve only what you have opened)")


def _quoted(text: str) -> str:
    """Return a text of a plan in quotes, so that a reader sees where it ends."""
    shown = foreign(text).replace('"', '\\"')
    return f'"{shown}"'


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(foreign(name, _NAME) for name in names[:MAX_LISTED])
    more = len(names) - MAX_LISTED
    return f"{shown} and {more} more that are not shown here" if more > 0 else shown


def _at(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"
