"""Slots of a gate and its queue: a granted request, a waiting request, and the bounds of what one may carry."""

from datetime import datetime

from pydantic import BaseModel

from airlock.gates.protocol import Release, SlotRequest

_OVERHEAD = 150
_SCOPE_BYTES = 2_000
_MAX_GRACE = 30 * 86_400.0


class Slot(BaseModel):
    """Granted request of one holder. Times are UTC."""

    holder: str
    """Workflow id."""
    request: str
    slots: int
    """Number of slots that the request takes, 1 or more."""
    fence: int
    since: datetime
    seen: datetime
    """Time of the holder's last request."""
    grace: float
    """Seconds that a call of the holder may run on after its workflow was closed."""
    scopes: tuple[str, ...]
    until: datetime | None = None
    """Time at which the slot is freed, because its holder is gone; None while the holder lives."""
    known: bool = False
    """True if the holder received the answer `granted`. Before that, no call of it can be running."""
    size: int = 0
    """Approximate size as JSON, in bytes."""
    run_id: str = ""
    doubt: str = ""
    """Reason why calls of the holder may be running after `until`; empty if none can."""
    calls: tuple[str, ...] = ()
    """Steps that these may be; the empty name stands for any."""
    execution: str = ""
    """First run of the holder's chain of continue-as-new; empty if its worker did not say."""


class Waiter(BaseModel):
    """Request in the queue. Times are UTC."""

    wanted: SlotRequest
    since: datetime
    seen: datetime
    """Time of the holder's last request."""
    size: int = 0
    """Approximate size as JSON, in bytes."""


def releases(release: Release, slot: Slot) -> bool:
    """Return True if a release means this slot, and not one that the holder had under the same name before a reset."""
    same = release.fence is None or release.fence == (slot.fence if slot.known else 0)
    return same and is_released(release, slot.request, slot.execution)


def is_released(release: Release, request: str, execution: str) -> bool:
    """Return True if a release means this request, and not one of the same name of an earlier execution of the holder."""
    same = not release.execution or not execution or release.execution == execution
    return release.request == request and same


def request_key(wanted: SlotRequest) -> str:
    """Return the key under which a request is booked in the budget ledger."""
    return f"{wanted.holder} {wanted.request} {wanted.run_id}"


def request_size(wanted: SlotRequest) -> int:
    """Return the approximate size of a slot or a waiter of this request as JSON, in bytes."""
    return len(wanted.model_dump_json()) + _OVERHEAD


def bounded_request(wanted: SlotRequest) -> SlotRequest:
    """Return the request with bounded scopes and grace.

    Too many scopes of one kind become one scope for all of that kind, such as `resource:*`: a lock of any of them matches.
    """
    by_kind: dict[str, list[str]] = {}
    for scope in sorted(set(wanted.scopes)):
        by_kind.setdefault(scope.partition(":")[0], []).append(scope)
    kept = (
        scopes if sum(map(len, scopes)) <= _SCOPE_BYTES else [f"{kind}:*"] for kind, scopes in sorted(by_kind.items())[:10]
    )
    grace = min(max(wanted.grace, 0.0), _MAX_GRACE)
    return wanted.model_copy(update={"scopes": tuple(scope for scopes in kept for scope in scopes), "grace": grace})
