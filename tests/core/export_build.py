"""Plans of every ending as their runs really recorded them, and traces of them with made-up Temporal ids."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from airlock.admission.conflicts.conflict import Answer, ConflictKind, conflict
from airlock.base.canonical import digest
from airlock.base.keys import read_private_key
from airlock.export.documents import Assessment, HealthAnomaly, HealthMetrics, LatencyMs, SystemHealth
from airlock.export.files import ROLLBACKS, TRANSITIONS
from airlock.export.lines import LearningSignal
from airlock.export.plan_lines import PlanRecord, PlanTrace, plan_record
from airlock.export.seal_traces import DECISIONS, SealTrace, StoredMessage, TracedEntry, seal_trace
from airlock.export.verification import NumberedLine, PlanLines
from airlock.plans.outcome import CallInDoubt, UndoFailed, Undone
from airlock.plans.state import Event
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.decisions.decision import decide
from airlock.run.decisions.signature import sign
from airlock.run.live.call_results import after_rollback, keep, outcome_of, take_undo
from airlock.run.messages import Approve
from airlock.run.presentation.views import step_views
from airlock.run.rehearsal import record_conflicts
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, call, failed, live, live_run, new_run, plan, policy, rehearse, say, step

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PRIVATE_KEY = _KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
PUBLIC_KEY = _KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " boss"


def completed() -> Run:
    """Return two steps, both live, one drifted, after a conflict that was answered."""
    run = awaiting(plan(step("a"), step("b", "read", "a")))
    record_conflicts(run, [conflict(ConflictKind.RESOURCE, Answer.DELAY, ["a"], "two want the same row")], NOW)
    say(run, "approve", digest="0" * 12)  # refused
    say(run, "approve")
    return call(run, live("a", drift=("args.key",)), live("b"), after=True)


def rolled_back() -> Run:
    """Return two steps live, one kept, a third failed: the rest was taken back."""
    run = live_run(plan(step("a"), step("m", "mail", "a"), step("b", "write", "a"), step("c", "write", "b")))
    call(run, live("a"), live("b"), live("m"))
    call(run, failed("c"), after=True)
    for name in ("b", "a"):
        take_undo(run, Undone(step=name), NOW)
    keep(run, "m", NOW)
    after_rollback(run, NOW)
    return run


def parked() -> Run:
    """Open: a compensation failed."""
    run = live_run(plan(step("a"), step("b", "write", "a")))
    call(run, live("a"), failed("b"), after=True)
    take_undo(run, UndoFailed(step="a", error="the target says no"), NOW)
    after_rollback(run, NOW)
    return run


def in_doubt() -> Run:
    """Open: the call may or may not have taken effect."""
    run = live_run(plan(step("a", "mail")))
    return call(run, CallInDoubt(step="a", error="connection lost"), after=True)


def settled() -> Run:
    """Return a call in doubt that a human found to have happened; then the plan was undone."""
    run = live_run(plan(step("a"), step("b", "mail", "a")))
    call(run, live("a"), CallInDoubt(step="b", error="connection lost"), after=True)
    say(run, "resolve", step="b", outcome="happened")
    return call(run, after=True)


def denied() -> Run:
    """Denied."""
    run = awaiting(plan(step("a")))
    say(run, "deny")
    return run


def rehearsed() -> Run:
    """Too unsure to go anywhere; a conflict stayed without an answer."""
    run = new_run(plan(step("a", confidence=0.1)), policy())
    run.record(AuditKind.CONFLICT, ConflictKind.TIMEOUT.value, NOW, reason="too long")
    run.apply(Event.CAPPED, NOW)
    return run


def resealed() -> Run:
    """Sealed twice, because it was locked; the approval of the second seal is signed, and an earlier one was refused."""
    rules = policy(authorized_keys=[PUBLIC_KEY], approval_waived_for=[])
    run = awaiting(plan(step("a"), step("b", "read", "a"), phase21_plan_id="21-a", phase22_validation_id="22-b"), rules)
    say(run, "lock")
    say(run, "unlock")
    say(run, "approve")  # refused: it is not sealed again yet
    rehearse(run)
    verdict = decide(run, "approve", _signed(run), NOW)
    assert verdict.accepted, verdict
    return call(run, live("a"), live("b"), after=True)


def _signed(run: Run) -> Approve:
    approval = Approve(by="boss", digest=str(run.digest), reason="because")
    signature = sign(read_private_key(PRIVATE_KEY), run.name, approval, str(run.digest))
    return approval.model_copy(update={"signature": signature})


RUNS = (completed, rolled_back, parked, in_doubt, settled, denied, rehearsed)
RESEALED = 9
"""Number of the plan that was sealed twice, with a signed approval."""


def trace(run: Run, number: int = 0, *, undo: bool = False, status: str = "COMPLETED") -> PlanTrace:
    """Return a run as plan `p-<number>`, as if it had been submitted so many minutes later and continued as new once."""
    ended = run.state.closed or run.outcome is not None
    first, last = f"run-{number}-1", f"run-{number}-2"
    half = len(run.audit) // 2
    seals, digests = _seals(run, number, undo)
    name = f"{'undo-' if undo else ''}p-{number}"
    entries = tuple(
        TracedEntry(
            entry=entry.model_copy(update={"at": _at(number, position), "digest": digests.get(entry.digest, entry.digest)}),
            run_id=first if position < half else last,
            event_id=4 * position + 5,
            stored=_stored(run, entry, name, digests.get(entry.digest, entry.digest), _at(number, position)),
        )
        for position, entry in enumerate(run.audit)
    )
    return PlanTrace(
        plan_id=f"p-{number}",
        workflow_id=f"{'undo' if undo else 'plan'}-p-{number}",
        first_run_id=first,
        last_run_id=last,
        last_event_id=4 * len(entries) + 9,
        goal=run.plan.goal,
        requested_by=run.plan.requested_by,
        submitted_at=_at(number, 0),
        closed_at=_at(number, len(entries)) if ended else None,
        temporal_status=status if ended else "RUNNING",
        state=run.state,
        outcome=outcome_of(run) if ended else None,
        why=run.why,
        digest=seals[-1].digest if seals else None,
        steps=step_views(run),
        entries=entries,
        seals=seals,
        phase21_plan_id=run.plan.phase21_plan_id,
        phase22_validation_id=run.plan.phase22_validation_id,
        refused=run.refused,
        confidence={own.id: own.confidence for own in run.plan.steps},
        seconds={name: record.seconds for name, record in run.calls.items()},
    )


def _seals(run: Run, number: int, undo: bool) -> tuple[tuple[SealTrace, ...], dict[str | None, str]]:
    """Return the seals of a run as those of another plan, or undo, and its digest by the one that the run knows."""
    made: list[SealTrace] = []
    digests: dict[str | None, str] = {}
    for record in run.seals:
        told = seal_trace(record, None if record is run.seals[-1] else "the plan was locked")
        content = {**(told.content or {}), "plan_id": f"p-{number}"}
        if content.get("replaces") in digests:
            content["replaces"] = digests[content["replaces"]]
        if undo:
            content |= {"undo": {"by": "author", "reason": "wrong", "steps": []}, "steps": []}
            told = told.model_copy(update={"contracts": {}})
        digests[told.digest] = digest(content)
        made.append(told.model_copy(update={"content": content, "digest": digest(content), "sealed_at": _at(number, 0)}))
    return tuple(made), digests


def _stored(run: Run, entry: AuditEntry, name: str, digest: str | None, at: datetime) -> StoredMessage | None:
    """Return the message behind a decision about a seal, signed where the policy knows the key of its sender."""
    if entry.what not in DECISIONS or entry.kind not in (AuditKind.DECISION, AuditKind.REFUSED):
        return None
    sent: dict[str, Any] = {"by": entry.by, "reason": "because", "digest": digest}
    if entry.what == "approve" and run.contracts().policy.authorized_keys:
        sent["signature"] = sign(read_private_key(PRIVATE_KEY), name, Approve.model_validate(sent), str(digest))
    return StoredMessage(at=at - timedelta(milliseconds=3), content=sent)


def _at(number: int, position: int) -> datetime:
    return NOW + timedelta(minutes=number, milliseconds=250 * position)


def records(count: int) -> Iterable[PlanRecord]:
    """So many plans, every ending in turn; the tenth was sealed twice; each eighth is the undo of a plan after its end."""
    runs = [make() for make in RUNS]
    for number in range(count):
        run = resealed() if number == RESEALED else runs[number % len(runs)]
        yield plan_record(trace(run, number, undo=number % 8 == 7))


def signal(number: int) -> LearningSignal:
    """Return one thing that was learned."""
    return LearningSignal(
        signal_type="TOOL_RELIABILITY",
        tool_name=f"tool-{number}",
        insight=f"{number} of 40 live calls failed \N{EM DASH} more than stated",
        recommended_action="look at it",
        confidence=0.875,
        target_phase="16",
        evidence={"calls": 40, "low": 0.1 * number},
    )


def health() -> SystemHealth:
    """Return a monitor's snapshot."""
    metrics = HealthMetrics(
        tool_success_rate=0.875, execution_latency_ms=LatencyMs(p50=120.5, p95=900.0), rollback_frequency=0.25,
        conflict_rate=0.125, live_execution_ratio=0.5, confidence_drift=None, approval_rate=0.75, system_health_score=81.5,
    )  # fmt: skip
    anomaly = HealthAnomaly(
        anomaly_type="high_rollback", severity=6, description="many rollbacks", recommended_action="look at tool-1",
        samples=40, minimum_samples=10, window="hour", value=0.35, threshold=0.3,
    )  # fmt: skip
    return SystemHealth(
        health_assessment=Assessment.GOOD, health_score=81.5, score_low=79.0, score_high=84.0, approval_accuracy=0.75,
        samples={"calls": 40}, anomalies=(anomaly,), metrics=metrics, timestamp=NOW,
    )  # fmt: skip


ONE = plan_record(trace(rolled_back(), 3)).at(0)


def placed(record: PlanRecord, index: int = 0) -> PlanLines:
    return PlanLines(
        index,
        NumberedLine(1, record.execution),
        tuple(NumberedLine(number, line) for number, line in enumerate(record.transitions, start=1)),
        tuple(NumberedLine(number, line) for number, line in enumerate(record.rollbacks, start=1)),
        {TRANSITIONS: len(record.transitions) + 1, ROLLBACKS: len(record.rollbacks) + 1},
        tuple(NumberedLine(number, line) for number, line in enumerate(record.seals, start=1)),
    )
