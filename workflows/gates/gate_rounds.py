"""Messages and questions of a gate: notices to plans, searches for closed holders, the state of an earlier run."""

import asyncio
from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from airlock.activities import options
    from airlock.activities.gates import GateActivities
    from airlock.activities.monitor import MonitorActivities
    from airlock.base import names
    from airlock.gates.locks import Notice, NoticeKind
    from airlock.gates.messages import Inquiry, InquiryResult, RecallRequest, RecallResult
    from airlock.gates.protocol import Granted, LockWish
    from airlock.gates.semaphore import Gate
    from airlock.monitoring.messages import AutoLock, WishAnswer
    from airlock.run.messages import Lock, Unlock
    from airlock.workflows.activity_options import activity_options
    from airlock.workflows.answers import NoAnswer, answered

_LOOKED_AT = 50
"""Requests at the head of the queue whose plans are checked; those behind are checked when they come up."""
_AT_ONCE = 50
"""Notices that are sent in one round."""


async def tell(gate: Gate, gate_id: str, full: Callable[[], bool]) -> None:
    """Send the notices that are due, while the history has room. A plan that cannot be signalled counts as closed."""
    while gate.news and not full():
        batch: dict[str, Notice] = {}
        later: list[Notice] = []
        for news in gate.news:  # one notice per plan and round: an unlock must not overtake its lock
            if len(batch) < _AT_ONCE and news.to not in batch:
                batch[news.to] = news
            else:
                later.append(news)
        gate.news = later
        await asyncio.gather(*(_send(gate, gate_id, news) for news in batch.values()))


async def _send(gate: Gate, gate_id: str, news: Notice) -> None:
    message: Granted | Lock | Unlock
    match news.kind:
        case NoticeKind.GRANTED:
            message = Granted(gate=gate_id, request=news.request)
        case NoticeKind.LOCK:
            message = Lock(by=news.by, reason=news.reason, gate=True, proof=gate.signing.proof(news.decision))
        case NoticeKind.UNLOCK:
            message = Unlock(by=news.by, reason=news.reason, gate=True, proof=gate.signing.proof(news.decision))
    try:
        await workflow.get_external_workflow_handle(news.to).signal(news.kind.value, message)
    except FailureError as error:
        gate.gone(news, str(error), workflow.now())


async def look(gate: Gate, number: int) -> None:
    """Release the slots of closed holders, and drop closed plans from the head of the queue.

    Args:
        gate: The gate.
        number: Counts the searches of one run; part of the activity id.
    """
    # slots granted while the activity runs are newer than its answer: `vanished` compares with this time
    looked = workflow.now()
    runs = {waiter.wanted.holder: waiter.wanted.run_id for waiter in gate.queue[:_LOOKED_AT]}
    runs |= {place.holder: place.run_id for place in gate.places.values()}
    try:
        handle = workflow.start_activity_method(
            GateActivities.look,
            Inquiry(holders=tuple(sorted(runs)), runs={holder: run for holder, run in sorted(runs.items()) if run}),
            **activity_options(options.LOOK, names.WORKFLOW_QUEUE, f"look:{number}", "which holders are closed?"),
        )
        found: InquiryResult = await answered(handle)
    except (ActivityError, NoAnswer):  # it looks again soon
        return
    gate.suspect = False
    now = workflow.now()
    for closed in found.closed:
        gate.vanished(closed.holder, looked, closed.at or looked, closed.completed, now, closed.calls)
    gate.settle(now)


async def recall(request: RecallRequest) -> RecallResult:
    """Return the state of an earlier run, or a `problem` if it cannot be read."""
    try:
        handle = workflow.start_activity_method(
            GateActivities.recall,
            request,
            **activity_options(options.RECALL, names.WORKFLOW_QUEUE, "recall", "the state of an earlier run of this gate"),
        )
        found: RecallResult = await answered(handle)
    except ActivityError as error:
        return RecallResult(problem=f"{type(error.cause).__name__}: {error.cause}")
    except NoAnswer as error:
        return RecallResult(problem=str(error))
    return found


async def lock_wish(asked: AutoLock, number: int) -> LockWish | None:
    """Return the lock that a monitor wants, as the monitor itself answers.

    Args:
        asked: The signal, which any client can send in the monitor's name.
        number: Counts the questions of one run; part of the activity id.

    Raises:
        ActivityError: If it cannot be asked.
        NoAnswer: If no worker of Airlock answered.
    """
    handle = workflow.start_activity_method(
        MonitorActivities.lock_wish,
        asked,
        **activity_options(options.ALARM, names.WORKFLOW_QUEUE, f"lock_wish:{number}", f"does {asked.monitor} want a lock?"),
    )
    answer: WishAnswer = await answered(handle)
    return answer.wish
