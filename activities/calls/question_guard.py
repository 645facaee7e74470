"""The guard of compensations, probes and early reads: only a run of Airlock asks for them, and each question once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from temporalio import activity
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes
from temporalio.service import RPCError

from airlock.activities.known_commands import KnownCommands
from airlock.activities.own_history import decoded
from airlock.activities.proven_input import unproven_input
from airlock.base.keyring import Channel, Keyring
from airlock.temporal import proof

GUARDED: Final = frozenset({"compensate", "probe", "read"})


@dataclass(frozen=True)
class _Question:
    """One command of a compensation, a probe or reads."""

    activity_id: str
    kind: str
    ask: str | None
    """The question's own mark; None if the command cannot be read."""


class QuestionGuard:
    """Looks whether this run asks for a compensation, a probe or reads, and has not asked the same before.

    Args:
        keyring: The keys of this worker; without a key of the channel `run` nothing is demanded.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._known = KnownCommands(GUARDED, _question)

    async def objection(self) -> str:
        """Return the reason why this activity must not be carried out; empty if it may.

        A client without keys that takes a workflow task can command one. An invented question has no proof. A copied one
        has been asked before: each command of a run of Airlock has a question of its own, and a repeated attempt is no
        command.
        """
        if why := unproven_input(self._keyring.demands):
            return why
        if not self._keyring.demands.due(Channel.RUN, datetime.now(UTC)):
            return ""
        try:
            return "this question was asked before" if await self._asked_before() else ""
        except (RPCError, ValueError) as error:
            return f"whether this question was asked before cannot be read: {type(error).__name__}"

    async def _asked_before(self) -> bool:
        """Return True if the run's history holds an earlier command of this activity with the same question.

        Raises:
            RPCError: If the history cannot be read.
            ValueError: If a command of this activity cannot be read.
        """
        info = activity.info()
        commands = (await self._known.of_own_run()).values()
        asked = [each.ask for each in commands if (each.activity_id, each.kind) == (info.activity_id, info.activity_type)]
        if None in asked:
            raise ValueError("a command of this activity cannot be read")
        # this one too: Temporal allows no two open activities of one id, so that an earlier one has ended
        return asked.count(proof.asked().ask) > 1


async def _question(scheduled: ActivityTaskScheduledEventAttributes) -> _Question:
    activity_id, kind = scheduled.activity_id, scheduled.activity_type.name
    try:
        _, stamp = await decoded(activity_id, kind, scheduled.input)
    except ValueError:  # a client without keys may have commanded this one: it must not keep the others from being made
        return _Question(activity_id, kind, None)
    return _Question(activity_id, kind, stamp.ask)
