"""Calls and compensations that one history holds, as the workers of Airlock are known to have answered them."""

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import TimeoutType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from airlock.admission.admitted import LOST_CHAIN_EPOCH, RECORD_EPOCH, UNBEGUN_EPOCH
from airlock.base.names import SENT_BACK
from airlock.plans.outcome import Attempt, CallFailed, CallInDoubt, CallSucceeded, UndoOutcome
from airlock.run.live.call_messages import ChainRequest, ChainResult, MadeCall
from airlock.run.live.recovery import CallActivity, HistoryEvidence, UndoActivity, lost_after, unrecorded
from airlock.run.live.sent_back import DEAF_FROM, QUIET, SentBack
from airlock.temporal.past_activities import ActivityReader, Unreadable

CALL = "call"
COMPENSATE = "compensate"
_CLOSING = (
    "activity_task_completed_event_attributes",
    "activity_task_failed_event_attributes",
    "activity_task_timed_out_event_attributes",
    "activity_task_canceled_event_attributes",
)
_ATTEMPTS = TypeAdapter[list[Attempt]](list[Attempt])
_UNDO_OUTCOME = TypeAdapter[UndoOutcome](UndoOutcome)

FirstAsked = dict[tuple[str, str], tuple[int, int]]
"""The event, by number and time, that asked a question first; a run that was reset has the event of its base."""


def ends_of(events: Sequence[HistoryEvent]) -> dict[int, HistoryEvent]:
    """Return the events with which activities ended, by the number of the event that scheduled them."""
    ends = dict[int, HistoryEvent]()
    for event in events:
        kind = event.WhichOneof("attributes")
        if kind in _CLOSING:
            ends[getattr(event, kind).scheduled_event_id] = event
    return ends


async def activities_of(
    client: Client, workflow_id: str, run_id: str, events: list[HistoryEvent], first: FirstAsked, *, whole: bool = True
) -> HistoryEvidence:
    """Return the calls and compensations of one history.

    What no worker of Airlock is known to have said counts as lost, never as "not made". So does what was asked before: a
    client can command a copy of a genuine question, and answer it with a copy of the genuine answer.

    Args:
        client: A client of the namespace.
        workflow_id: The workflow.
        run_id: Its run.
        events: The run's history.
        first: The questions that were read already; those of this history are added.
        whole: False if later events cannot be decoded, so that the word of a worker may be among them.

    Raises:
        Unreadable: If what was asked for in a call cannot be read.
    """
    closed = ends_of(events)
    until, deaf = events[-1].event_time.ToDatetime(UTC), len(events) >= DEAF_FROM or not whole
    told = _Told(until, await _sent_back(client, events), deaf, _closing(events))
    calls: list[CallActivity] = []
    undos: list[UndoActivity] = []
    for event in events:
        name = event.activity_task_scheduled_event_attributes.activity_type.name
        end = closed.get(event.event_id)
        if name == CALL:
            calls.append(await _call(ActivityReader(client, workflow_id, event), run_id, end, first, told))
        elif name == COMPENSATE:
            undos.append(await _undo(ActivityReader(client, workflow_id, event), run_id, end, first))
    return HistoryEvidence(calls=tuple(calls), undos=tuple(undos))


