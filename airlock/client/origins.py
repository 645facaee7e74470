"""Origins of audit entries: the event of the Temporal history that explains each entry.

The rule is fixed, so that every reader finds the same events. The time of an entry is the start of the workflow task that
recorded it. Its origin is the first of the events delivered to that task that fits:

- a decision or a refusal: the signal, update or cancellation with that name, preferably by the same person, and not the
  origin of an earlier entry; an amendment that had to wait for admission: the answer of admission. Where the task was told
  today's policy, or when approvals were stored, the message may have been delivered to an earlier task: it waited for that;
- a call, a probe or a compensation: the end of the activity for that step;
- admission and conflicts: the answer of admission or of the gates.

Every other entry, such as a transition, is a conclusion of the run. Its origin is the completion of the task.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from airlock.base.text import shorten
from airlock.export.seal_traces import DECISIONS, StoredMessage, TracedEntry, stored_message
from airlock.run.audit import AuditEntry, AuditKind

_ACTIVITY_ENDS = (
    "activity_task_completed_event_attributes",
    "activity_task_failed_event_attributes",
    "activity_task_timed_out_event_attributes",
    "activity_task_canceled_event_attributes",
)
_MESSAGE = "message "
_CANCEL = "cancel"
_AMEND = "amend"
_PREPARED = "prepare"
_TOLD = ("policy_now", "stored_at")
"""Activities whose answers decisions wait for."""
_REHEARSING = ("prepare", "admit", "rehearse", "preview", "recover", "look_at_undo")
"""Activities whose answer can make `airlock` abort a plan."""


@dataclass(frozen=True)
class Cause:
    """Event that can explain an entry."""

    event_id: int
    name: str
    """Type of an activity, or `message` and the name of a signal or a decision."""
    by: str = ""
    """Author of the message."""
    steps: tuple[str, ...] = ()
    """Steps of the activity."""
    stored: StoredMessage | None = None
    """Approval or denial as Temporal stored it."""


@dataclass(frozen=True)
class Task:
    """Workflow task that a worker carried out."""

    run_id: str
    at: datetime
    """Start of the task, UTC."""
    event_id: int
    """Event that ended the task."""
    causes: list[Cause] = field(default_factory=list)
    """Events delivered to the task."""


def workflow_time(event: HistoryEvent) -> datetime:
    """Return the time of an event on the clock of a workflow.

    The SDK converts it through a float of seconds. The same rounding here makes both times equal.
    """
    return datetime.fromtimestamp(event.event_time.ToNanoseconds() / 1e9, UTC)


async def tasks_of(client: Client, run_id: str, events: Sequence[HistoryEvent]) -> list[Task]:
    """Return the workflow tasks of one run's history, oldest first; a task that has not ended is the last."""
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
                # a worker accepts an update during a task, and reports it after the completion of that task
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
            content = await _content(client, signal.input.payloads)
            name = shorten(signal.signal_name, 100)
            return [Cause(event.event_id, _MESSAGE + name, _text(content, "by"), stored=_stored(name, content, event))]
        case "workflow_execution_update_accepted_event_attributes":
            request = event.workflow_execution_update_accepted_event_attributes.accepted_request
        case "workflow_execution_update_admitted_event_attributes":  # a reset applied it again
            request = event.workflow_execution_update_admitted_event_attributes.request
        case "workflow_execution_cancel_requested_event_attributes":
            return [Cause(event.event_id, _CANCEL)]
        case _:
            return []
    content = await _content(client, request.input.args.payloads)
    name = _text(content, "decision")
    sent = {key: value for key, value in content.items() if key != "decision"} if isinstance(content, dict) else content
    return [Cause(event.event_id, _MESSAGE + name, _text(content, "by"), stored=_stored(name, sent, event))]


def _stored(name: str, content: Any, event: HistoryEvent) -> StoredMessage | None:
    return stored_message(name, content, workflow_time(event)) if name in DECISIONS else None


async def _chain(client: Client, payloads: Sequence[Payload], first: str) -> tuple[str, ...]:
    """Return the steps of one activity `call`."""
    request = await _content(client, payloads)
    calls = request.get("opening") or request.get("calls") if isinstance(request, dict) else None
    steps = tuple(_text(call.get("step"), "id") for call in calls if isinstance(call, dict)) if calls else ()
    return steps or (first,)


