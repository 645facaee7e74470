"""The commands of activities in the histories of the runs that a worker serves: each event is read and decoded once.

The events of a run never change and are only added to; a reset makes a run with another id.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from temporalio import activity
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes

from airlock.activities.own_history import own_events_backwards

T = TypeVar("T")
_MAX_RUNS: Final = 64
_FIRST_PAGE: Final = 20
"""Events that are asked for first: most often only a few are new since the last look."""


@dataclass
class _Known(Generic[T]):
    newest: int = 0
    """The event up to which the history is known."""
    commands: dict[int, T] = field(default_factory=dict)


class KnownCommands(Generic[T]):
    """The commands of some activities that the histories hold, by run; the runs that were looked at last are kept.

    Args:
        kinds: The types of these activities.
        read: Returns what is kept of one command.
    """

    def __init__(self, kinds: frozenset[str], read: Callable[[ActivityTaskScheduledEventAttributes], Awaitable[T]]) -> None:
        self._kinds = kinds
        self._read = read
        self._runs: OrderedDict[tuple[str, str, str], _Known[T]] = OrderedDict()

    async def of_own_run(self) -> dict[int, T]:
        """Return every such command in the history of the run that this activity works for, by event.

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
        since, newest, found = known.newest, 0, dict[int, T]()
        async for event in own_events_backwards(first=_FIRST_PAGE):
            newest = max(newest, event.event_id)
            if event.event_id <= since:
                break
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name in self._kinds:
                found[event.event_id] = await self._read(scheduled)
        known.commands.update(found)
        known.newest = max(known.newest, newest)
        return known.commands
