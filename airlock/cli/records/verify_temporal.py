"""The check of an export against Temporal's histories: every plan's chain is derived again and compared line by line."""

from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from temporalio.client import Client

from airlock.base.text import count
from airlock.cli.records.exported_lines import PlanFiles
from airlock.cli.records.verify_files import MAX_FINDINGS
from airlock.client.exporting import Key, Plans, Tell, key_of, plans_of, retention_of
from airlock.export.approvals import SealLine
from airlock.export.documents import OrchestrationSummary
from airlock.export.files import APPROVALS, EXECUTIONS, ROLLBACKS, SUMMARY, TRANSITIONS
from airlock.export.first_version import as_first_version, has_first_version
from airlock.export.hiding import shows_the_same
from airlock.export.plan_lines import PlanRecord, first_difference
from airlock.export.verification import Finding, PlanLines


@dataclass
class Comparison:
    """The result of the check. `notes` are not faults: plans that cannot be compared any more, or are newer."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    compared: int = 0

    def wrong(self, message: str, file: str = EXECUTIONS, line: int | None = None) -> None:
        """Add a fault."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(file=file, line=line, message=message))


async def verify_against_temporal(folder: Path, client: Client, now: datetime, tell: Tell | None = None) -> Comparison:
    """Derive every plan again from Temporal, and compare it with an export that is consistent in itself.

    Args:
        folder: The export; `verify` has found no fault in it.
        client: A client of the namespace of the export; a worker must be running there.
        now: The time, UTC. Plans that were closed longer ago than the namespace's retention are not expected.
        tell: Receives the progress.
    """
    summary = OrchestrationSummary.model_validate_json((folder / SUMMARY).read_bytes())
    found = Comparison()
    if summary.pipeline_id != client.namespace:
        text = (
            f"pipeline_id: the export is of namespace {summary.pipeline_id!r}, Temporal was asked about {client.namespace!r}"
        )
        found.wrong(text, SUMMARY)
        return found
    retention = await retention_of(client)
    async with plans_of(client, tell=tell) as plans:
        unread = {(plan.workflow_id, plan.run_id): plan.why for plan in plans.unread}
        seen: set[Key] = set()
        with closing(PlanFiles(folder)) as files:
            for lines in files.plans():
                seen.add(key_of(lines.record))
                _compare(found, lines, plans, unread, now - retention)
        known = {*(plan.workflow_id for plan in summary.unreadable or ()), *(summary.left_out or ())}
        for (workflow_id, _), why in unread.items():
            if workflow_id not in known:
                found.wrong(why)
        _not_exported(found, plans, seen, summary.end_time, known)
    return found


def _compare(found: Comparison, lines: PlanLines, plans: Plans, unread: dict[Key, str], kept_since: datetime) -> None:
    exported, number = lines.record, lines.execution.number
    derived = plans.record(key_of(exported))
    if derived is not None and has_first_version(exported.execution):
        derived = as_first_version(derived)
    name = f"plan {exported.execution.workflow_id!r}"
    if derived is None:
        why = unread.pop((exported.execution.workflow_id, exported.execution.run_id), "")
        if why:
            found.wrong(why, line=number)
        elif _last_sign(exported) < kept_since:
            found.notes.append(f"{name} cannot be compared: Temporal's retention has passed")
        else:
            found.wrong(f"{name} is not in Temporal, whose retention would have kept it", line=number)
        return
    if gone := plans.kept[key_of(exported)].gone:
        found.notes.append(f"{name} cannot be compared: Temporal has forgotten its run {gone}, which others continued")
        return
    found.compared += 1
    if difference := first_difference(exported, derived) or _stood_still(exported, derived):
        reset = derived.execution.run_id != exported.execution.run_id and exported.execution.closed_at is not None
        since = f"; since then its run {exported.execution.run_id} was reset to {derived.execution.run_id}" if reset else ""
        file, line = _place(lines, derived)
        found.wrong(f"{name}: {difference}{since}", file, line)


def _stood_still(exported: PlanRecord, derived: PlanRecord) -> str:
    """Return the fault in the line of a plan that is open, where nothing has happened to it since the export."""
    one, other = exported.execution, derived.execution
    same_place = (one.run_id, one.event_id) == (other.run_id, other.event_id)
    return "its line differs from what the histories tell" if same_place and one.hash != other.hash else ""


def _place(lines: PlanLines, derived: PlanRecord) -> tuple[str, int]:
    """Return the file and line of the first entry, else of the first seal, that differs from the derived one."""
    here = (EXECUTIONS, lines.execution.number)
    true = {event.seq: event.hash for event in derived.events}
    if wrong := next((event for event in lines.record.events if true.get(event.seq) != event.hash), None):
        places = ((TRANSITIONS, lines.transitions), (ROLLBACKS, lines.rollbacks))
        found = ((file, line.number) for file, placed in places for line in placed if line.value.seq == wrong.seq)
        return next(found, here)
    known = {seal.seq: seal for seal in derived.seals}
    other = (line.number for line in lines.seals if not _same_seal(line.value, known.get(line.value.seq)))
    return next(((APPROVALS, number) for number in other), here)


def _same_seal(exported: SealLine, derived: SealLine | None) -> bool:
    return derived is not None and exported.hash == derived.hash and shows_the_same(exported.content, derived.content)


def _last_sign(exported: PlanRecord) -> datetime:
    """Return the time at which an exported plan was last seen; an open one may have ended right after it."""
    line = exported.execution
    return line.closed_at or max([line.submitted_at, *(event.timestamp for event in exported.events)])


def _not_exported(found: Comparison, plans: Plans, seen: set[Key], end: datetime | None, known: set[str]) -> None:
    """Plans that Temporal has and the export has not: missing if they were there when it was made.

    The export itself says of those in `known` that it lacks them.
    """
    newer = 0
    for key in plans.in_order():
        if key in seen or key[0] in known:
            continue
        if end is None or plans.kept[key].order[0] > end:
            newer += 1
        else:
            found.wrong(f"plan {key[0]!r} is missing: Temporal has it (run {key[1]}), the export has not")
    if newer:
        found.notes.append(f"{count(newer, 'plan')} newer than the export")