async def _content(client: Client, payloads: Sequence[Payload]) -> Any:
    """Return the first value as plain JSON; None if it cannot be decoded here.

    The entry is then matched by the name of the message alone.
    """
    try:
        return next(iter(await client.data_converter.decode(payloads[:1])), None)
    except Exception:  # noqa: BLE001  a message may hold anything
        return None


def _text(content: Any, name: str) -> str:
    found = content.get(name) if isinstance(content, dict) else None
    return found if isinstance(found, str) else ""


def traced(entries: Sequence[AuditEntry], tasks: Sequence[Task], carried_by: str) -> tuple[TracedEntry, ...]:
    """Return every entry with its origin. The same entries and histories give the same origins.

    Args:
        entries: Audit entries of the run, oldest first.
        tasks: Workflow tasks of all runs whose histories are retained, oldest first.
        carried_by: Oldest run whose history is retained. Its first event carries the entries of earlier runs.
    """
    by_time: dict[datetime, list[int]] = {}
    for number, task in enumerate(tasks):
        by_time.setdefault(task.at, []).append(number)
    found: list[TracedEntry] = []
    used: set[tuple[str, int]] = set()
    current = 0
    for entry in entries:
        found_at = _task_at(entry.at, tasks, by_time, current)
        if found_at is None:
            found.append(TracedEntry(entry=entry, run_id=carried_by, event_id=1))
            continue
        current, task = found_at, tasks[found_at]
        origin = _origin_of(entry, tasks, found_at, used)
        if origin is None:
            found.append(TracedEntry(entry=entry, run_id=task.run_id, event_id=task.event_id))
            continue
        run_id, cause = origin
        if cause.name.startswith(_MESSAGE):
            used.add((run_id, cause.event_id))
        found.append(TracedEntry(entry=entry, run_id=run_id, event_id=cause.event_id, stored=cause.stored))
    return tuple(found)


def _task_at(at: datetime, tasks: Sequence[Task], by_time: dict[datetime, list[int]], first: int) -> int | None:
    """Return the number of the task that began at a time, from the task `first` on.

    If there is none, it is the last task that began before; None before all tasks.
    """
    same = next((number for number in by_time.get(at, ()) if number >= first), None)
    if same is not None:
        return same
    if first >= len(tasks) or tasks[first].at > at:
        return first if first > 0 else None
    while first + 1 < len(tasks) and tasks[first + 1].at <= at:
        first += 1
    # what one activity rehearsed is recorded with the times at which it happened, before the task that took the answer
    later = first + 1
    if later < len(tasks) and any(cause.name == _PREPARED for cause in tasks[later].causes):
        return later
    return first


def _origin_of(
    entry: AuditEntry, tasks: Sequence[Task], number: int, used: set[tuple[str, int]]
) -> tuple[str, Cause] | None:
    """Return the event that explains an entry, with its run; None for a conclusion of the run itself."""
    told = any(cause.name in _TOLD for cause in tasks[number].causes)
    fitting = [
        (task.run_id, cause)
        for task in tasks[0 if told else number : number + 1]
        for cause in task.causes
        if _explains(entry, cause) and (task.run_id, cause.event_id) not in used
        if task is tasks[number] or cause.name.startswith(_MESSAGE)
    ]
    return next((each for each in fitting if each[1].by == entry.by), fitting[0] if fitting else None)


def _explains(entry: AuditEntry, cause: Cause) -> bool:
    match entry.kind:
        case AuditKind.DECISION | AuditKind.REFUSED:
            if entry.by == "temporal":
                return cause.name == _CANCEL
            if entry.by == "airlock":
                return cause.name in _REHEARSING
            return cause.name == _MESSAGE + entry.what or (entry.what == _AMEND and cause.name == "admit")
        case AuditKind.CALL | AuditKind.DRIFT:
            return cause.name == ("probe" if entry.what.startswith("probe_") else "call") and entry.step in cause.steps
        case AuditKind.UNDO:
            return cause.name == "compensate" and entry.step in cause.steps
        case AuditKind.ADMISSION:
            return cause.name in ("prepare", "admit")
        case AuditKind.CONFLICT:
            return cause.name in ("prepare", "admit", "acquire", "call")
        case AuditKind.TRANSITION:
            return False
