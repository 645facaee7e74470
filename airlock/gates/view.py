"""The views of a gate: the answer of its query `status`, and its details in the Temporal UI."""

from datetime import datetime

from airlock.base.model import WireModel
from airlock.base.text import inline
from airlock.gates.locks import GateLock
from airlock.gates.messages import RefusedMessage
from airlock.gates.semaphore import Gate

_NAMED = 20
_DETAIL_ROWS = 40


class HolderView(WireModel):
    """A holder, its number of slots, and since when it holds them (UTC)."""

    holder: str
    request: str
    slots: int
    fence: int
    since: datetime


class WaitingView(WireModel):
    """A waiting plan. `position` counts from 1; `since` is UTC."""

    holder: str
    position: int
    since: datetime
    urgent: bool


class NotifiedHolderView(WireModel):
    """The proof for one holder that was in when a lock came: it is out since `quiesced_at`, or still finishing a call.

    `unreachable` says why it could not be told. Times are UTC.
    """

    holder: str
    told_at: datetime
    quiesced_at: datetime | None
    unreachable: str | None
    scopes: tuple[str, ...] = ()


class GateView(WireModel):
    """A gate at one moment. Holders, queue and proof are in order; of each the first 1,000.

    `kept_out` counts those that locks keep out, `kept_out_first` names some; `not_remembered` more will not be told when it
    is unlocked. `refused` counts signals that made no sense, `refusals` are the latest. Not `ready`: it still finds out what
    an earlier run of it knew.
    """

    gate: str
    name: str
    ready: bool
    capacity: int
    used: int
    holders: tuple[HolderView, ...]
    waits: int
    waiting: tuple[WaitingView, ...]
    locks: tuple[GateLock, ...]
    told: tuple[NotifiedHolderView, ...]
    kept_out: int
    kept_out_first: tuple[str, ...]
    not_remembered: int
    refused: int
    refusals: tuple[RefusedMessage, ...]


def gate_view(
    gate_id: str, gate: Gate, ready: bool, refused: int, refusals: tuple[RefusedMessage, ...], rows: int
) -> GateView:
    """Return the answer of the query `status`, with so many rows of each table at most."""
    barrier = gate.barrier
    return GateView(
        gate=gate_id,
        name=gate.name,
        ready=ready,
        capacity=gate.capacity,
        used=gate.used,
        holders=tuple(
            HolderView(holder=place.holder, request=place.request, slots=place.slots, fence=place.fence, since=place.since)
            for place in list(gate.places.values())[:rows]
        ),
        waits=len(gate.queue),
        waiting=tuple(
            WaitingView(holder=waiter.wanted.holder, position=position, since=waiter.since, urgent=waiter.wanted.urgent)
            for position, waiter in enumerate(gate.queue[:rows], 1)
        ),
        locks=tuple(barrier.locks),
        told=tuple(
            NotifiedHolderView(
                holder=told.holder, told_at=told.told_at, quiesced_at=told.quiesced_at, unreachable=told.unreachable,
                scopes=told.scopes,
            )
            for told in list(barrier.told.values())[:rows]
        ),
        kept_out=len(barrier.kept_out) + barrier.forgotten,
        kept_out_first=tuple(barrier.kept_out)[:_NAMED],
        not_remembered=barrier.forgotten,
        refused=refused,
        refusals=refusals,
    )  # fmt: skip


def gate_details(view: GateView) -> str:
    """Return a gate as Markdown: open or closed by whose lock and why, holders, queue, and the proof of its locks."""
    lines = [f"**{inline(view.name or view.gate)}**: {view.used} of {view.capacity} in use, {view.waits} waiting"]
    if not view.ready:
        lines = ["Recovers the state of an earlier run of this gate; until then it grants nothing."]
    lines += ["", "**OPEN**" if not view.locks else "**CLOSED**"]
    for lock in view.locks:
        what = inline(lock.scope or "everything")
        lines.append(f"- {what}, by {inline(lock.by)} at {_at(lock.at)}: {inline(lock.reason)}")
    if view.holders:
        lines += ["", "| in | slots | fence | since |", "| --- | --- | --- | --- |"]
        rows = view.holders[:_DETAIL_ROWS]
        lines += [f"| {inline(row.holder)} | {row.slots} | {row.fence} | {_at(row.since)} |" for row in rows]
        lines += _more(len(view.holders))
    if view.waiting:
        lines += ["", "| waiting | position | since |", "| --- | --- | --- |"]
        queue = view.waiting[:_DETAIL_ROWS]
        lines += [f"| {inline(row.holder)}{' (urgent)' * row.urgent} | {row.position} | {_at(row.since)} |" for row in queue]
        lines += _more(view.waits)
    if view.told:
        lines += ["", "| told of a lock | at | now |", "| --- | --- | --- |"]
        proof = view.told[:_DETAIL_ROWS]
        lines += [f"| {inline(row.holder)} | {_at(row.told_at)} | {inline(proven(row))} |" for row in proof]
        lines += _more(len(view.told))
    if view.kept_out:
        lines += ["", f"{view.kept_out} kept out, among them {inline(', '.join(view.kept_out_first[:5]))}"]
    if view.refusals:
        lines += ["", f"{view.refused} signals refused; the last: {inline(view.refusals[-1].why)}"]
    return "\n".join(lines)


def proven(told: NotifiedHolderView) -> str:
    """Return the state of a notified holder in words."""
    if told.quiesced_at is not None:
        return f"quiesced since {_at(told.quiesced_at)}"
    return f"unreachable: {told.unreachable}" if told.unreachable else "finishing a call"


def _at(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _more(number: int) -> list[str]:
    return ["", f"… and {number - _DETAIL_ROWS} more"] if number > _DETAIL_ROWS else []
