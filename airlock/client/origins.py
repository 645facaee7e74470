"""The origin of each audit entry: the event of the Temporal history that explains it.

The rule, so that every reader finds the same events: an entry bears the time at which the workflow task began in which
it was recorded. Among what that task brought, it comes from the first event that says it. Of a decision or a refusal that is
the signal, the update or the cancellation with that word, the one by the same person first, and none that an earlier entry
comes from; of a call, a probe or a compensation the end of the activity for that step; of admission and of conflicts the
answer of admission or of the gates. Everything else, transitions above all, is the run's own conclusion and comes from the
completion of the task.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from airlock.base.text import shorten
from airlock.export.plan_lines import TracedEntry
from airlock.run.audit import AuditEntry, AuditKind

_ACTIVITY_ENDS = (
    "activity_task_completed_event_attributes",
    "activity_task_failed_event_attributes",
    "activity_task_timed_out_event_attributes",
    "activity_task_canceled_event_attributes",
)
_MESSAGE = "message "
_CANCEL = "cancel"
_REHEARSING = ("admit", "rehearse", "preview", "recover", "look_at_undo")
"""Activities that can end a plan early: `airlock` aborts it because of their answer."""


@dataclass(frozen=True)
class Cause:
    """An event that can explain an entry: `name` is an activity, or `message` and its word; `steps` those it is about."""

    event_id: int
    name: str
    by: str = ""
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One workflow task that was carried out: when it began, what it brought, and the event that ended it."""

    run_id: str
    at: datetime
    event_id: int
    causes: list[Cause] = field(default_factory=list)


def workflow_time(event: HistoryEvent) -> datetime:
    """Return the time of an event as a workflow's clock shows it.

    The SDK goes through a float of seconds, and so must this.
    """
    return datetime.fromtimestamp(event.event_time.ToNanoseconds() / 1e9, UTC)


async def tasks_of(client: Client, run_id: str, events: Sequence[HistoryEvent]) -> list[Task]:
    """Return the workflow tasks of one run's history, oldest first; one that has begun and not ended is the last."""
    tasks: list[Task] = []
    by_id = {event.event_id: event for event in events}
    causes: list[Cause] = []
    begun: HistoryEvent | None = None
    for event in events:
        match event.WhichOneof("attributes"):
            case "workflow_task_started_event_attributes":
                begun = event
            case "workflow_task_failed_event_attributes" | "workflow_task_timed_out_event_attributes":
                begun = None
            case "workflow_task_completed_event_attributes":
                start = by_id[event.workflow_task_completed_event_attributes.started_event_id]
                tasks.append(Task(run_id, workflow_time(start), event.event_id, causes))
                causes, begun = [], None
            case "workflow_execution_update_accepted_event_attributes" if tasks:
                # a worker accepts while it carries out the task, and says so when it has
                tasks[-1].causes.extend(await _causes(client, event, by_id))
            case _:
                causes.extend(await _causes(client, event, by_id))
    if begun is not None:
        tasks.append(Task(run_id, workflow_time(begun), begun.event_id, causes))
    return tasks


async def _causes(client: Client, event: HistoryEvent, by_id: dict[int, HistoryEvent]) -> list[Cause]:
    kind = event.WhichOneof("attributes")
    if kind in _ACTIVITY_ENDS:
        scheduled = by_id[getattr(event, kind).scheduled_event_id].activity_task_scheduled_event_attributes
        name, own = scheduled.activity_type.name, scheduled.activity_id.partition(":")[0]
        steps = await _chain(client, scheduled.input.payloads, own) if name == "call" else (own,)
        return [Cause(event.event_id, name, steps=steps)]
    match kind:
        case "workflow_execution_signaled_event_attributes":
            signal = event.workflow_execution_signaled_event_attributes
            said = await _said(client, signal.input.payloads)
            return [Cause(event.event_id, _MESSAGE + shorten(signal.signal_name, 100), _text(said, "by"))]
        case "workflow_execution_update_accepted_event_attributes":
            request = event.workflow_execution_update_accepted_event_attributes.accepted_request
        case "workflow_execution_update_admitted_event_attributes":  # a reset applied it again
            request = event.workflow_execution_update_admitted_event_attributes.request
        case "workflow_execution_cancel_requested_event_attributes":
            return [Cause(event.event_id, _CANCEL)]
        case _:
            return []
    said = await _said(client, request.input.args.payloads)
    return [Cause(event.event_id, _MESSAGE + _text(said, "decision"), _text(said, "by"))]


