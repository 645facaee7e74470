"""The check of the seals of one plan: digests, policies, contracts, decisions and signatures, from the files alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from airlock.admission.policy import SignatureRule
from airlock.base.canonical import digest
from airlock.base.names import RESERVED, UNDO_PREFIX
from airlock.base.person import same_person
from airlock.export.approvals import SealDecision, SealLine
from airlock.export.asked_check import asked_faults, missing_approvals
from airlock.export.authority_check import authority_faults
from airlock.export.hiding import Openings, hidden_values, misplaced, opened, opened_elsewhere
from airlock.export.kept_voices import Unprovable, is_amended, voices_of
from airlock.export.ledger import seals_genesis
from airlock.export.lines import AuditEvent, ExecutionLine, RollbackLine
from airlock.export.plan_lines import PlanRecord, votes_by_step
from airlock.export.policy_in_force import approval_needs_evidence
from airlock.export.seal_lines import decided_steps, in_force, key_of_message, keys_of, signed_name, steps_of, voices
from airlock.export.seal_traces import DECISIONS
from airlock.export.signed_check import signed_faults
from airlock.plans.contract import Risk
from airlock.plans.seal import names_digest
from airlock.plans.state import Event
from airlock.run.audit import AuditKind
from airlock.signing.evidence import DecisionEvidence, PasskeyEvidence, SshEvidence

_JUDGED: Final = (AuditKind.DECISION, AuditKind.REFUSED)


@dataclass
class SealReport:
    """Result of the check of all seals. `notes` are no faults: they say what could not be checked."""

    recomputed: int = 0
    """Digests that were computed again and are right."""
    hidden: int = 0
    """Digests that cannot be computed without the openings of hidden values."""
    missing: int = 0
    """Seals without content."""
    signatures: int = 0
    """Signatures that fit their key."""
    notes: list[str] = field(default_factory=list)

    def add(self, other: "SealReport") -> None:
        """Add what the check of another plan came to."""
        self.recomputed += other.recomputed
        self.hidden += other.hidden
        self.missing += other.missing
        self.signatures += other.signatures
        self.notes += other.notes


@dataclass(frozen=True)
class SealFault:
    """Error in the seals of a plan."""

    message: str
    seal: int | None = None
    """Number of the seal among those of the plan, from 0; None for the plan's own line."""


def check_seals(record: PlanRecord, openings: Openings, report: SealReport) -> SealFault | None:
    """Return the first error in the seals of a plan; None if there is none.

    Args:
        record: The lines of the plan. Their own hashes, and the plan's chain, are right.
        openings: The values that can be shown.
        report: What the check comes to is added here.
    """
    line = record.execution
    if line.seals is None:
        return None if not record.seals else SealFault("the plan's line knows of no seals: it is of an older export", 0)
    return next(_faults(record, line, openings, report), None)


def _faults(record: PlanRecord, line: ExecutionLine, openings: Openings, report: SealReport) -> Iterator[SealFault]:
    prev = seals_genesis(line.workflow_id, line.first_run_id)
    entries = _entries(record)
    for number, seal in enumerate(record.seals):
        if seal.seq != number + 1 or seal.prev != prev:
            yield SealFault(f"seal {number + 1} of plan {line.plan_id!r} follows, not seal {seal.seq}", number)
        prev = seal.hash
        if (seal.plan_id, seal.workflow_id) != (line.plan_id, line.workflow_id):
            yield SealFault(f"names another plan than {line.plan_id!r}", number)
        for message in _seal_faults(seal, entries, openings, report):
            yield SealFault(message, number)
    if line.seals != len(record.seals):
        yield SealFault(f"seals is {line.seals}, but {len(record.seals)} are there")
    if line.seals_hash != prev:
        yield SealFault("seals_hash: is not the hash of the plan's last seal")
    yield from (SealFault(message) for message in _line_faults(record))
    yield from (SealFault(message) for message in _quorum_faults(record, openings, report))
    yield from (SealFault(message) for message in authority_faults(record, report.notes))
    own = [event for event in record.events if isinstance(event, AuditEvent)]
    for message, is_fault in signed_faults((line.plan_id, line.workflow_id), own, record.seals, report.notes):
        if is_fault:
            yield SealFault(message)
        else:
            report.signatures += 1


