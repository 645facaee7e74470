"""Workers that are missing: what a plan waits for that its own run cannot know."""

from temporalio.service import RPCError

from airlock.base import names
from airlock.base.text import listed
from airlock.client import PlanHandle
from airlock.client.errors import NoSuchPlan
from airlock.client.pollers import sentences, unserved
from airlock.plans.state import State
from airlock.run.presentation.views import StatusView, StepView

_ROLE = {
    State.MOCK: ("rehearse",), State.DRY_RUN: ("rehearse",), State.AWAITING_APPROVAL: ("live",),
    State.LIVE: ("live",), State.ROLLBACK: ("live",),
}  # fmt: skip
"""The role whose workers a plan needs next, by its state."""
_QUEUE = {State.LIVE: names.LIVE_QUEUE, State.ROLLBACK: names.UNDO_QUEUE}
"""The queue of the calls that a plan has under way, by its state."""
SCHEDULED = "scheduled"
"""The status of a step whose call waits for a worker that could begin it."""


async def missing_workers(handle: PlanHandle, *roles: str) -> tuple[str, ...]:
    """Return one sentence for each of some roles that no worker has, with what to do."""
    return sentences(await unserved(handle.workflow_client, *roles))


async def with_workers(handle: PlanHandle, status: StatusView) -> tuple[StatusView, tuple[str, ...]]:
    """Return a status that says what waits for a worker that is not there, and a sentence for each missing role.

    The run itself only knows that it asked for its calls.
    """
    if status.outcome is not None or status.state not in _ROLE:
        return status, ()
    found = await unserved(handle.workflow_client, *_ROLE[status.state])
    queue = _QUEUE.get(status.state, "")
    if status.in_flight and any(queue in queues for queues in found.values()) and await _none_begun(handle):
        steps = tuple(_scheduled(step) if step.id in status.in_flight else step for step in status.steps)
        waits = f"a live worker: no worker serves {queue}; scheduled: {listed(status.in_flight)}"
        status = status.model_copy(update={"steps": steps, "waits_for": waits})
    elif queue and not status.in_flight and status.waits_for == "a worker" and "live" in found:
        status = status.model_copy(update={"waits_for": f"a live worker: no worker serves {', '.join(found['live'])}"})
    return status, sentences(found)


def _scheduled(step: StepView) -> StepView:
    return StepView.model_validate({**step.model_dump(), "status": SCHEDULED})


async def _none_begun(handle: PlanHandle) -> bool:
    """Return True if Temporal has given none of the pending activities of a plan to a worker."""
    try:
        return all(call.state == "SCHEDULED" for call in (await handle.facts(last=1)).pending)
    except (NoSuchPlan, RPCError):
        return False
