"""Decisions at the live gate, from Temporal's histories of the gate: who, when, about what, why, and by which key."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from temporalio.client import Client

from airlock.base.model import WireModel
from airlock.base.names import LIVE_GATE
from airlock.base.person import folded
from airlock.base.text import shorten
from airlock.client.errors import NoAnswer
from airlock.client.gate_history import AUTO_LOCK, GateRun, SentDecision, gate_runs, read_gate_run
from airlock.client.gate_status import read_gate
from airlock.gates.locks import GateLock
from airlock.gates.parsing import GateDecision
from airlock.signing.passkey import MissingExtra, Passkey
from airlock.signing.proof import proof_of
from airlock.signing.signature_words import UNSIGNED, key_words
from airlock.signing.signed_decision import SignedDecision, signed_decision
from airlock.signing.statement import statement
from airlock.temporal.history import Unreadable

MAX_RUNS: Final = 200
"""Runs of the gate that one reading looks at: each holds about a thousand events."""
MAX_DECISIONS: Final = 1_000
_STATUS_WITHIN: Final = 5.0
"""Seconds for the gate's own answer, which only adds to what its histories hold."""


class GateDecisionLine(WireModel):
    """One decision that was sent to the live gate."""

    at: datetime
    """The time at which Temporal stored it, UTC."""
    decision: str
    """`lock`, `unlock`, or `auto_lock` of a monitor."""
    by: str
    """The person, or the monitor's workflow id; empty if the message cannot be read."""
    scope: str | None = None
    """`agent:x`, `tool:y` or `resource:z`; None for everything."""
    reason: str = ""
    accepted: bool | None = None
    """The gate's verdict; None for a signal of which no later state of the gate tells."""
    answer: str
    """The gate's answer, or what is known in its place."""
    signature: str
    """The words about its signature; empty for a monitor."""
    signed: SignedDecision | None = None
    """The signed statement, if its evidence fits."""
    run_id: str
    event_id: int


class GateDecisions(WireModel):
    """The decisions at the live gate, newest first, as far as they were read."""

    decisions: tuple[GateDecisionLine, ...] = ()
    runs: int = 0
    """The runs of the gate that were read."""
    since: datetime | None = None
    """The start of the oldest of them, UTC."""
    more: bool = False
    """True if there are older decisions, or older runs, that were not read."""
    unreadable: tuple[str, ...] = ()
    """The runs whose history could not be read."""


async def gate_decisions(client: Client, *, limit: int = 50, runs: int = 50, known: Sequence[Passkey] = ()) -> GateDecisions:
    """Return the latest decisions at the live gate. It needs no worker.

    Args:
        client: A connected client.
        limit: The most decisions to return, `MAX_DECISIONS` at most.
        runs: The most runs of the gate to read, `MAX_RUNS` at most.
        known: The passkeys of the operator's file, for their labels.

    Raises:
        Unreadable: If Temporal does not answer.
    """
    limit, runs = min(limit, MAX_DECISIONS), min(runs, MAX_RUNS)
    ids, more = await gate_runs(client, runs)
    read: list[GateRun] = []
    unreadable: list[str] = []
    for number, run_id in enumerate(ids):
        try:
            read.append(await read_gate_run(client, run_id))
        except Unreadable:  # removed by retention since it was listed
            unreadable.append(run_id)
        if sum(len(each.sent) for each in read) > limit:
            more = more or number + 1 < len(ids)
            break
    life, locks = await _now(client)
    lives = tuple(dict.fromkeys(each for each in (life, *(run.life for run in read)) if each))
    states = [*locks, *(lock for run in read for lock in run.locks)]
    lines = _lines(client.namespace, read, lives, states, known)
    return GateDecisions(
        decisions=tuple(lines[:limit]),
        runs=len(read),
        since=min((run.began for run in read), default=None),
        more=more or len(lines) > limit,
        unreadable=tuple(unreadable),
    )


def _lines(
    namespace: str, runs: Sequence[GateRun], lives: Sequence[str], states: Iterable[GateLock], known: Sequence[Passkey]
) -> list[GateDecisionLine]:
    """Return the decisions, newest first. What a reset copied into another run is told once, of the newer run."""
    locks, lines = tuple(states), dict[tuple[int, int], GateDecisionLine]()
    spent: set[tuple[str, str]] = set()
    for run in reversed(runs):
        for sent in run.sent:
            earlier = lines.pop(_place(sent), None)
            fresh = spent if earlier is None else frozenset()
            line = _line(namespace, run.run_id, sent, lives, locks, fresh, known)
            lines[_place(sent)] = line
            if line.signed is not None:
                spent.add(_once(line.signed.statement.nonce, line.by))
    return list(lines.values())[::-1]


