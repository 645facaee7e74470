"""Views of a gate: the answer of its query `status`, and its details in the Temporal UI."""

from datetime import datetime

from airlock.base.model import WireModel
from airlock.base.text import count
from airlock.base.visible import inline
from airlock.gates.lock_proof import DoubtfulCall, UnknownPlan
from airlock.gates.locks import GateLock
from airlock.gates.messages import RefusedMessage
from airlock.gates.semaphore import Gate

_NAMED = 20
_DETAIL_ROWS = 40


class HolderView(WireModel):
    """Holder of slots."""

    holder: str
    """Workflow id."""
    request: str
    slots: int
    """Number of slots held."""
    fence: int
    since: datetime
    """Time of the grant, UTC."""


class WaitingView(WireModel):
    """Request in the queue."""

    holder: str
    """Workflow id."""
    position: int
    """Position in the queue, from 1."""
    since: datetime
    """Time of the request, UTC."""
    urgent: bool
    """True if it goes before requests that are not urgent, as a rollback does."""


class NotifiedHolderView(WireModel):
    """Line of the proof: a holder at the time of a lock. Times are UTC."""

    holder: str
    """Workflow id."""
    told_at: datetime
    """Time of the notice."""
    quiesced_at: datetime | None
    """Time at which it released its slot; None while it finishes a call."""
    unreachable: str | None
    """Reason why the notice could not be delivered."""
    scopes: tuple[str, ...] = ()


class GateView(WireModel):
    """State of a gate at one moment. Holders, queue and proof are in order, and at most 1,000 of each."""

    gate: str
    """Workflow id of the gate."""
    name: str
    """Name of the resource or the tool, or `live`."""
    ready: bool
    """False while the gate takes up the state of an earlier run."""
    capacity: int
    used: int
    """Number of slots taken."""
    holders: tuple[HolderView, ...]
    waits: int
    """Number of requests in the queue."""
    waiting: tuple[WaitingView, ...]
    locks: tuple[GateLock, ...]
    told: tuple[NotifiedHolderView, ...]
    """Holders that were notified of a lock: the proof."""
    finishing: int | None = None
    """Number of them that have not released their slot; None from a worker that does not know of doubts."""
    doubts: tuple[DoubtfulCall, ...] = ()
    """Calls that may still take effect although their plans released their slots."""
    unknown: tuple[UnknownPlan, ...] = ()
    """Gaps in the knowledge of the gate about calls."""
    kept_out: int
    """Number of workflows that locks exclude."""
    kept_out_first: tuple[str, ...]
    """Workflow ids of some of them."""
    not_remembered: int
    """Number of excluded workflows that get no notice when they are unlocked, because there was no room for their ids."""
    refused: int
    """Number of messages refused."""
    refusals: tuple[RefusedMessage, ...]
    """The latest of them."""
    life: str = ""
    """Name of the gate's run in a signed statement; it ends with a reset."""
    nonce: str = ""
    """Nonce of the next signed decision."""
    voices: tuple[str, ...] = ()
    """Decisions that wait for another person to decide the same."""


def gate_view(
    gate_id: str, gate: Gate, ready: bool, refused: int, refusals: tuple[RefusedMessage, ...], rows: int
) -> GateView:
    """Return the answer of the query `status`, with at most `rows` rows in each table."""
    barrier = gate.barrier
    return GateView(
        gate=gate_id,
        name=gate.name,
        ready=ready,
        capacity=gate.capacity,
        used=gate.used,
        holders=tuple(
            HolderView(holder=slot.holder, request=slot.request, slots=slot.slots, fence=slot.fence, since=slot.since)
            for slot in list(gate.places.values())[:rows]
        ),
        waits=len(gate.queue),
        waiting=tuple(
            WaitingView(holder=waiter.wanted.holder, position=position, since=waiter.since, urgent=waiter.wanted.urgent)
            for position, waiter in enumerate(gate.queue[:rows], 1)
        ),
        locks=tuple(barrier.locks),
        told=tuple(
            NotifiedHolderView(
                holder=line.holder, told_at=line.told_at, quiesced_at=line.quiesced_at, unreachable=line.unreachable,
                scopes=line.scopes,
            )
            for line in list(barrier.told.values())[:rows]
        ),
        finishing=len(barrier.finishing),
        doubts=gate.doubts.calls()[:rows],
        unknown=gate.doubts.unknown(rows),
        kept_out=len(barrier.kept_out) + barrier.forgotten,
        kept_out_first=tuple(barrier.kept_out)[:_NAMED],
        not_remembered=barrier.forgotten,
        refused=refused,
        refusals=refusals,
        life=gate.signing.life,
        nonce=gate.signing.nonces.latest(gate_id, gate.signing.life),
        voices=tuple(f"{voice.name} by {voice.by}" for voice in gate.signing.voices),
    )  # fmt: skip


def gate_details(view: GateView) -> str:
    """Return a gate as Markdown: its locks and their proof, its holders and its queue."""
    lines = [f"**{inline(view.name or view.gate)}**: {view.used} of {view.capacity} in use, {view.waits} waiting"]
    if not view.ready:
        lines = ["Recovers the state of an earlier run of this gate; until then it grants nothing."]
    lines += ["", "**OPEN**" if not view.locks else "**CLOSED**"]
    for lock in view.locks:
        what = inline(lock.scope or "everything")
        lines.append(f"- {what}, by {inline(lock.by)} at {_at(lock.at)}: {inline(lock.reason)}")
    if view.holders:
        lines += ["", "| holder | slots | fence | since |", "| --- | --- | --- | --- |"]
        rows = view.holders[:_DETAIL_ROWS]
        lines += [f"| {inline(row.holder)} | {row.slots} | {row.fence} | {_at(row.since)} |" for row in rows]
        lines += _more(len(view.holders))
    if view.waiting:
        lines += ["", "| waiting | position | since |", "| --- | --- | --- |"]
        queue = view.waiting[:_DETAIL_ROWS]
        lines += [f"| {inline(row.holder)}{' (urgent)' * row.urgent} | {row.position} | {_at(row.since)} |" for row in queue]
        lines += _more(view.waits)
    if view.told:
        lines += ["", "| notified of a lock | at | now |", "| --- | --- | --- |"]
        proof = view.told[:_DETAIL_ROWS]
        lines += [f"| {inline(row.holder)} | {_at(row.told_at)} | {inline(proven(row))} |" for row in proof]
        lines += _more(len(view.told))
    if view.doubts:
        lines += ["", "| may still take effect | step | since | why |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {inline(call.plan)} | {inline(call.step or 'any')} | {_at(call.since)} | {inline(call.why)} |"
            for call in view.doubts[:_DETAIL_ROWS]
        ]
        lines += _more(len(view.doubts))
    if view.kept_out:
        lines += ["", f"{view.kept_out} kept out, among them {inline(', '.join(view.kept_out_first[:5]))}"]
    if view.refusals:
        lines += ["", f"{count(view.refused, 'signal')} refused; the last: {inline(view.refusals[-1].why)}"]
    return "\n".join(lines)


def proven(line: NotifiedHolderView) -> str:
    """Return the state of a notified holder in words."""
    if line.quiesced_at is not None:
        return f"quiesced since {_at(line.quiesced_at)}"
    return f"unreachable: {line.unreachable}" if line.unreachable else "finishing a call"


def _at(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _more(number: int) -> list[str]:
    return ["", f"… and {number - _DETAIL_ROWS} more"] if number > _DETAIL_ROWS else []