async def _call(
    reader: ActivityReader, run_id: str, end: HistoryEvent | None, first: FirstAsked, told: "_Told"
) -> CallActivity:
    chain = ChainRequest.model_validate(await reader.question())
    every = tuple(call.step.id for call in chain.calls)
    if not reader.asked_by_airlock or _is_copy(reader, first):
        # nothing that it says about the calls is known, their undo tokens least of all; nor does it settle what was before
        calls = tuple(call.model_copy(update={"undo": None, "attempt": max(call.attempt, 2)}) for call in chain.calls)
        return CallActivity(run_id=run_id, request=chain.model_copy(update={"calls": calls}), lost=every)
    kind = end.WhichOneof("attributes") if end is not None else None
    if end is None:
        return CallActivity(run_id=run_id, request=chain, lost=every)
    if kind == "activity_task_canceled_event_attributes":
        # a worker completes the activity of a call that has begun; any client may have cancelled it instead
        begun = end.activity_task_canceled_event_attributes.started_event_id != 0
        begun = begun or _may_be_begun(reader, chain, end, told)
        return CallActivity(run_id=run_id, request=chain, lost=every if begun else ())
    if kind == "activity_task_timed_out_event_attributes":
        failure = end.activity_task_timed_out_event_attributes.failure
        if failure.timeout_failure_info.timeout_type == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START:
            lost = every if _may_be_begun(reader, chain, end, told) else ()  # else no worker began it in time
            return CallActivity(run_id=run_id, request=chain, lost=lost)
        attempts = await _heartbeat(reader, failure.timeout_failure_info.last_heartbeat_details)
        if attempts is None:
            return CallActivity(run_id=run_id, request=chain, lost=every)
        more = _begun_beyond(reader, chain, attempts, end, told)
        return CallActivity(run_id=run_id, request=chain, attempts=attempts, lost=(*lost_after(chain, attempts), *more))
    if kind == "activity_task_completed_event_attributes":
        result = await _result(reader.answer(end.activity_task_completed_event_attributes.result))
        if result is not None and (result.stopped or result.attempts):
            return CallActivity(run_id=run_id, request=chain, attempts=result.attempts)
    return CallActivity(run_id=run_id, request=chain, lost=every)


async def answered_calls(client: Client, events: Sequence[HistoryEvent]) -> frozenset[str]:
    """Return the steps of whose calls one history says that they were made, failed or are in doubt.

    For a reader who must leave out nothing: an answer without a proof may be a lie, and a call that is left out is worse.
    """
    calls = {event.event_id for event in events if event.activity_task_scheduled_event_attributes.activity_type.name == CALL}
    found: set[str] = set()
    for event in events:
        completed = event.activity_task_completed_event_attributes
        if completed.scheduled_event_id in calls:
            result = await _result(_decoded(client, completed.result))
            made = () if result is None else result.attempts
            found.update(each.step for each in made if isinstance(each, CallSucceeded | CallFailed | CallInDoubt))
    return frozenset(found)


async def _result(answer: Awaitable[Any]) -> ChainResult | None:
    """Return the answer of an activity of calls; None if it is none, or if it cannot be read."""
    try:
        return ChainResult.model_validate(await answer)
    except (ValidationError, Unreadable):
        return None


async def _decoded(client: Client, payloads: Payloads) -> Any:
    try:
        (content,) = await client.data_converter.decode(payloads.payloads)
    except Exception as error:  # any client may have answered it, with anything
        raise Unreadable(f"an answer cannot be decoded: {type(error).__name__}") from error
    return content


@dataclass(frozen=True)
class _Told:
    """The word of workers, in one history, about calls that they began and that Temporal forgot."""

    until: datetime
    """The time of the last event: what happened right before it was perhaps not told any more."""
    begun: Mapping[int, frozenset[str]]
    """The steps of those calls, by fencing token."""
    deaf: bool
    """True if the word of a worker may be missing: Temporal takes none after so many events, or it cannot be read."""
    closing: Sequence[tuple[datetime, datetime]]
    """The times, from and until, in which Temporal may have taken none."""


def _closing(events: Sequence[HistoryEvent]) -> list[tuple[datetime, datetime]]:
    """Return the times in which a task may have failed to close the run, so that the next one lets no signal in.

    They begin with each task that failed or timed out: a further attempt of it, which may try to close the run too, leaves
    no event. The next one may begin as late as its holder likes. A task that completes ends them.
    """
    found: list[tuple[datetime, datetime]] = []
    since: datetime | None = None
    for event in events:
        at = event.event_time.ToDatetime(UTC)
        if since is None and _is_tried_again(event):
            since = at
        elif since is not None and event.HasField("workflow_task_completed_event_attributes"):
            found.append((since, at))
            since = None
    return found if since is None else [*found, (since, datetime.max.replace(tzinfo=UTC))]


