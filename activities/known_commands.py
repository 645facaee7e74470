"""The commands of activities in the histories of the runs that a worker serves: each event is read and decoded once.

The events of a run never change and are only added to; a reset makes a run with another id.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from temporalio import activity
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes

from airlock.activities.own_history import PAGE, own_events_backwards

T = TypeVar("T")
_MAX_RUNS: Final = 64
_FIRST_PAGE: Final = 20
"""Events that are asked for first in a run that was looked at before: most often only a few are new."""


@dataclass
class _Known(Generic[T]):
    newest: int = 0
    """The event up to which the history is known."""
    commands: dict[int, T] = field(default_factory=dict)
    reading: asyncio.Future[None] | None = None
    """The last look that has begun."""
    next_look: asyncio.Future[None] | None = None
    """The look that begins when the last one has ended, for every activity that began meanwhile."""


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

        Activities of one run that begin at the same time share one look: a hundred of them do not read a history of a
        hundred commands each. A look that had begun before the activity may miss the activity's own command, so that only
        the next one counts.

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
        if known.next_look is None:
            known.next_look = asyncio.ensure_future(self._look(known, known.reading))
            known.next_look.add_done_callback(_noticed)
        await asyncio.shield(known.next_look)
        return known.commands

    async def _look(self, known: _Known[T], before: asyncio.Future[None] | None) -> None:
        """Read what is new since the last look, which must have ended."""
        if before is not None and not before.done():
            await asyncio.wait((before,))
        known.reading, known.next_look = known.next_look, None  # from here on an activity that begins needs another look
        newest, found = 0, dict[int, T]()
        async for event in own_events_backwards(first=_FIRST_PAGE if known.newest else PAGE):
            newest = max(newest, event.event_id)
            if event.event_id <= known.newest:
                break
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name in self._kinds:
                found[event.event_id] = await self._read(scheduled)
        known.commands.update(found)
        known.newest = max(known.newest, newest)


def _noticed(look: asyncio.Future[None]) -> None:
    """Take the error of a look for which no activity waits any more, so that asyncio does not complain of it."""
    if not look.cancelled():
        look.exception()