def _entries(record: PlanRecord) -> dict[int, tuple[AuditEvent, str | None]]:
    """Return the plan's decisions about seals, by their number, each with the digest of the seal in force."""
    events = record.events
    force = in_force(None if isinstance(event, RollbackLine) else getattr(event, "digest", None) for event in events)
    return {
        event.seq: (event, digest)
        for event, digest in zip(events, force, strict=True)
        if isinstance(event, AuditEvent) and event.kind in _JUDGED and event.what in DECISIONS and digest is not None
    }


def _line_faults(record: PlanRecord) -> Iterator[str]:
    """Yield what the plan's own line, or its entries, say of seals and the seals do not."""
    known = {seal.digest for seal in record.seals}
    for event in record.events:
        for name in ("seal", "digest"):
            if (named := getattr(event, name, None)) is not None and named not in known:
                yield f"entry {event.seq}: {name} {named[:12]} is not in approvals.jsonl"
    votes, denials = votes_by_step(record.seals)
    for result in record.execution.result.tool_results:
        if (result.votes, result.denials) != (votes[result.step], denials[result.step]):
            counted = f"{votes[result.step]} votes and {denials[result.step]} denials"
            yield f"step {result.step!r}: {counted} are in approvals.jsonl"
    yield from asked_faults(record)


def _quorum_faults(record: PlanRecord, openings: Openings, report: SealReport) -> Iterator[str]:
    """Yield what went LIVE with fewer approvals than it needs."""
    known = {seal.digest: seal for seal in record.seals}
    for moved in record.transitions:
        seal = known.get(str(moved.digest))
        if moved.event != Event.APPROVED.value or moved.by in RESERVED or seal is None:
            continue
        people = {one.by for one in seal.decisions if one.counted and one.decision == "approve"}
        if is_amended(seal):
            try:
                yield from _amended_faults(record, seal, voices_of(seal, known, openings))
            except Unprovable as error:
                place = f"{record.execution.workflow_id}: seal {seal.digest[:12]}"
                report.notes.append(f"{place}: which approvals of earlier seals count for it cannot be checked: {error}")
        elif len(people) < _needed(seal):
            yield f"entry {moved.seq}: the seal was approved by {len(people)}, and needs {_needed(seal)}"


