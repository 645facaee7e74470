"""Alerts, receivers and a policy for the tests of messages."""

from datetime import UTC, datetime
from typing import Any

from airlock.admission.configuration.notify_config import AlertKind, Receiver
from airlock.admission.policy import Policy
from airlock.alerts.alert import Alert

SINCE = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
EXPIRES = datetime(2026, 3, 11, 12, 0, tzinfo=UTC)
POLICY = Policy(approvers=("alice", "bob"), roles={"board": ("bob", "carol")})


def alert(kind: AlertKind = AlertKind.WAITING, **more: Any) -> Alert:
    about: dict[str, Any] = {
        "since": SINCE, "plan_id": "p1", "goal": "Pay the invoice", "requested_by": "rita", "risk": "HIGH", "steps": 3,
        "live_steps": 2, "irreversible": 1, "agents": ("crm",), "tools": ("pay",), "approvals_required": 1,
        "waits_for": "1 approval of finance",
    }  # fmt: skip
    if kind in (AlertKind.WAITING, AlertKind.EXPIRING):
        about |= {"digest": "a1b2c3d4e5f60718", "expires_at": EXPIRES}
    if kind is AlertKind.SYSTEM_LOCKED:
        about = {"since": SINCE, "why": "a bad deploy", "by": "olga"}
    return Alert(kind=kind, **(about | more))


def receiver(**more: Any) -> Receiver:
    return Receiver.model_validate({"kind": "slack", "url": {"$secret": "CHAT"}, **more})


def mailbox(to: dict[str, str], **more: Any) -> Receiver:
    return Receiver.model_validate({"kind": "email", "to": to, **more})
