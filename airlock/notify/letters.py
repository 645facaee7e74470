"""Letters: one message in the words for people and in those for programs, with the addresses it goes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airlock.admission.configuration.notify_config import AlertKind, Receiver
from airlock.admission.policy import Policy
from airlock.alerts.alert import Alert
from airlock.alerts.asked import addresses, asked_by
from airlock.alerts.message import Message, digest_message, entry, link_of, message, trial_message
from airlock.alerts.routing import DIGEST
from airlock.alerts.webhook import Notification, alert_view, notification

TEST = "test"


@dataclass(frozen=True)
class Letter:
    """One message, ready to be put into the form of its receiver."""

    id: str
    message: Message
    notification: Notification
    to: tuple[str, ...] = ()
    """Mail addresses; empty for other kinds of receivers."""


def letter(
    id: str, alert: Alert, name: str, receiver: Receiver, policy: Policy, now: datetime, *, escalated: bool = False
) -> Letter:
    """Return the letter about one alert."""
    who = asked_by(alert, receiver, policy)
    view = alert_view(alert, who, link_of(receiver, alert.plan_id), escalated=escalated)
    kind = f"{'system' if alert.kind is AlertKind.SYSTEM_LOCKED else 'plan'}.{alert.kind.value}"
    return Letter(
        id,
        message(id, alert, receiver, who, escalated=escalated),
        notification(kind, name, [view], now),
        addresses(alert, receiver, policy),
    )


def digest_letter(
    id: str, told: Sequence[tuple[Alert, bool]], name: str, receiver: Receiver, policy: Policy, now: datetime
) -> Letter:
    """Return the letter of a digest; each alert comes with True if it is new."""
    who = [asked_by(alert, receiver, policy) for alert, _ in told]
    entries = tuple((entry(alert, receiver, asked), new) for (alert, new), asked in zip(told, who, strict=True))
    views = [
        alert_view(alert, asked, link_of(receiver, alert.plan_id), new=new)
        for (alert, new), asked in zip(told, who, strict=True)
    ]
    to = dict.fromkeys(address for alert, _ in told for address in addresses(alert, receiver, policy))
    return Letter(id, digest_message(id, entries, receiver), notification(DIGEST, name, views, now), tuple(to))


def trial_letter(id: str, name: str, receiver: Receiver, now: datetime) -> Letter:
    """Return the letter of `airlock notify test`."""
    to = tuple(dict.fromkeys(receiver.to.values()))
    return Letter(id, trial_message(id, name, receiver), notification(TEST, name, [], now), to)
