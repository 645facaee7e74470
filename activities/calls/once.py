"""The guard of calls that must not be repeated: a second command of one, under the same permit, is turned away.

A client without keys that takes a workflow task can command a call again, with the genuine input of the first time. The
history of a run is linear: of several such commands exactly the first is carried out.
"""

from dataclasses import dataclass
from typing import Final

from temporalio import activity
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes, HistoryEvent
from temporalio.service import RPCError

from airlock.activities.known_commands import KnownCommands
from airlock.activities.own_history import decoded, own_events_backwards
from airlock.plans.outcome import CallFailed, CallInDoubt, CallStale, CallUnpermitted, RetryableFailure
from airlock.run.live.call_messages import CallRequest, ChainRequest, ChainResult
from airlock.temporal import proof
from airlock.temporal.proof import BY_ACTIVITY, Stamp

_CLOSING: Final = {
    f"activity_task_{kind}_event_attributes": kind for kind in ("completed", "failed", "timed_out", "canceled")
}
CALL: Final = "call"
_MADE_NOTHING: Final = (CallStale, CallFailed, CallUnpermitted)


@dataclass(frozen=True)
class Command:
    """One command of a chain of calls."""

    activity_id: str
    receipt: str
    calls: frozenset[tuple[str, int]]
    """The step of each call, with the number of times that it was compensated."""
    ask: str = ""
    """The question's own mark, which a copy shares with the genuine command."""


def known_calls() -> KnownCommands[Command]:
    """Return a memory of the commands of calls, for one worker."""
    return KnownCommands(frozenset({CALL}), _command)


class OnceGuard:
    """Looks in the history of its own run for an earlier command of the same call.

    Args:
        receipt: The receipt that the chain shows, or the mark of the stay that it opens.
        known: The commands that this worker has read.
        proofs: True if only a proved answer shows that an earlier command made nothing.
    """

    def __init__(self, receipt: str, known: KnownCommands[Command], *, proofs: bool) -> None:
        self._receipt = receipt
        self._known = known
        self._proofs = proofs
        self._genuine = False

    async def objection(self, call: CallRequest) -> CallInDoubt | RetryableFailure | None:
        """Return the outcome of a call that may have been commanded before in this run; None if it is the first time.

        Only calls that their contract lets be attempted once are looked for. After a new entry to LIVE, and so after a new
        approval, a call may be made again: then the run knows what became of the first one. A copy of a command is turned
        away whatever the contract: each attempt of a run has a question of its own, and the call may have been undone, or
        taken back by a lock, since the genuine one.
        """
        once = call.contract.attempts(checked=_checked(call)) == 1
        if not self._receipt or not (once or (self._proofs and not call.contract.read_only)):
            return None
        try:
            earlier = None if not once or await self._is_first(call) else await self._earlier(call)
            earlier = earlier or await self._copied()
        except (RPCError, ValueError) as error:
            text = f"whether it was commanded before cannot be read, and nothing was called now: {type(error).__name__}"
            if not once and isinstance(error, RPCError):
                return RetryableFailure(
                    step=call.step.id, error=text, doubtful=False, certain=True, undo=call.undo, turned_away=True
                )
            return CallInDoubt(step=call.step.id, error=text, undo=call.undo, token_lost=call.undo is None)
        if earlier is None:
            return None
        text = f"it was commanded before, at event {earlier} of this run: nothing was called now"
        return CallInDoubt(step=call.step.id, error=text, undo=call.undo, token_lost=call.undo is None)

    async def _copied(self) -> int | None:
        """Return the event of the genuine command, if this activity was commanded by a copy of it; None if it was not."""
        if not self._proofs or self._genuine:
            return None
        own, ask = activity.info().activity_id, proof.asked().ask
        commands = (await self._known.of_own_run()).items()
        # this one too: Temporal allows no two open activities of one id, so that an earlier one has ended
        same = [event for event, command in commands if (command.activity_id, command.ask) == (own, ask)]
        self._genuine = len(same) == 1
        return min(same) if len(same) > 1 else None

    async def _is_first(self, call: CallRequest) -> bool:
        """Return True if no other command than that of this activity is about a call, whatever became of it."""
        wanted = (call.step.id, call.undone)
        same = [
            command.activity_id
            for command in (await self._known.of_own_run()).values()
            if command.receipt == self._receipt and wanted in command.calls
        ]
        return same == [activity.info().activity_id]

    async def _earlier(self, call: CallRequest) -> int | None:
        """Return the event of the oldest earlier command of a call that may have made it; None if there is none."""
        ended: dict[int, HistoryEvent] = {}
        own, found = activity.info().activity_id, None
        seen_own = False
        async for event in own_events_backwards():
            kind = event.WhichOneof("attributes")
            if kind in _CLOSING:
                ended[getattr(event, kind).scheduled_event_id] = event
            if kind != "activity_task_scheduled_event_attributes":
                continue
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name != CALL:
                continue
            # the newest open activity with this id is this one: Temporal allows no two of them at a time
            if not seen_own and scheduled.activity_id == own and event.event_id not in ended:
                seen_own = True
                continue
            chain = await _requested(scheduled)
            same = chain.mark == self._receipt and any(_same(call, other) for other in chain.calls)
            if same and not await self._made_nothing(call, scheduled.activity_id, ended.get(event.event_id)):
                found = event.event_id
        return found

    async def _made_nothing(self, call: CallRequest, activity_id: str, end: HistoryEvent | None) -> bool:
        """Return True if an earlier command certainly did not make the call, or its failure allows another attempt."""
        if end is None:
            return False
        kind = end.WhichOneof("attributes")
        if kind == "activity_task_canceled_event_attributes":
            return end.activity_task_canceled_event_attributes.started_event_id == 0
        if kind == "activity_task_timed_out_event_attributes":
            return end.activity_task_timed_out_event_attributes.started_event_id == 0
        if kind != "activity_task_completed_event_attributes":
            return False
        try:
            value, stamp = await decoded(activity_id, CALL, end.activity_task_completed_event_attributes.result)
            result = ChainResult.model_validate(value)
        except ValueError:
            return False
        if self._proofs and not (stamp.proven and stamp.by == BY_ACTIVITY):
            return False
        answer = next((attempt for attempt in result.attempts if attempt.step == call.step.id), None)
        if answer is None:
            return result.stopped or bool(result.attempts)
        return isinstance(answer, _MADE_NOTHING) or (
            isinstance(answer, RetryableFailure) and (answer.certain or answer.turned_away)
        )


async def _requested(scheduled: ActivityTaskScheduledEventAttributes) -> ChainRequest:
    """Return the chain of calls that an activity was asked for.

    Raises:
        ValueError: If it cannot be read.
    """
    return (await _read(scheduled))[0]


async def _read(scheduled: ActivityTaskScheduledEventAttributes) -> tuple[ChainRequest, Stamp]:
    value, stamp = await decoded(scheduled.activity_id, CALL, scheduled.input)
    return ChainRequest.model_validate(value), stamp


async def _command(scheduled: ActivityTaskScheduledEventAttributes) -> Command:
    chain, stamp = await _read(scheduled)
    calls = frozenset((call.step.id, call.undone) for call in chain.calls)
    return Command(activity_id=scheduled.activity_id, receipt=chain.mark, calls=calls, ask=stamp.ask)


def _same(call: CallRequest, other: CallRequest) -> bool:
    return other.step.id == call.step.id and other.undone == call.undone


def _checked(call: CallRequest) -> bool:
    return call.preview is not None and call.preview.observed is not None
