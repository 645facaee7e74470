"""The answer of the live role to a run that wants to go LIVE: the permit that it keeps, or the consequence of a refusal."""

from datetime import datetime
from typing import Final

from airlock.base.text import shorten
from airlock.gates.answers import AcquireGranted, AcquireResult
from airlock.gates.protocol import EntryRefused
from airlock.plans.state import Event
from airlock.run.audit import AuditKind
from airlock.run.decisions.decision import decide
from airlock.run.decisions.permission import AGAIN, ELSEWHERE, STALE
from airlock.run.handed_back import PATIENCE, asked_since, may_ask_on
from airlock.run.messages import Lock
from airlock.run.permit import RunPermit
from airlock.run.state import Run

MAX_REFUSALS: Final = 3
"""Refusals in a row, without a vote between them, after which the orchestrating and the live workers cannot agree."""

MAX_RENEWALS: Final = 5
"""Entries to LIVE in a row because of calls that were turned away, before the run waits for a human."""

REFUSED_ENTRY: Final = "the live worker refused the entry to LIVE"
"""The beginning of the reason of every transition that a refused entry causes."""


def take_permit(run: Run, result: AcquireResult) -> None:
    """Keep the permit that came with an answer of the gates."""
    if not result.receipt or run.digest is None:
        return  # a worker up to version 0.1 answered, or the live role refused
    if run.permit is None or run.permit.receipt != result.receipt:
        run.permit = RunPermit(digest=run.digest, receipt=result.receipt, tokens=result.tokens)
    if isinstance(result, AcquireGranted):
        run.permit = run.permit.model_copy(update={"entry": result.permit_pass})


def take_turned_away(run: Run, why: str, now: datetime) -> None:
    """Let a run enter LIVE again after a call was turned away, so that its approval is examined again.

    After `MAX_RENEWALS` in a row without a call between them the run waits for a human.
    """
    run.permit = None
    run.renewals += 1
    if run.renewals > MAX_RENEWALS:
        reason = f"calls are turned away although the run entered LIVE {run.renewals - 1} times again: {why}"
        run.renewals = 0
        decide(run, "lock", Lock(by="airlock", reason=shorten(reason)), now)


def take_no_worker(run: Run, why: str, now: datetime) -> None:
    """Lock a run whose next calls no worker could make: what is live stays, and what remains was never called."""
    run.permit = None
    minutes = PATIENCE.total_seconds() / 60
    reason = f"no live worker with the approved contract answered for {minutes:g} minutes: {why}"
    decide(run, "lock", Lock(by="airlock", reason=shorten(reason)), now)


def take_refusal(run: Run, refusal: EntryRefused, now: datetime) -> None:
    """Record that the live role let the run not enter, and go back to where that can be repaired.

    A seal that does not fit is made again. For anything else the plan is admitted again, under the policy of today, and its
    approvers are asked again. After `MAX_REFUSALS` in a row without a vote between them the run waits for a human. A worker
    that has other contracts does not count: the run asks again, until another worker answers or `PATIENCE` is over.
    """
    run.permit = None
    if refusal.kind == ELSEWHERE:
        first = asked_since(run) is None
        if may_ask_on(run, now):
            if first:
                run.record(AuditKind.REFUSED, "entry to LIVE", now, digest=run.digest, reason=refusal.why)
            return
    run.entry_refusals += 1
    run.record(AuditKind.REFUSED, "entry to LIVE", now, digest=run.digest, reason=refusal.why)
    reason = shorten(f"{REFUSED_ENTRY}: {refusal.why}")
    if run.entry_refusals >= MAX_REFUSALS:
        theirs, own = refusal.policy[:12] or "unknown", run.contracts().policy_hash[:12]
        times = f"{run.entry_refusals} times in a row (policy of the plan {own}, policy that refused {theirs})"
        decide(run, "lock", Lock(by="airlock", reason=shorten(f"{reason}; {times}")), now)
    elif refusal.kind == STALE:
        run.apply(Event.STALE, now, reason=reason)
    elif refusal.kind != AGAIN:
        run.apply(Event.ENTRY_REFUSED, now, reason=reason)
