"""The guard of compensations and probes: only a run of Airlock asks for them, and it asks each question once."""

from datetime import UTC, datetime

from temporalio import activity
from temporalio.service import RPCError

from airlock.activities.own_history import decoded, own_events_backwards
from airlock.activities.proven_input import unproven_input
from airlock.base.keyring import Channel, Keyring
from airlock.temporal import proof


async def undo_objection(keyring: Keyring) -> str:
    """Return the reason why this compensation or probe must not be carried out; empty if it may.

    A client without keys that takes a workflow task can command one. An invented question has no proof. A copied one has
    been asked before: each command of a run of Airlock has a question of its own, and a repeated attempt is no command.

    Args:
        keyring: The keys of this worker; without a key of the channel `run` nothing is demanded.
    """
    if why := unproven_input(keyring.demands):
        return why
    if not keyring.demands.due(Channel.RUN, datetime.now(UTC)):
        return ""
    try:
        return "this question was asked before" if await _asked_before() else ""
    except (RPCError, ValueError) as error:
        return f"whether this question was asked before cannot be read: {type(error).__name__}"


async def _asked_before() -> bool:
    """Return True if the run's history holds an earlier command of this activity with the same question."""
    info, own = activity.info(), proof.asked().ask
    commands = 0
    async for event in own_events_backwards():
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_id != info.activity_id or scheduled.activity_type.name != info.activity_type:
            continue
        _, stamp = await decoded(info.activity_id, info.activity_type, scheduled.input)
        # this one too: Temporal allows no two open activities of one id, so that an earlier one has ended
        commands += stamp.ask == own
    return commands > 1
