"""Alerts: what stands about a plan, or about the live gate, that people should know."""

from datetime import datetime, timedelta
from typing import Final

from airlock.admission.configuration.notify_config import AlertKind
from airlock.base.canonical import digest as digest_of
from airlock.base.model import WireModel

FOR_APPROVERS: Final = (AlertKind.WAITING, AlertKind.EXPIRING)
"""Alerts that ask for an approval: only those are asked who may give it."""
WANT_AN_ANSWER: Final = tuple(kind for kind in AlertKind if kind not in (AlertKind.EXPIRING, AlertKind.ROLLED_BACK))
"""Alerts that end when a person has decided; these are escalated."""
_KEY = 20
"""Hexadecimal digits of a key."""


class AlertFacts(WireModel):
    """The facts about one thing that stands at one moment. Times are UTC. It holds no arguments and no outputs."""

    since: datetime
    """The time since which it stands."""
    plan_id: str = ""
    """Empty for the live gate."""
    goal: str = ""
    requested_by: str = ""
    why: str = ""
    """The reason of the state, or of the lock."""
    waits_for: str = ""
    """The event that the plan waits for, in words."""
    risk: str | None = None
    steps: int = 0
    live_steps: int = 0
    """Number of steps that an approval could let go live."""
    irreversible: int = 0
    """Number of those that cannot be undone."""
    agents: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    approvals_required: int = 0
    parked: tuple[str, ...] = ()
    undone: int = 0
    """Number of steps that were undone."""
    kept: tuple[str, ...] = ()
    """Steps whose effect a rollback kept."""
    digest: str | None = None
    expires_at: datetime | None = None
    scope: str | None = None
    """Scope of a lock of the live gate; None locks everything."""
    by: str = ""
    """Person or program that locked the live gate, or the plan."""


class Alert(AlertFacts):
    """One thing that stands, with the texts as a plan or a person wrote them."""

    kind: AlertKind

    @property
    def key(self) -> str:
        """The identity of the alert: the same as long as it stands, and another one when it comes again."""
        stands = [self.kind.value, self.plan_id, self.since.isoformat(), self.digest, list(self.parked), self.scope, self.by]
        return digest_of(stands)[:_KEY]

    def expiring(self, before: float) -> "Alert | None":
        """Return the warning that a waiting plan will expire, standing since the moment at which it is due.

        Args:
            before: Seconds before the expiry; at most half of the time that the plan waits count.
        """
        if self.kind is not AlertKind.WAITING or self.expires_at is None or self.expires_at <= self.since:
            return None
        lead = min(timedelta(seconds=before), (self.expires_at - self.since) / 2)
        return self.model_copy(update={"kind": AlertKind.EXPIRING, "since": self.expires_at - lead})