def _once(nonce: str, by: str) -> tuple[str, str]:
    """Return what one person signs with once: only evidence that fits uses it up."""
    return nonce, folded(by)


def _place(sent: SentDecision) -> tuple[int, int]:
    return sent.event.event_id, sent.event.event_time.ToNanoseconds()


def _line(
    namespace: str, run_id: str, sent: SentDecision, lives: Sequence[str], locks: Sequence[GateLock],
    spent: Collection[tuple[str, str]], known: Sequence[Passkey],
) -> GateDecisionLine:  # fmt: skip
    at = sent.event.event_time.ToDatetime(UTC)
    accepted, answer = _answer(sent, at, locks)
    signed, words = _signature(namespace, sent, at, lives, spent, known)
    decision = sent.decision
    return GateDecisionLine(
        at=at,
        decision=sent.name,
        by=sent.by,
        scope=None if decision is None else decision.scope,
        reason="" if decision is None else shorten(decision.reason),
        accepted=accepted,
        answer=answer,
        signature=words,
        signed=signed,
        run_id=run_id,
        event_id=sent.event.event_id,
    )


def _answer(sent: SentDecision, at: datetime, locks: Sequence[GateLock]) -> tuple[bool | None, str]:
    if sent.problem:
        return False, f"refused: {sent.problem}"
    if sent.verdict is not None:
        return sent.verdict.accepted, f"{'accepted' if sent.verdict.accepted else 'refused'}: {sent.verdict.reason}"
    if sent.update:
        return None, "the gate has not answered yet"
    if sent.name == AUTO_LOCK:
        return None, "a signal gets no answer; the gate locks if that monitor confirms it"
    decision = sent.decision
    if decision is not None and any(_is_of(lock, sent.name, decision, at) for lock in locks):
        return True, "accepted: a later state of the gate holds this lock"
    return None, "a signal gets no answer: the history does not tell whether it counted"


def _is_of(lock: GateLock, name: str, decision: GateDecision, at: datetime) -> bool:
    said = (decision.scope, decision.by, shorten(decision.reason))
    return name == "lock" and (lock.scope, lock.by, lock.reason) == said and lock.at >= at


def _signature(
    namespace: str, sent: SentDecision, at: datetime, lives: Sequence[str], spent: Collection[tuple[str, str]],
    known: Sequence[Passkey],
) -> tuple[SignedDecision | None, str]:  # fmt: skip
    """Return what was signed if the evidence fits, and what is to be said of it."""
    decision = sent.decision
    if decision is None:
        return None, ""
    evidence = decision.evidence
    if evidence is None:
        return None, UNSIGNED
    if sent.registered is None or not lives:
        what = "keys by which the gate judged it are" if lives else "gate's life at that time is"
        return None, f"carries evidence of kind {evidence.kind} that cannot be checked: the {what} not known"
    if evidence.expires <= at:
        return None, "not signed: its evidence had expired"
    why = ""
    for life in lives:
        stated = statement(
            sent.name, decision.model_dump(mode="json", exclude={"evidence"}), namespace=namespace, subject=LIVE_GATE,
            life=life, seal=None, nonce=evidence.nonce, expires=evidence.expires,
        )  # fmt: skip
        try:
            proof = proof_of(evidence, stated, sent.registered)
        except MissingExtra as error:
            return None, f"carries evidence of kind {evidence.kind} that cannot be checked: {error}"
        if proof.problem is None:
            if _once(evidence.nonce, decision.by) in spent:
                return None, "not signed: its evidence had been used before, and counts once"
            signed = signed_decision(stated, evidence, proof.made_by, sent.registered.passkeys)
            return signed, f"signed with {key_words(signed, known)}"
        why = why or proof.problem
    return None, f"not signed: {why}"


async def _now(client: Client) -> tuple[str, tuple[GateLock, ...]]:
    """Return the life of the gate's run and its locks now; nothing if no worker answers."""
    try:
        view = await read_gate(client, LIVE_GATE, _STATUS_WITHIN)
    except NoAnswer:
        return "", ()
    return ("", ()) if view is None else (view.life, view.locks)
