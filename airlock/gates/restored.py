"""Restoration of a gate from the state of an earlier run: nothing that was locked is open, and no notice is missed."""

from airlock.gates.locks import Notice, NoticeKind
from airlock.gates.semaphore import Gate


def tell_again(gate: Gate) -> None:
    """Repeat the notices that holders may have missed; receivers ignore a repeated one.

    A gate that takes up the state of an earlier run needs this: which notices that run sent is unknown.
    """
    for slot in gate.places.values():
        line = gate.barrier.told.get(slot.holder)
        if line is None:
            gate.news.append(Notice(kind=NoticeKind.GRANTED, to=slot.holder, request=slot.request))
        elif line.unlock is None and (lock := gate.barrier.closed_for(line.scopes)):
            gate.news.append(lock.notice(slot.holder))


def unite(gate: Gate, other: Gate) -> None:
    """Add the locks of another state of this gate, and fall behind neither its fence nor its news of monitors."""
    known = {lock.scope for lock in gate.barrier.locks}
    gate.barrier.locks += [lock for lock in other.barrier.locks if lock.scope not in known]
    proved = {one.id for one in gate.signing.proved}
    gate.signing.proved += [one for one in other.signing.proved if one.id not in proved]
    gate.fence = max(gate.fence, other.fence)
    for monitor, at in other.heard.items():
        gate.heard[monitor] = max(at, gate.heard.get(monitor, at))
