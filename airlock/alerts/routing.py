"""The deliveries of what stands: which alert goes to which receiver, and from when on.

A delivery depends on what stands and on the configuration alone, not on what was sent before. A process that computes it
again comes to the same ids, and Temporal starts a workflow of one id once.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from airlock.admission.configuration.notify_config import Receiver, Receivers
from airlock.admission.policy import Policy
from airlock.alerts.alert import FOR_APPROVERS, WANT_AN_ANSWER, Alert
from airlock.alerts.asked import asked_by
from airlock.alerts.calendar import after_quiet, digest_moment
from airlock.base.model import WireModel
from airlock.base.names import NOTIFY_PREFIX
from airlock.plans.plan import seconds

DIGEST: Final = "digest"


class Delivery(WireModel):
    """One message to one receiver: the input of its workflow. It names what is told, and holds none of it."""

    receiver: str
    key: str
    """The key of the alert; `digest-` and its moment for a digest."""
    kind: str
    """The kind of alert, or `digest`."""
    plan_id: str = ""
    """Empty for the live gate and for a digest."""
    digest: str = ""
    """The first characters of the seal's digest."""
    due: datetime
    """UTC."""
    attempts: int = 12
    pause: float = 5.0
    """Seconds before the second attempt."""

    @property
    def id(self) -> str:
        """The id of its workflow and of its message, the same in every attempt."""
        return f"{NOTIFY_PREFIX}{self.receiver}-{self.key}"


def deliveries(alerts: Iterable[Alert], receivers: Receivers, policy: Policy) -> tuple[Delivery, ...]:
    """Return the deliveries of what stands, in the order of their time; those of the future too."""
    found: dict[str, Delivery] = {}
    for alert in alerts:
        for name, receiver in receivers.items():
            for told in _told(alert, receiver):
                for each in _delivered(told, name, receivers, policy):
                    if each.id not in found or each.due < found[each.id].due:
                        found[each.id] = each
    return tuple(sorted(found.values(), key=lambda each: (each.due, each.id)))


def matching(alert: Alert, name: str, receivers: Receivers, policy: Policy) -> tuple[tuple[Alert, datetime], ...]:
    """Return the alerts that reach a receiver because of one, each with the time since which it is to be told there."""
    ways = [
        (told, to, at)
        for first, receiver in receivers.items()
        for told in _told(alert, receiver)
        for to, at in _way(told, first, receivers, policy)
    ]
    found: dict[str, tuple[Alert, datetime]] = {}
    for told, to, at in ways:
        if to == name and (told.key not in found or at < found[told.key][1]):
            found[told.key] = (told, at)
    return tuple(found.values())


def in_digest(
    alerts: Iterable[Alert], name: str, moment: datetime, receivers: Receivers, policy: Policy
) -> tuple[tuple[Alert, bool], ...]:
    """Return what a digest tells: everything that stands up to its moment, each with True if it came in its period."""
    found: list[tuple[Alert, bool]] = []
    for alert in alerts:
        for told, at in matching(alert, name, receivers, policy):
            ends = digest_moment(receivers[name], at)
            if ends is not None and ends <= moment:
                found.append((told, ends == moment))
    return tuple(sorted(found, key=lambda each: (not each[1], each[0].expires_at or each[0].since, each[0].plan_id)))


def wanted(alert: Alert, receiver: Receiver) -> bool:
    """Return True if a receiver is to be told of an alert. Filters by plan let through what is about no plan."""
    if alert.kind not in receiver.events:
        return False
    if not alert.plan_id:
        return True
    return (
        (not receiver.risks or alert.risk in receiver.risks)
        and _any(receiver.agents, alert.agents)
        and _any(receiver.tools, alert.tools)
    )


def _told(alert: Alert, receiver: Receiver) -> Iterator[Alert]:
    warning = alert.expiring(seconds(receiver.warn_before))
    yield from (told for told in (alert, warning) if told is not None and wanted(told, receiver))


def _way(alert: Alert, first: str, receivers: Receivers, policy: Policy) -> Iterator[tuple[str, datetime]]:
    """Yield a receiver and those it escalates to, each with the time; those none of whose people may answer are left out."""
    name, at, passed = first, alert.since, set[str]()
    while name in receivers and name not in passed:
        passed.add(name)
        if asked_by(alert, receivers[name], policy):
            yield name, at
        step = receivers[name].escalate
        if step is None or alert.kind not in WANT_AN_ANSWER:
            return
        name, at = step.to, at + timedelta(seconds=seconds(step.after))


def _delivered(alert: Alert, first: str, receivers: Receivers, policy: Policy) -> Iterator[Delivery]:
    for name, at in _way(alert, first, receivers, policy):
        receiver = receivers[name]
        moment = digest_moment(receiver, at)
        due = after_quiet(receiver, alert.kind if moment is None else None, moment or at)
        told = Delivery(
            receiver=name,
            key=alert.key,
            kind=alert.kind.value,
            plan_id=alert.plan_id,
            digest=(alert.digest or "")[:12],
            due=due,
            attempts=receiver.attempts,
            pause=seconds(receiver.pause),
        )
        if moment is not None:
            key = f"{DIGEST}-{moment:%Y%m%dT%H%M%SZ}"
            yield told.model_copy(update={"key": key, "kind": DIGEST, "plan_id": "", "digest": ""})
        elif alert.kind not in FOR_APPROVERS or alert.expires_at is None or due < alert.expires_at:
            yield told  # else by the end of the quiet hours there is nothing left to approve


def moment_of(delivery: Delivery) -> datetime:
    """Return the moment of a digest's delivery, UTC.

    Raises:
        ValueError: If its key names none.
    """
    return datetime.strptime(f"{delivery.key.removeprefix(f'{DIGEST}-')}+0000", "%Y%m%dT%H%M%SZ%z")


def _any(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