def _is_tried_again(event: HistoryEvent) -> bool:
    """Return True if a workflow task failed or timed out. A reset, or a queue without workers, makes no attempt more."""
    if event.HasField("workflow_task_timed_out_event_attributes"):
        return event.workflow_task_timed_out_event_attributes.timeout_type != TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
    reset = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
    return (
        event.HasField("workflow_task_failed_event_attributes")
        and event.workflow_task_failed_event_attributes.cause != reset
    )


async def _sent_back(client: Client, events: list[HistoryEvent]) -> Mapping[int, frozenset[str]]:
    """Return the steps that were told to be begun, by fencing token. Any client may have said so."""
    found: dict[int, frozenset[str]] = {}
    for event in events:
        signal = event.workflow_execution_signaled_event_attributes
        if signal.signal_name == SENT_BACK:
            with suppress(Exception):  # any client may have sent it, with anything
                (value,) = await client.data_converter.decode(signal.input.payloads)
                told = SentBack.model_validate(value)
                found[told.fence] = found.get(told.fence, frozenset()).union(told.begun)
    return found


def _may_be_begun(reader: ActivityReader, chain: ChainRequest, end: HistoryEvent, told: _Told) -> bool:
    """Return True if a worker may have begun an activity that ended unbegun: one says so, or could not any more.

    Without keys, and in runs of earlier epochs, no worker tells.
    """
    known = reader.is_due and any(call.epoch >= UNBEGUN_EPOCH and not call.contract.read_only for call in chain.calls)
    return known and (_is_unheard(end, told) or chain.calls[0].fence in told.begun)


def _begun_beyond(
    reader: ActivityReader, chain: ChainRequest, made: Sequence[Attempt], end: HistoryEvent, told: _Told
) -> tuple[str, ...]:
    """Return the steps of a chain that a worker may have begun, although its record does not tell.

    Any client can overwrite the record of an activity with an earlier genuine one. A worker that says nothing is gone.
    """
    rest = [call for call in unrecorded(chain.calls, made) if call.epoch >= RECORD_EPOCH and not call.contract.read_only]
    begun = told.begun.get(chain.calls[0].fence or 0, frozenset())
    unheard = _is_unheard(end, told)
    gone = not begun and any(call.epoch >= LOST_CHAIN_EPOCH for call in rest)
    return tuple(call.step.id for call in rest if unheard or gone or call.step.id in begun) if reader.is_due else ()


def _is_unheard(end: HistoryEvent, told: _Told) -> bool:
    """Return True if a worker that had begun an activity may have had no time, or no way, to say so after its end."""
    since, quiet = end.event_time.ToDatetime(UTC), timedelta(seconds=QUIET)
    refused = any(begins < since + quiet and since <= ends for begins, ends in told.closing)
    return told.deaf or told.until - since < quiet or refused


async def _heartbeat(reader: ActivityReader, details: Payloads) -> tuple[Attempt, ...] | None:
    """Return the attempts that were recorded; None if no worker of Airlock is known to have recorded them."""
    if not details.payloads:
        return ()
    try:
        return tuple(_ATTEMPTS.validate_python(await reader.answer(details)))
    except ValidationError:
        return ()
    except Unreadable:
        return None


def _is_copy(reader: ActivityReader, first: FirstAsked) -> bool:
    """Return True if another event asked this question before; only questions that are proved have a mark to tell."""
    return bool(reader.asked[1]) and first.setdefault(reader.asked, reader.event) != reader.event


async def _undo(reader: ActivityReader, run_id: str, end: HistoryEvent | None, first: FirstAsked) -> UndoActivity:
    made = MadeCall.model_validate(await reader.question())
    outcome: UndoOutcome | None = None
    asked = reader.asked_by_airlock and not _is_copy(reader, first)
    if asked and end is not None and end.HasField("activity_task_completed_event_attributes"):
        with suppress(ValidationError, Unreadable):
            said = await reader.answer(end.activity_task_completed_event_attributes.result)
            outcome = _UNDO_OUTCOME.validate_python(said)
    return UndoActivity(run_id=run_id, request=made, outcome=outcome)
