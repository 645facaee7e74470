"""Lines of a plan's seals, derived from its audit, its seals and the messages that Temporal stored."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from airlock.base.names import RESERVED, UNDO_PREFIX
from airlock.base.person import same_person
from airlock.export.approvals import SealDecision, SealLine, StepVoices
from airlock.export.ledger import linked, seals_genesis
from airlock.export.seal_traces import DECISIONS, SealTrace, TracedEntry
from airlock.plans.contract import Mode
from airlock.run.audit import AuditKind
from airlock.run.decisions.signature import signing_key
from airlock.run.messages import Approve

FORGOTTEN = "Temporal does not tell it any more: the histories of the runs that made this seal are gone"
_JUDGED = (AuditKind.DECISION, AuditKind.REFUSED)


def seals_in_force(entries: Iterable[TracedEntry]) -> tuple[str | None, ...]:
    """Return the digest of the seal that was in force at each audit entry; None before the first seal."""
    return in_force(traced.entry.digest for traced in entries)


def in_force(digests: Iterable[str | None]) -> tuple[str | None, ...]:
    """Return the digest of the seal in force at each entry of a plan, from the digests that the entries name."""
    found: list[str | None] = []
    for digest in digests:
        found.append(digest or (found[-1] if found else None))
    return tuple(found)


def seal_lines(
    plan: Mapping[str, Any],
    first_run_id: str,
    seals: Sequence[SealTrace],
    entries: Sequence[TracedEntry],
    keys: Sequence[str] = (),
) -> tuple[SealLine, ...]:
    """Return the lines of a plan in `approvals.jsonl`, linked.

    Args:
        plan: The fields that every line of the plan has.
        first_run_id: The run at which the plan's chains begin.
        seals: The seals of the plan, oldest first.
        entries: The audit of the plan.
        keys: Lines of `authorized_keys` of the policies that applied when approvals were judged, if others than the plan's.
    """
    name = signed_name(str(plan["plan_id"]), str(plan["workflow_id"]))
    force = seals_in_force(entries)
    lines: list[SealLine] = []
    prev = seals_genesis(str(plan["workflow_id"]), first_run_id)
    for seq, seal in enumerate(seals, start=1):
        about = [
            (number, traced)
            for number, (traced, digest) in enumerate(zip(entries, force, strict=True), start=1)
            if digest == seal.digest and traced.entry.what in DECISIONS and traced.entry.kind in _JUDGED
        ]
        decisions = tuple(_decision(number, traced, seal, name, keys) for number, traced in about)
        line = SealLine.model_validate(
            {
                **plan,
                "digest": seal.digest,
                "sealed_at": seal.sealed_at,
                "replaced": seal.replaced,
                "content": seal.content,
                "missing": "" if seal.content is not None else FORGOTTEN,
                "policy": seal.policy,
                "contracts": seal.contracts,
                "decisions": decisions,
                "by_step": voices(seal.content, decisions),
            }
        )
        lines.append(linked(line, seq, prev))
        prev = lines[-1].hash
    return tuple(lines)


def _decision(number: int, traced: TracedEntry, seal: SealTrace, name: str, keys: Sequence[str]) -> SealDecision:
    entry = traced.entry
    stored = traced.stored if entry.by not in RESERVED else None  # the policy itself approves without a message
    counted = entry.kind is AuditKind.DECISION
    message = stored.content if stored is not None else None
    return SealDecision(
        entry=number,
        run_id=traced.run_id,
        event_id=traced.event_id,
        decision="approve" if entry.what == "approve" else "deny",
        counted=counted,
        by=entry.by,
        reason=entry.reason,
        stored_at=stored.at if stored is not None else None,
        recorded_at=entry.at,
        steps=decided_steps(seal.content, message, entry.what) if counted else (),
        message=message,
        left_out=stored.left_out if stored is not None else "",
        key=key_of_message(name, message, seal.digest, (*keys_of(seal.policy), *keys)),
    )


def steps_of(content: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], ...]:
    """Return the steps in the content of a seal, those of an undo included; what has another form is no step."""
    if content is None:
        return ()
    undo = content.get("undo")
    found = undo.get("steps") if isinstance(undo, Mapping) else content.get("steps")
    steps = found if isinstance(found, list) else ()
    return tuple(step for step in steps if isinstance(step, Mapping) and isinstance(step.get("id"), str))


def open_steps(content: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the steps that a seal is about: those that may go live, or those that an undo undoes."""
    if content is None:
        return ()
    if content.get("undo") is not None:
        order = content.get("order")
        return tuple(str(step) for step in order) if isinstance(order, list) else ()
    live = Mode.LIVE.value
    return tuple(step["id"] for step in steps_of(content) if step.get("ceiling") == live and not step.get("already_live"))


def decided_steps(content: Mapping[str, Any] | None, message: Any, decision: str) -> tuple[str, ...]:
    """Return the steps that a counted decision is about: those that it names, or all."""
    named = message.get("steps") if isinstance(message, dict) else None
    if isinstance(named, list):
        return tuple(dict.fromkeys(str(step) for step in named))
    own = _proposed_by(content, message) if decision == "approve" else ()
    return tuple(step for step in open_steps(content) if step not in own)


def _proposed_by(content: Mapping[str, Any] | None, message: Any) -> frozenset[str]:
    """Return the steps that the sender of an approval has proposed by an amendment: it is not about them."""
    by = message.get("by") if isinstance(message, dict) else None
    if not isinstance(by, str):
        return frozenset()
    proposers = {step["id"]: step.get("proposed_by") for step in steps_of(content)}
    return frozenset(
        step
        for step, names in proposers.items()
        if isinstance(names, list) and any(same_person(by, str(name)) for name in names)
    )


def voices(content: Mapping[str, Any] | None, decisions: Sequence[SealDecision]) -> tuple[StepVoices, ...]:
    """Return who approved and who denied each step, in the order of the seal."""
    counted = [decision for decision in decisions if decision.counted]
    named = (step for decision in counted for step in decision.steps)
    return tuple(
        StepVoices(
            step=step,
            approved_by=tuple(one.by for one in counted if one.decision == "approve" and step in one.steps),
            denied_by=tuple(one.by for one in counted if one.decision == "deny" and step in one.steps),
        )
        for step in dict.fromkeys([*open_steps(content), *named])
    )


def signed_name(plan_id: str, workflow_id: str) -> str:
    """Return the name of a run as its approvers sign it: the plan id, or that of an undo after the plan's end."""
    return workflow_id if workflow_id.startswith(UNDO_PREFIX) else plan_id


def keys_of(policy: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the lines of `authorized_keys` of an exported policy."""
    keys = policy.get("authorized_keys") if policy is not None else None
    return tuple(key for key in keys if isinstance(key, str)) if isinstance(keys, list) else ()


def key_of_message(name: str, message: Any, digest: str, keys: Sequence[str]) -> str | None:
    """Return the line of `authorized_keys` whose key signed an approval of a seal; None if none did.

    Args:
        name: The name of the run, which is signed.
        message: The approval as it was sent.
        digest: The whole digest of the seal.
        keys: The lines, each with its approver.
    """
    if not isinstance(message, dict) or not isinstance(message.get("signature"), str):
        return None
    try:
        return signing_key(name, Approve.model_validate(message), digest, keys)
    except ValidationError:
        return None
