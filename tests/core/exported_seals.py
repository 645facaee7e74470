"""Exported seals, checked and hashed again after a change, and lies about their decisions."""

from collections.abc import Callable, Iterator
from typing import Any

from airlock.base.canonical import digest
from airlock.export.approvals import SealLine
from airlock.export.hiding import Openings, hidden_line
from airlock.export.ledger import linked, seals_genesis
from airlock.export.plan_lines import PlanRecord
from airlock.export.seal_check import SealReport, check_seals

KEY = bytes(32)


def checked(record: PlanRecord, openings: Openings | None = None) -> tuple[str | None, SealReport]:
    report = SealReport()
    fault = check_seals(record, openings or Openings(), report)
    return (None if fault is None else fault.message), report


def relinked(record: PlanRecord, *seals: SealLine) -> PlanRecord:
    """Return the record with other seals, hashed as if they had always been so."""
    made: list[SealLine] = []
    prev = seals_genesis(record.execution.workflow_id, record.execution.first_run_id)
    for seq, seal in enumerate(seals, start=1):
        made.append(linked(seal, seq, prev))
        prev = made[-1].hash
    line = record.execution.model_copy(update={"seals": len(made), "seals_hash": prev})
    return record.model_copy(update={"seals": tuple(made), "execution": linked(line, line.seq, line.prev)})


def _decision(seal: SealLine, number: int = 0, **changes: Any) -> SealLine:
    decisions = list(seal.decisions)
    decisions[number] = decisions[number].model_copy(update=changes)
    return seal.model_copy(update={"decisions": tuple(decisions)})


def _message(seal: SealLine, **changes: Any) -> SealLine:
    message = seal.decisions[0].message
    assert isinstance(message, dict)
    return _decision(seal, message={**message, **changes})


def _content(seal: SealLine, **changes: Any) -> SealLine:
    return seal.model_copy(update={"content": {**(seal.content or {}), **changes}})


LIES: dict[str, tuple[Callable[[SealLine], SealLine], str]] = {
    "another goal": (lambda seal: _content(seal, goal="harmless"), "content: its digest is"),
    "no content": (lambda seal: seal.model_copy(update={"content": None}), "content: is missing without a reason"),
    "another policy": (
        lambda seal: seal.model_copy(update={"policy": {**(seal.policy or {}), "approvers": ["eve"]}}),
        "policy: is not the one whose hash was sealed",
    ),
    "another contract": (
        lambda seal: seal.model_copy(update={"contracts": {name: {"tool": "x"} for name in seal.contracts}}),
        "contracts: the digest of the contract of 'x'",
    ),
    "a contract too many": (
        lambda seal: seal.model_copy(update={"contracts": {**seal.contracts, "0" * 64: {}}}),
        "contracts: no step has the contract 000000000000",
    ),
    "no decision": (lambda seal: seal.model_copy(update={"decisions": ()}), "decisions: are those of entries []"),
    "another approver": (lambda seal: _decision(seal, by="eve"), "decisions[0].entry: is not what entry"),
    "another verdict": (lambda seal: _decision(seal, counted=False), "decisions[0].counted: entry"),
    "other steps": (lambda seal: _decision(seal, steps=("a",)), "decisions[0].steps: are not those of the message"),
    "a message by another": (lambda seal: _message(seal, by="eve"), "decisions[0].message: is not by 'boss'"),
    "a message about another seal": (lambda seal: _message(seal, digest="0" * 64), "decisions[0].message.digest"),
    "another signature": (
        lambda seal: _message(seal, signature="A" * 86 + "=="), "decisions[0].key: did not make this signature"
    ),
    "a signature without its key": (lambda seal: _decision(seal, key=None), "decisions[0].key: another one made"),
    "no signature": (lambda seal: _message(seal, signature=None), "decisions[0].key: did not make this signature"),
    "a key without a message": (lambda seal: _decision(seal, message=None), "decisions[0].key: there is no message"),
    "no message": (
        lambda seal: _decision(seal, message=None, key=None), "decisions[0].message: is missing without a reason"
    ),
    "other voices": (lambda seal: seal.model_copy(update={"by_step": seal.by_step[:1]}), "by_step: is not what"),
    "another phase id": (lambda seal: seal.model_copy(update={"phase21_plan_id": "x"}), "phase21_plan_id: is not the one"),
    "another plan": (lambda seal: seal.model_copy(update={"plan_id": "x"}), "names another plan than 'p-0'"),
}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a JSON value, except the whole."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


def hidden(record: PlanRecord, **changes: Any) -> PlanRecord:
    """Return the record with hidden values, and other fields in the content of its last seal."""
    seals = [hidden_line(seal, KEY)[0] for seal in record.seals]
    content = {**(seals[-1].content or {}), **changes}
    seals[-1] = seals[-1].model_copy(update={"content": content, "content_hash": digest(content)})
    return relinked(record, *seals)
