"""The reaction of a run to the answers of gates: slots and claims that it takes, waits, locks, and steps it leaves out."""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from airlock.admission.conflicts.conflict import Answer, ConflictKind
from airlock.base.text import shorten
from airlock.gates.answers import (
    AcquireBusy,
    AcquireClosed,
    AcquireDenied,
    AcquireGranted,
    AcquireQueued,
    AcquireRefused,
    AcquireResult,
)
from airlock.plans.graph import dependents
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallEvent
from airlock.run.decisions.decision import decide
from airlock.run.decisions.entry import take_permit, take_refusal
from airlock.run.messages import Lock
from airlock.run.state import Run


def take_acquired(run: Run, result: AcquireResult, now: datetime) -> bool:
    """Record the acquired slots; return True if the run may make its calls.

    A closed live gate or an exhausted budget locks the run, which then waits for a human.
    """
    take_late(run, result)
    take_permit(run, result)
    waited = run.gate_wait
    take_wait(run, result)
    match result:
        case AcquireQueued(waiting=wait) | AcquireBusy(busy=wait):
            if waited is None or waited.gate != wait.gate:
                by = f", held by {', '.join(wait.holders[:5])}" if wait.holders else ""
                reason = f"waits for {wait.name}{by}"
                run.record(AuditKind.CONFLICT, ConflictKind.RESOURCE.value, now, reason=reason, answer=Answer.DELAY.value)
        case AcquireClosed(closed=closed):
            decide(run, "lock", Lock(by=closed.by, reason=closed.reason, gate=True, proof=closed.proof), now)
        case AcquireRefused(refused=why):
            decide(run, "lock", Lock(by="airlock", reason=shorten(f"over budget: {why}")), now)
        case AcquireDenied(refusal=refusal):
            take_refusal(run, refusal, now)
        case AcquireGranted(duplicates=duplicates):
            run.entry_refusals = 0
            drop_duplicates(run, duplicates, now)
            return True
        case _:
            assert_never(result)
    return False


def take_wait(run: Run, result: AcquireResult) -> None:
    """Record the queue that the run waits in; `busy` means that the queue itself is full."""
    match result:
        case AcquireQueued(waiting=wait) | AcquireBusy(busy=wait):
            run.gate_wait = wait.model_copy(update={"urgent": run.state is State.ROLLBACK})
        case _:
            run.gate_wait = None


def take_late(run: Run, result: AcquireResult) -> None:
    """Record the slots acquired for one call; other calls of the run may have acquired theirs meanwhile."""
    held = {slot.gate: slot for slot in (*run.gates, *result.held)}
    run.gates = tuple(held[gate] for gate in sorted(held))
    if isinstance(result, AcquireGranted):
        run.claims |= result.claimed


def late_refusal(result: AcquireResult) -> str:
    """Return the reason why a call must not be made after its late request, as a sentence; empty if all was granted."""
    match result:
        case AcquireGranted():
            return ""
        case AcquireBusy(busy=wait):
            by = ", ".join(wait.holders) or "another plan"
            return f"it needs {wait.name}, which {by} holds at the moment"
        case AcquireQueued(waiting=wait):
            return f"it needs {wait.name}, and is in the queue for it"
        case AcquireClosed(closed=closed):
            return shorten(f"it needs a gate that {closed.by} closed: {closed.reason}")
        case AcquireRefused(refused=why):
            return shorten(why)
        case AcquireDenied(refusal=refusal):
            return shorten(refusal.why)
        case _:
            assert_never(result)


def drop_duplicates(run: Run, duplicates: Mapping[str, str], now: datetime) -> None:
    """Leave out the steps whose call another plan makes or made, and every step that depends on them."""
    left_out: list[str] = []
    for step, why in sorted(duplicates.items()):
        before = run.calls.get(step)
        undone = before.undone if before else 0
        if not run.change_call(step, CallEvent.DUPLICATE, now, error=shorten(why), undone=undone):
            continue  # the run's own call may have taken effect: that must not be forgotten
        left_out.append(step)
        run.record(
            AuditKind.CONFLICT, ConflictKind.DUPLICATE_ACTION.value, now, step=step, reason=why, answer=Answer.ABORT.value
        )  # fmt: skip
    if left_out:
        behind = dependents(run.contracts().parents, left_out)
        run.approved = tuple(other for other in run.approved if other not in behind)
