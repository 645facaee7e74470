"""The read lane: reads that need no person are made before the preview, which then shows what they returned (ADR 0012)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from airlock.admission.budget import budgets_of, scopes, spending_by_agent
from airlock.base.canonical import digest as digest_of
from airlock.base.text import listed, shorten
from airlock.gates.protocol import LiveSlot
from airlock.plans.applied_rule import Effect
from airlock.plans.contract import Mode
from airlock.plans.outcome import CallSucceeded, EarlyRead
from airlock.plans.seal import seal
from airlock.plans.state import Event
from airlock.run.audit import AuditKind
from airlock.run.decisions.evidence import Evidence
from airlock.run.live.call_results import take_outcomes
from airlock.run.live.read_messages import ReadResult, StepRead
from airlock.run.outcome import READ_FAILED
from airlock.run.outputs import drop_output
from airlock.run.permit import leaf_of
from airlock.run.sealing.kept_seals import keep_record
from airlock.run.sealing.sealed import MAX_SHOWN_READ, Sealed, SealedStep, sealed_content
from airlock.run.state import Run

MAX_AT_ONCE: Final = 50
"""Reads in one request; further ones are asked for after it."""
POLICY: Final = "policy"


def may_be_read(run: Run) -> tuple[str, ...]:
    """Return the steps that may be read before the preview, each after all that it depends on; at most `MAX_AT_ONCE`.

    Everything that such a step depends on is live, or read before it. A step that has a call already waits for a person.
    """
    if run.undoing is not None or run.admitted is None or not run.admitted.policy.read_lane:
        return ()
    policy, known, found = run.admitted.policy, set(run.live), list[str]()
    for step, row in run.admitted.steps.items():
        if step in run.calls or step in run.unread or run.ceilings[step].mode is not Mode.LIVE:
            continue
        if any(rule.effect is not Effect.ALLOW for rule in row.rules):
            continue  # a person decides about it, or nothing does
        if policy.reads_early(row.contract) and known.issuperset(row.parents) and len(found) < MAX_AT_ONCE:
            known.add(step)
            found.append(step)
    return tuple(found)


def forget_reads(run: Run) -> None:
    """Forget what was read before an earlier preview, so that it is read again: the world has moved on.

    After any other call it stays: a compensation gets the same arguments as its call.
    """
    run.unread = ()
    if run.calls and not run.acted:
        for step in list(run.calls):
            drop_output(run, step)
        run.calls = {}
        run.update_ceilings()


def begin_reads(run: Run, steps: Sequence[str], now: datetime) -> Evidence:
    """Seal reads by themselves, and record that the policy approves this seal; return the evidence for the live worker.

    Args:
        run: The plan's run.
        steps: The steps.
        now: UTC.
    """
    admitted, wanted = run.contracts(), frozenset(steps)
    content = sealed_content(run.plan, admitted, run.ceilings, {}, run.live, run.submitted_at.isoformat(timespec="seconds"))
    sealed = content.model_copy(
        update={
            "steps": tuple(step for step in content.steps if step.id in wanted),
            "order": tuple(steps),
            "point_of_no_return": None,
            "conflicts": (),
            "life": run.life,
        }
    )
    digest = seal(sealed)
    run.reads += 1
    keep_record(run, digest, sealed, now)
    why = shorten(f"reads before the preview that need no person: {listed(steps)}")
    run.record(AuditKind.DECISION, "approve", now, by=POLICY, digest=digest, reason=why)
    return Evidence(
        sealed=sealed, digest=digest, policy=admitted.policy, sealed_at=now, approved=tuple(steps), epoch=admitted.epoch
    )


def gate_question(run: Run, steps: Sequence[str]) -> LiveSlot:
    """Return what the live gate is asked about reads: locks and budgets; no slot is taken."""
    admitted, wanted = run.contracts(), set(steps)
    return LiveSlot(
        capacity=admitted.policy.max_live_escalations,
        scopes=scopes(run.steps, admitted, steps),
        spending=spending_by_agent(run.steps, admitted, steps),
        budgets=budgets_of(admitted, (step.agent for step in run.steps if step.id in wanted)),
    )


def take_reads(run: Run, asked: Sequence[str], result: ReadResult, now: datetime) -> None:
    """Record what became of reads. A failed one falls to MOCK; one that was not made goes the way of every other step.

    Args:
        run: The plan's run.
        asked: The steps of the request.
        result: The answer.
        now: UTC.
    """
    answers = {read.step: read for read in result.reads}
    unread: dict[str, list[str]] = {}
    for step in asked:
        answer = answers.get(step) or StepRead(step=step, skipped=result.refused or "its worker did not say")
        if answer.made is not None and answer.made.step == step and answer.read is not None:
            _take(run, answer.made, answer.read, now)
        elif answer.failed:
            _fail(run, step, answer.failed, now)
        else:
            unread.setdefault(answer.skipped, []).append(step)
    for why, steps in unread.items():
        run.record(AuditKind.CALL, "not_read", now, reason=f"{listed(steps)}: {why}")
        run.unread = (*run.unread, *steps)
    run.update_ceilings()


def _take(run: Run, made: CallSucceeded, read: EarlyRead, now: datetime) -> None:
    if made.broken or not _is_of(read, made.output):
        _fail(run, made.step, made.broken or "its output is not the one that was proved", now)
        return
    take_outcomes(run, [made], now)
    if made.step not in run.outputs:  # too large to be carried, with all others: no preview could show what came of it
        del run.calls[made.step]
        run.fall(made.step, Mode.MOCK, f"{READ_FAILED}all outputs of the plan are too large together")
        return
    run.calls[made.step] = run.calls[made.step].model_copy(update={"read": read})


def _is_of(read: EarlyRead, output: object) -> bool:
    try:
        return digest_of(output) == read.digest
    except ValueError:  # no JSON
        return False


def _fail(run: Run, step: str, error: str, now: datetime) -> None:
    run.record(AuditKind.CALL, "failed", now, step=step, reason=error)
    run.fall(step, Mode.MOCK, f"{READ_FAILED}{error}")


def end_as_read(run: Run, now: datetime) -> None:
    """Take a sealed plan of which every step was read to its end: the policy is the approver, and no call is left."""
    run.record(AuditKind.DECISION, "approve", now, by=POLICY, digest=run.digest)
    run.apply(Event.APPROVED, now, by=POLICY, reason="the policy waives approval for every step")
    run.apply(Event.CALLS_DONE, now, reason="every step was read before the preview")


def read_leaf(step: SealedStep, contract: str, epoch: int) -> str:
    """Return the digest of the call of a read, for its receipt."""
    return leaf_of(
        tool=step.tool, agent=step.agent, args=step.args, contract=contract, preview=None, dedupe_key=step.dedupe_key,
        undone=0, epoch=epoch,
    )  # fmt: skip


def early_read(output: object, contract: str, at: datetime) -> EarlyRead:
    """Return the description of a read, without its receipt."""
    return EarlyRead(at=at, contract=contract, digest=digest_of(output))


def old_reads(sealed: Sealed) -> Mapping[str, datetime]:
    """Return the reads of a seal that were made before its plan was submitted, by step."""
    since = datetime.fromisoformat(sealed.submitted_at)
    return {step.id: step.read.at for step in sealed.steps if step.read is not None and step.read.at < since}


def other_reads(sealed: Sealed) -> list[str]:
    """Return the steps of which a seal shows an output that is not the one of their read."""
    shown = [(step.id, step.read) for step in sealed.steps if step.read is not None]
    return [
        step
        for step, read in shown
        if (read.output is not None or read.size <= MAX_SHOWN_READ) and not _is_of(read, read.output)
    ]
