"""The commands of calls in the histories of the runs that a worker serves: each event is read and decoded once.

The events of a run never change and are only added to; a reset makes a run with another id.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from temporalio import activity
from temporalio.api.common.v1 import Payloads

from airlock.activities.own_history import decoded, own_events_backwards
from airlock.run.call_messages import ChainRequest

_MAX_RUNS: Final = 64
_FIRST_PAGE: Final = 20
"""Events that are asked for first: most often only a few are new since the last look."""


@dataclass(frozen=True)
class Command:
    """One command of a chain of calls."""

    activity_id: str
    receipt: str
    calls: frozenset[tuple[str, int]]
    """The step of each call, with the number of times that it was compensated."""


@dataclass
class _Known:
    newest: int = 0
    """The event up to which the history is known."""
    commands: dict[int, Command] = field(default_factory=dict)


class KnownCommands:
    """The commands of calls that the histories hold, by run; the runs that were looked at last are kept."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[str, str, str], _Known] = OrderedDict()

    async def of_own_run(self) -> dict[int, Command]:
        """Return every command of calls in the history of the run that this activity works for, by event.

        Raises:
            RPCError: If the history cannot be read.
            ValueError: If a command cannot be read.
        """
        info = activity.info()
        run = (info.namespace, info.workflow_id or "", info.workflow_run_id or "")
        known = self._runs.setdefault(run, _Known())
        self._runs.move_to_end(run)
        while len(self._runs) > _MAX_RUNS:
            self._runs.popitem(last=False)
        # another activity of this run may add to it meanwhile: both have read everything since they began
        since, newest, found = known.newest, 0, dict[int, Command]()
        async for event in own_events_backwards(first=_FIRST_PAGE):
            newest = max(newest, event.event_id)
            if event.event_id <= since:
                break
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name == "call":
                found[event.event_id] = await _command(scheduled.activity_id, scheduled.input)
        known.commands.update(found)
        known.newest = max(known.newest, newest)
        return known.commands


async def requested(activity_id: str, payloads: Payloads) -> ChainRequest:
    """Return the chain of calls that an activity was asked for.

    Raises:
        ValueError: If it cannot be read.
    """
    value, _ = await decoded(activity_id, "call", payloads)
    return ChainRequest.model_validate(value)


async def _command(activity_id: str, payloads: Payloads) -> Command:
    chain = await requested(activity_id, payloads)
    calls = frozenset((call.step.id, call.undone) for call in chain.calls)
    return Command(activity_id=activity_id, receipt=chain.receipt, calls=calls)