async def _chain(client: Client, payloads: Sequence[Payload], first: str) -> tuple[str, ...]:
    """Return the steps that one activity `call` was to call."""
    said = await _said(client, payloads)
    calls = said.get("calls") if isinstance(said, dict) else None
    steps = tuple(_text(made.get("step"), "id") for made in calls if isinstance(made, dict)) if calls else ()
    return steps or (first,)


async def _said(client: Client, payloads: Sequence[Payload]) -> Any:
    """Return the first value as plain JSON; None where it cannot be decoded here.

    An entry is then told by its word alone.
    """
    try:
        return next(iter(await client.data_converter.decode(payloads[:1])), None)
    except Exception:  # noqa: BLE001  a message may hold anything
        return None


def _text(said: Any, name: str) -> str:
    found = said.get(name) if isinstance(said, dict) else None
    return found if isinstance(found, str) else ""


def traced(entries: Sequence[AuditEntry], tasks: Sequence[Task], carried_by: str) -> tuple[TracedEntry, ...]:
    """Return every entry with the event it came from; the same entries and histories give the same events.

    Args:
        entries: What the run recorded, oldest first.
        tasks: The workflow tasks of all runs whose histories are there, oldest first.
        carried_by: The oldest run whose history is there. Its first event carries what was recorded in earlier runs.
    """
    places: dict[datetime, list[int]] = {}
    for number, task in enumerate(tasks):
        places.setdefault(task.at, []).append(number)
    found: list[TracedEntry] = []
    used: set[tuple[str, int]] = set()
    at = 0
    for entry in entries:
        place = _place(entry.at, tasks, places, at)
        if place is None:
            found.append(TracedEntry(entry=entry, run_id=carried_by, event_id=1))
            continue
        at, task = place, tasks[place]
        cause = _cause_of(entry, task, used)
        if cause is not None and cause.name.startswith(_MESSAGE):
            used.add((task.run_id, cause.event_id))
        event_id = cause.event_id if cause is not None else task.event_id
        found.append(TracedEntry(entry=entry, run_id=task.run_id, event_id=event_id))
    return tuple(found)


def _place(at: datetime, tasks: Sequence[Task], places: dict[datetime, list[int]], first: int) -> int | None:
    """Return the task that began at a time, not before the task `first`; else the last one before it.

    None before all tasks.
    """
    same = next((number for number in places.get(at, ()) if number >= first), None)
    if same is not None:
        return same
    if first >= len(tasks) or tasks[first].at > at:
        return first if first > 0 else None
    while first + 1 < len(tasks) and tasks[first + 1].at <= at:
        first += 1
    return first


def _cause_of(entry: AuditEntry, task: Task, used: set[tuple[str, int]]) -> Cause | None:
    fitting = [cause for cause in task.causes if _explains(entry, cause) and (task.run_id, cause.event_id) not in used]
    return next((cause for cause in fitting if cause.by == entry.by), fitting[0] if fitting else None)


def _explains(entry: AuditEntry, cause: Cause) -> bool:
    match entry.kind:
        case AuditKind.DECISION | AuditKind.REFUSED:
            if entry.by == "temporal":
                return cause.name == _CANCEL
            if entry.by == "airlock":
                return cause.name in _REHEARSING
            return cause.name == _MESSAGE + entry.what
        case AuditKind.CALL | AuditKind.DRIFT:
            return cause.name == ("probe" if entry.what.startswith("probe_") else "call") and entry.step in cause.steps
        case AuditKind.UNDO:
            return cause.name == "compensate" and entry.step in cause.steps
        case AuditKind.ADMISSION:
            return cause.name == "admit"
        case AuditKind.CONFLICT:
            return cause.name in ("admit", "acquire")
        case AuditKind.TRANSITION:
            return False