def _amended_faults(record: PlanRecord, seal: SealLine, voices: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the steps that were called under an amended seal without a quorum of their own."""
    if not any(one.counted and one.decision == "approve" for one in seal.decisions):
        yield f"seal {seal.digest[:12]}: no approval is for the plan as it was amended"
    waived = {step["id"] for step in steps_of(seal.content) if step.get("approval_waived")}
    called = {
        event.step
        for event in record.execution.events
        if event.kind is AuditKind.CALL and event.seal == seal.digest and event.step is not None
    }
    for step in sorted(called - waived):
        if len(voices.get(step, ())) < _needed(seal):
            yield f"step {step!r}: it was called with {len(voices.get(step, ()))} approvals, and needs {_needed(seal)}"
    for sealed in steps_of(seal.content):
        if sealed["id"] in called:
            yield from missing_approvals(sealed["id"], seal, sealed, voices.get(sealed["id"], ()))


def _needed(seal: SealLine) -> int:
    needed = seal.content.get("approvals_required") if seal.content is not None else 0
    return needed if isinstance(needed, int) else 1


def _seal_faults(
    seal: SealLine, entries: Mapping[int, tuple[AuditEvent, str | None]], openings: Openings, report: SealReport
) -> Iterator[str]:
    yield from _content_faults(seal, openings, report)
    if seal.content is not None:
        yield from _identity_faults(seal, seal.content)
        report.notes += _unknown(seal, seal.content)
    if seal.policy is not None and seal.content is not None and digest(seal.policy) != seal.content.get("policy_hash"):
        yield "policy: is not the one whose hash was sealed (content.policy_hash)"
    for name, contract in seal.contracts.items():
        if digest(contract) != name:
            yield f"contracts: the digest of the contract of {contract.get('tool')!r} is not {name[:12]}"
    expected = [number for number, (_, about) in entries.items() if about == seal.digest]
    stated = [decision.entry for decision in seal.decisions]
    if expected != stated:
        yield f"decisions: are those of entries {stated}, the plan's own entries about this seal are {expected}"
    for number, decision in enumerate(seal.decisions):
        for message in _decision_faults(seal, decision, entries[decision.entry][0], report):
            yield f"decisions[{number}].{message}"
    if voices(seal.content, seal.decisions) != seal.by_step:
        yield "by_step: is not what the decisions come to"


def _content_faults(seal: SealLine, openings: Openings, report: SealReport) -> Iterator[str]:
    if seal.content is None:
        report.missing += 1
        if not seal.missing:
            yield "content: is missing without a reason"
        return
    if seal.content_hash is not None and digest(seal.content) != seal.content_hash:
        yield "content: was changed: it does not match content_hash"
    if seal.content_hash is not None and misplaced(seal.content):
        yield "content: hides a value that an export never hides"
    if (place := opened_elsewhere(seal.content, seal.digest, openings)) is not None:
        yield f"content.{place}: the opening of this value says that it stands elsewhere"
    content = seal.content if seal.content_hash is None else opened(seal.content, openings)
    if seal.content_hash is not None and any(True for _ in hidden_values(content)):
        report.hidden += 1
        return
    if (found := digest(content)) != seal.digest:
        yield f"content: its digest is {found}, not that of the seal: it, or the digest, was changed"
    report.recomputed += 1


def _unknown(seal: SealLine, content: Mapping[str, Any]) -> list[str]:
    """Return notes about the hashes in a seal of which the record does not hold the value."""
    wanted = {step["contract_hash"] for step in steps_of(content) if isinstance(step.get("contract_hash"), str)}
    place = f"{seal.workflow_id}: seal {seal.digest[:12]}"
    notes = [f"{place}: the policy is not in the record: its run did not tell it any more"] if seal.policy is None else []
    if lost := sorted(wanted - seal.contracts.keys()):
        notes.append(f"{place}: the contract {lost[0][:12]} is not in the record: its run did not tell it any more")
    return notes


def _identity_faults(seal: SealLine, content: Mapping[str, Any]) -> Iterator[str]:
    undo = seal.workflow_id.startswith(UNDO_PREFIX)
    if content.get("plan_id") != seal.plan_id or (content.get("undo") is not None) != undo:
        yield f"content: is about another plan than {seal.workflow_id!r}"
    for name in ("phase21_plan_id", "phase22_validation_id"):
        if not undo and content.get(name) != getattr(seal, name):
            yield f"{name}: is not the one that was sealed"
    used = {str(step.get("contract_hash")) for step in steps_of(content)}
    if unused := sorted(seal.contracts.keys() - used):
        yield f"contracts: no step has the contract {unused[0][:12]}"


def _decision_faults(seal: SealLine, decision: SealDecision, entry: AuditEvent, report: SealReport) -> Iterator[str]:
    said = (decision.run_id, decision.event_id, decision.decision, decision.by, decision.reason, decision.recorded_at)
    if said != (entry.run_id, entry.event_id, entry.what, entry.by, entry.reason, entry.timestamp):
        yield f"entry: is not what entry {entry.seq} of the plan says"
    if decision.counted != (entry.kind is AuditKind.DECISION):
        yield f"counted: entry {entry.seq} of the plan says otherwise"
    if decision.steps != (decided_steps(seal.content, decision.message, decision.decision) if decision.counted else ()):
        yield "steps: are not those of the message"
    if decision.message is None or decision.by in RESERVED:
        if decision.key is not None:
            yield "key: there is no message that it signed"
        if decision.stored_at is not None and not decision.left_out and decision.by not in RESERVED:
            yield "message: is missing without a reason"
        if decision.counted and decision.by not in RESERVED:
            report.notes.append(f"{seal.workflow_id}: the message of {decision.by!r} cannot be checked: {_why(decision)}")
        return
    if decision.counted:
        yield from _message_faults(seal, decision)
    yield from _signature_faults(seal, decision, report)
    if isinstance(decision.message, dict) and decision.message.get("evidence") is not None and decision.counted:
        yield from _evidence_faults(decision.message, entry)


def _evidence_faults(message: dict[str, Any], entry: AuditEvent) -> Iterator[str]:
    """Yield an error if the evidence that was sent is not what the plan recorded, which is checked there."""
    signed, steps = entry.signed, message.get("steps")
    try:
        sent = TypeAdapter[SshEvidence | PasskeyEvidence](DecisionEvidence).validate_python(message["evidence"])
    except ValidationError:
        sent = None
    if signed is None or sent != signed.evidence:
        yield f"message.evidence: is not that of entry {entry.seq} of the plan"
    elif signed.statement.steps != (tuple(sorted(map(str, steps))) if isinstance(steps, list) else None):
        yield "message.steps: are not those that were signed"


def _why(decision: SealDecision) -> str:
    return decision.left_out or "Temporal has forgotten it"


def _message_faults(seal: SealLine, decision: SealDecision) -> Iterator[str]:
    message = decision.message
    if not isinstance(message, dict) or str(message.get("by", "")).strip() != decision.by:
        yield f"message: is not by {decision.by!r}"
        return
    named = message.get("digest")
    if (decision.decision == "approve" or named is not None) and not names_digest(str(named), seal.digest):
        yield "message.digest: names another seal"
    if seal.content is None or decision.decision != "approve":
        return
    if same_person(decision.by, str(seal.content.get("requested_by"))):
        yield "by: the requester approved"
    allowed = seal.content.get("approvers")
    if isinstance(allowed, list) and not any(same_person(decision.by, str(name)) for name in allowed):
        yield "by: is not among the approvers that were sealed"
    rule = seal.content.get("signature_required", "never")
    high = {step["id"] for step in steps_of(seal.content) if step.get("risk") == Risk.HIGH.value}
    due = rule == SignatureRule.ALWAYS.value or (rule == SignatureRule.HIGH.value and high.intersection(decision.steps))
    if due and message.get("signature") is None and message.get("evidence") is None:
        yield f"message.signature: is missing, and signatures are required ({rule})"
    risks = {str(step.get("risk")) for step in steps_of(seal.content) if step["id"] in decision.steps}
    signed = message.get("signature") is not None or message.get("evidence") is not None
    if not signed and approval_needs_evidence(seal, risks):
        yield "message.evidence: is missing, and the sealed policy demands it"


def _signature_faults(seal: SealLine, decision: SealDecision, report: SealReport) -> Iterator[str]:
    name = signed_name(seal.plan_id, seal.workflow_id)
    listed = keys_of(seal.policy)
    stated = () if decision.key is None else (decision.key,)
    fits = key_of_message(name, decision.message, seal.digest, (*listed, *stated))
    if fits != decision.key:
        yield "key: did not make this signature" if fits is None else "key: another one made this signature"
        return
    if fits is not None:
        report.signatures += 1
        if fits not in listed:
            report.notes.append(
                f"{seal.workflow_id}: the key of {decision.by!r} is not in the sealed policy, "
                "and no other policy is in the record"
            )
    elif decision.counted and isinstance(decision.message, dict) and decision.message.get("signature") is not None:
        yield f"message.signature: no known key of {decision.by!r} made it"
