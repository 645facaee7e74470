"""Verification of lines, documents and plan chains of an export. Pure, and safe for any bytes."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from airlock.admission.conflicts.conflict import Answer, ConflictKind
from airlock.base.canonical import digest
from airlock.base.errors import AirlockError, plain_message
from airlock.base.model import WireModel
from airlock.base.text import shorten
from airlock.export.approvals import SealLine
from airlock.export.documents import Document
from airlock.export.fields import NEWEST_VERSION
from airlock.export.files import APPROVALS, EXECUTIONS, ROLLBACKS, TRANSITIONS
from airlock.export.hiding import Openings
from airlock.export.ledger import document_text, line_hash, line_text, parts_of, plan_genesis
from airlock.export.lines import Correlated, ExecutionLine, HistoryEvent, Link, RollbackLine, TransitionLine
from airlock.export.plan_lines import UNDONE, PlanRecord
from airlock.export.seal_check import SealReport, check_seals
from airlock.run.audit import AuditKind

L = TypeVar("L", bound=Link)
D = TypeVar("D", bound=Document)
M = TypeVar("M", bound=BaseModel)


class Finding(WireModel):
    """Error in an export."""

    file: str
    line: int | None = None
    """Line number, from 1; None for the whole file, or the folder."""
    message: str

    def __str__(self) -> str:
        """Return the position and the message, on one line."""
        return f"{self.file}{f':{self.line}' if self.line is not None else ''}: {self.message}"


class DamagedContent(AirlockError):
    """Bytes that are not a line, or a document, as export writes them.

    Args:
        message: The error.
        line: Line number within the bytes, from 1.
    """

    def __init__(self, message: str, line: int = 1) -> None:
        self.line = line
        super().__init__(message)


@dataclass(frozen=True)
class NumberedLine(Generic[L]):
    """Line with its number in the file, from 1."""

    number: int
    value: L


@dataclass(frozen=True)
class PlanLines:
    """Lines of one plan as they stand in the three files."""

    index: int
    execution: NumberedLine[ExecutionLine]
    transitions: tuple[NumberedLine[TransitionLine], ...]
    rollbacks: tuple[NumberedLine[RollbackLine], ...]
    after: Mapping[str, int]
    """Number of the next line after them, by file."""
    seals: tuple[NumberedLine[SealLine], ...] = ()

    @property
    def record(self) -> PlanRecord:
        """Lines without their numbers."""
        return PlanRecord(
            execution=self.execution.value,
            transitions=tuple(line.value for line in self.transitions),
            rollbacks=tuple(line.value for line in self.rollbacks),
            seals=tuple(line.value for line in self.seals),
        )


def read_line(data: bytes, model: type[L]) -> L:
    """Read a line, and check its schema, its hash and its formatting.

    Raises:
        DamagedContent: If one of them is wrong, with the reason.
    """
    if not data.endswith(b"\n"):
        raise DamagedContent("the line does not end in a line feed: its end is missing")
    document = _decoded(data)
    read = _validated(document, data, model)
    if line_hash(document) != read.hash:
        raise DamagedContent("was changed: its content does not match its hash")
    for event in document["events"] if isinstance(read, ExecutionLine) else ():
        if line_hash(event) != event["hash"]:
            raise DamagedContent(f"entry {event['seq']} was changed: its content does not match its hash")
    if line_text(document).encode() != data:
        raise DamagedContent("is not written as export writes it: white space, order of fields, or the spelling of a value")
    return read


def read_document(data: bytes, model: type[D]) -> D:
    """Read a document, and check its schema, its digests and its formatting.

    Raises:
        DamagedContent: If one of them is wrong; it names the field and the line on which the field begins.
    """
    document = _decoded(data)
    read = _validated(document, data, model)
    actual = parts_of(document)
    if read.parts != actual:
        name = next(name for name in sorted({*read.parts, *actual}) if read.parts.get(name) != actual.get(name))
        if digest(actual) == read.hash:
            raise DamagedContent(f"parts: the digest of {name!r} was changed", _line_of(data, ("parts", name)))
        raise DamagedContent(f"{name}: was changed: it does not match its digest in 'parts'", _line_of(data, (name,)))
    if digest(actual) != read.hash:
        raise DamagedContent("hash: is not the digest of 'parts'", _line_of(data, ("hash",)))
    if (text := document_text(document).encode()) != data:
        pairs = zip(data.split(b"\n"), text.split(b"\n"), strict=False)
        line = next((number for number, (one, other) in enumerate(pairs, start=1) if one != other), data.count(b"\n") + 1)
        raise DamagedContent("is not written as export writes it: white space, or order of fields", line)
    return read


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data.decode("ascii"))
        json.dumps(document, allow_nan=False)
    except UnicodeDecodeError as error:
        raise DamagedContent("is not ASCII", data.count(b"\n", 0, error.start) + 1) from error
    except json.JSONDecodeError as error:
        raise DamagedContent(f"is not JSON: {error.msg}", min(error.lineno, max(data.count(b"\n"), 1))) from error
    except (ValueError, RecursionError) as error:
        raise DamagedContent(f"is not JSON as export writes it: {shorten(str(error), 100)}") from error
    if not isinstance(document, dict):
        raise DamagedContent("is not a JSON object")
    version = document.get("schema_version")
    if isinstance(version, int) and version > NEWEST_VERSION:
        raise DamagedContent(
            f"has schema version {version}; this Airlock knows {NEWEST_VERSION}: verify it with a newer one"
        )
    return document


def _validated(document: Mapping[str, Any], data: bytes, model: type[M]) -> M:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        # a name that was changed is unknown at its place, and missing at none: the place is told
        first = next((fault for fault in faults if fault["type"] != "missing"), faults[0])
        where = ".".join(str(part) for part in first["loc"])
        line = _line_of(data, first["loc"])
        raise DamagedContent(f"{shorten(where, 200)}: {plain_message(first)}", line) from error


def _line_of(data: bytes, place: Sequence[str | int]) -> int:
    """Return the line of a document on which a place begins, as far as the names that lead to it stand there."""
    start = 0
    for depth, name in enumerate(place, start=1):
        indent = b"\n" + b"  " * depth
        if isinstance(name, int):
            items = (match.start() for match in re.finditer(re.escape(indent) + rb"[^ }\]]", data[start:]))
            at = next(islice(items, name, None), -1) + start
        else:
            at = data.find(indent + json.dumps(name).encode() + b":", start)
        if at < start:
            break
        start = at + 1
    return data.count(b"\n", 0, start) + 1


def check_plan(plan: PlanLines, openings: Openings | None = None, report: SealReport | None = None) -> Finding | None:
    """Return the first error in a plan's chains, its seals, or the counts of its line; None if there is none.

    Args:
        plan: The lines of the plan.
        openings: The hidden values that can be shown.
        report: What the check of the seals comes to is added here.
    """
    line = plan.execution.value
    if line.plan_index != plan.index:
        message = f"plan_index is {line.plan_index} where {plan.index} follows: plans are missing, or out of order"
        return Finding(file=EXECUTIONS, line=plan.execution.number, message=message)
    wrong = _check_chain(plan) or _check_identity(plan)
    if wrong is not None:
        return wrong
    if message := next(_contradictions(plan.record), ""):
        return Finding(file=EXECUTIONS, line=plan.execution.number, message=message)
    return _check_seals(plan, openings or Openings(), report or SealReport())


def _check_seals(plan: PlanLines, openings: Openings, report: SealReport) -> Finding | None:
    fault = check_seals(plan.record, openings, report)
    if fault is None:
        return None
    if fault.seal is not None:
        return Finding(file=APPROVALS, line=plan.seals[fault.seal].number, message=fault.message)
    if plan.execution.value.seals != len(plan.seals):  # a line is missing at the end, or belongs to no seal
        return Finding(file=APPROVALS, line=plan.after.get(APPROVALS, 1), message=fault.message)
    return Finding(file=EXECUTIONS, line=plan.execution.number, message=fault.message)


def _check_chain(plan: PlanLines) -> Finding | None:
    line = plan.execution.value
    streams = {
        EXECUTIONS: [NumberedLine[HistoryEvent](plan.execution.number, event) for event in line.events],
        TRANSITIONS: [NumberedLine[HistoryEvent](found.number, found.value) for found in plan.transitions],
        ROLLBACKS: [NumberedLine[HistoryEvent](found.number, found.value) for found in plan.rollbacks],
    }
    last = sum(map(len, streams.values()))
    prev = plan_genesis(line.workflow_id, line.first_run_id)
    for seq in range(1, last + 1):
        file = next((name for name, left in streams.items() if left and left[0].value.seq == seq), None)
        if file is None:
            return _misplaced(plan, streams, seq)
        link = streams[file].pop(0)
        if link.value.prev != prev:
            message = f"entry {seq} of plan {line.plan_id!r} does not continue the chain"
            return Finding(file=file, line=link.number, message=message)
        prev = link.value.hash
    if line.seq != last + 1:
        return _misplaced(plan, streams, last + 1)
    if line.prev != prev:
        message = f"the chain of plan {line.plan_id!r} does not end in the hash before its line"
        return Finding(file=EXECUTIONS, line=plan.execution.number, message=message)
    return None


def _misplaced(plan: PlanLines, streams: Mapping[str, Sequence[NumberedLine[HistoryEvent]]], seq: int) -> Finding:
    """Locate an entry that is not where it should be: its line is missing, out of order, or replaced by another one."""
    stated = {TRANSITIONS: plan.execution.value.transitions, ROLLBACKS: plan.execution.value.rollback_events}
    counted = {TRANSITIONS: len(plan.transitions), ROLLBACKS: len(plan.rollbacks)}
    later = (name for name, left in streams.items() if any(link.value.seq == seq for link in left))
    uncounted = (name for name in stated if stated[name] != counted[name])
    foreign = (name for name, left in streams.items() if left)
    file = next((name for names in (later, uncounted, foreign) for name in names), EXECUTIONS)
    head = streams[file][0] if streams[file] else None
    number = head.number if head else plan.after.get(file, plan.execution.number)
    found = f", not entry {head.value.seq}" if head else ""
    return Finding(file=file, line=number, message=f"entry {seq} of plan {plan.execution.value.plan_id!r} follows{found}")


def _check_identity(plan: PlanLines) -> Finding | None:
    line = plan.execution.value
    streams: tuple[tuple[str, Sequence[NumberedLine[Any]]], ...] = (
        (TRANSITIONS, plan.transitions), (ROLLBACKS, plan.rollbacks), (APPROVALS, plan.seals)
    )  # fmt: skip
    for file, found in streams:
        for numbered in found:
            if (numbered.value.plan_id, numbered.value.workflow_id) != (line.plan_id, line.workflow_id):
                return Finding(file=file, line=numbered.number, message=f"names another plan than {line.plan_id!r}")
            if _phases(numbered.value) != _phases(line):
                return Finding(file=file, line=numbered.number, message="names other phase ids than the plan's line")
    for event in line.events:
        if _phases(event) != _phases(line):
            message = f"entry {event.seq} names other phase ids than the plan's line"
            return Finding(file=EXECUTIONS, line=plan.execution.number, message=message)
    return None


def _phases(found: Correlated) -> tuple[str | None, str | None]:
    return found.phase21_plan_id, found.phase22_validation_id


def _contradictions(record: PlanRecord) -> Iterator[str]:
    """Yield the statements of a plan's line that its own entries and lines contradict."""
    line, result = record.execution, record.execution.result
    called = [found.success for found in result.tool_results if found.calls]
    conflicts = [event for event in line.events if event.kind is AuditKind.CONFLICT]
    counted = {
        "transitions": (line.transitions, len(record.transitions)),
        "rollback_events": (line.rollback_events, len(record.rollbacks)),
        "result.successful_executions": (result.successful_executions, called.count(True)),
        "result.failed_executions": (result.failed_executions, called.count(False)),
        "result.in_doubt_executions": (result.in_doubt_executions, called.count(None)),
        "result.conflicts_detected": (result.conflicts_detected, len(conflicts)),
        "result.conflicts_resolved": (result.conflicts_resolved, sum(event.answer is not None for event in conflicts)),
        "result.rollbacks_executed": (
            result.rollbacks_executed,
            sum(event.event == UNDONE for event in record.rollbacks),
        ),
    }
    yield from (f"{name} is {stated}, but {count} are there" for name, (stated, count) in counted.items() if stated != count)
    if record.transitions and record.transitions[-1].to_state is not line.state:
        yield f"state is {line.state.value}, its last transition led to {record.transitions[-1].to_state.value}"
    kinds, answers = set(ConflictKind), {None, *Answer}
    yield from (f"entry {event.seq}: no such conflict" for event in conflicts if event.what not in kinds)
    yield from (f"entry {event.seq}: no such answer" for event in conflicts if event.answer not in answers)
