"""Messages for programs: one JSON object, signed as Standard Webhooks ask for."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from pydantic import Field

from airlock.alerts.alert import Alert, AlertFacts
from airlock.alerts.asked import Asked
from airlock.alerts.foreign import foreign
from airlock.alerts.message import DIGEST_SHOWN
from airlock.base.model import WireModel

SECRET_PREFIX: Final = "whsec_"
MIN_SECRET: Final = 24
"""Bytes of a secret."""
MAX_ENTRIES: Final = 200
"""Alerts of one digest."""
MAX_NAMES: Final = 50
"""Names of one list."""
_NAME = 200
"""Characters of a name."""
_TEXTS: Final = ("goal", "why", "waits_for")
_LISTS: Final = ("agents", "tools", "approvals", "parked", "kept")


class AlertView(AlertFacts):
    """One alert. Texts of plans are as in previews: what cannot be seen, and what looks like a link, is marked.

    Of the seal's digest it holds the first characters: to compare, not to approve by.
    """

    kind: str
    plan_id: str
    """Empty for the system lock."""
    asked: tuple[str, ...] = ()
    """The people behind this receiver who may approve; empty if the policy names none, or no approval is asked for."""
    link: str | None = None
    escalated: bool = False
    """True if another receiver was told before, and there is no answer yet."""
    new: bool = True
    """False in a digest for what an earlier one told already."""
    shortened: bool = False
    """True if a text or a list is longer than it is here."""


class Notification(WireModel):
    """The body of a webhook."""

    type: str
    """`plan.` or `system.` and the kind of alert, `digest`, or `test`."""
    timestamp: datetime
    """The time of the attempt, UTC."""
    receiver: str
    alerts: tuple[AlertView, ...] = ()
    """One; more in a digest; none in a test."""
    more: int = Field(default=0, ge=0)
    """Number of alerts that do not fit."""


def alert_view(alert: Alert, who: Asked, link: str | None, *, new: bool = True, escalated: bool = False) -> AlertView:
    """Return an alert for programs."""
    lists = {name: getattr(alert, name) for name in _LISTS} | {"asked": who.names}
    return AlertView.model_validate(
        {
            **dict(alert),
            **{name: foreign(getattr(alert, name)) for name in _TEXTS},
            "requested_by": foreign(alert.requested_by, _NAME),
            "scope": alert.scope and foreign(alert.scope, _NAME),
            "by": foreign(alert.by, _NAME),
            **{name: tuple(foreign(each, _NAME) for each in some[:MAX_NAMES]) for name, some in lists.items()},
            "kind": alert.kind.value,
            "digest": alert.digest[:DIGEST_SHOWN] if alert.digest else None,
            "link": link,
            "escalated": escalated,
            "new": new,
            "shortened": any(len(some) > MAX_NAMES for some in lists.values()),
        }
    )


def notification(type: str, receiver: str, views: Sequence[AlertView], now: datetime) -> Notification:
    """Return the body of a webhook; what does not fit is counted."""
    kept = tuple(views[:MAX_ENTRIES])
    return Notification(type=type, timestamp=now, receiver=receiver, alerts=kept, more=len(views) - len(kept))


def body_of(notification: Notification) -> bytes:
    """Return the bytes that are signed and sent."""
    return json.dumps(notification.model_dump(mode="json"), separators=(",", ":")).encode()


def signing_key(secret: str) -> bytes:
    """Return the key that a secret holds.

    Raises:
        ValueError: If it has another form; the message does not hold it.
    """
    fix = "make one: python -c \"import base64, os; print('whsec_' + base64.b64encode(os.urandom(32)).decode())\""
    try:
        key = (
            base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True) if secret.startswith(SECRET_PREFIX) else b""
        )
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < MIN_SECRET:
        raise ValueError(f"is not {SECRET_PREFIX} and at least {MIN_SECRET} bytes in base64; {fix}")
    return key


def signed_headers(id: str, now: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of a signed message, see standardwebhooks.com.

    Args:
        id: The id of the message, the same in every attempt.
        now: The time of the attempt, UTC.
        body: The bytes that are sent.
        keys: The keys; a receiver accepts a message that one of its own has signed.
    """
    stamp = str(int(now.timestamp()))
    content = b".".join((id.encode(), stamp.encode(), body))
    signatures = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
