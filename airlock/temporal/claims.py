"""Claims of irreversible calls, as Temporal has them: taken, settled, looked at. The id of a claim is the referee."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from airlock.admission.call_digest import of_this_plan
from airlock.base import names
from airlock.gates import claim
from airlock.gates.claim import SettledByPlan
from airlock.gates.protocol import AcquireRequest, Claimed, ClaimOutcome, ClaimWanted, LeaveRequest
from airlock.temporal.history import Unreadable, described, is_open
from airlock.temporal.past_runs import may_have_called

AT_ONCE = 10
"""The number of claims of one plan that are worked on at the same time."""
TRIES = 20
"""The most attempts at a claim that is freed, and taken by another plan again, between two questions."""
SETTLE_SECONDS = 20.0
"""The longest wait until a settled claim is closed; a worker has to run for that."""

T = TypeVar("T")
R = TypeVar("R")


class ClaimUnsettled(Exception):
    """A claim that is to be free is still open; trying again later helps."""


async def take(client: Client, request: AcquireRequest) -> tuple[dict[str, str], dict[str, str]]:
    """Claim calls for a plan; asking again changes nothing.

    Of two plans that want the same call at the same moment exactly one gets it. A claim whose holder is closed is taken
    over only when the holder's history proves that the call was never begun.

    Args:
        client: A client of the namespace.
        request: Who wants which claims.

    Returns:
        The claim's workflow id for each step that has it now; for each other step why it must not be called.

    Raises:
        RPCError: If Temporal did not answer; what was claimed by then is found again.
        Unreadable: Likewise.
        ClaimUnsettled: If a claim could not be taken over just now.
    """
    first: dict[str, str] = {}
    duplicates: dict[str, str] = {}
    mine: list[ClaimWanted] = []
    for wanted in request.claims:
        before = first.setdefault(names.claim_id(wanted.tool, wanted.digest), wanted.step)
        if before == wanted.step:
            mine.append(wanted)
        else:
            duplicates[wanted.step] = of_this_plan(before)
    refusals = await _each(mine, lambda wanted: _take_one(client, request, wanted))
    claimed: dict[str, str] = {}
    for wanted, refusal in zip(mine, refusals, strict=True):
        if refusal is None:
            claimed[wanted.step] = names.claim_id(wanted.tool, wanted.digest)
        else:
            duplicates[wanted.step] = refusal
    return claimed, duplicates


async def settle(client: Client, request: LeaveRequest) -> tuple[str, ...]:
    """Say what became of claimed calls; saying it again changes nothing.

    Returns:
        The claims that are not open any more, sorted.

    Raises:
        RPCError: If Temporal did not answer; those that could be settled are.
    """
    settled = {each.claim: each.outcome for each in request.settled}

    async def say(claim_id: str) -> bool:
        # only plans claim; the undo of a plan speaks for it
        said = SettledByPlan(holder=names.plan_workflow_id(request.plan_id), outcome=settled[claim_id])
        return await _signal(client, claim_id, None, said)

    ids = sorted(settled)
    found = await _each(ids, say)
    return tuple(claim_id for claim_id, there in zip(ids, found, strict=True) if not there)


async def standing(client: Client, claims: Sequence[ClaimWanted], holder: str) -> dict[str, str]:
    """Return the calls that other plans make, made or may have made, as far as Temporal tells now; changes nothing.

    Args:
        client: A client of the namespace.
        claims: The calls.
        holder: Whose own claims do not count: a workflow id.

    Returns:
        By step one sentence each. What could not be found out is absent: this is a hint, `take` decides.
    """

    async def ask(wanted: ClaimWanted) -> str | None:
        claim_id = names.claim_id(wanted.tool, wanted.digest)
        try:
            found = await _look(client, claim_id)
            if found is None or found.claimed.holder == holder:
                return None
            return await _objection(client, found)
        except (RPCError, Unreadable):
            return None

    said = await _each(claims, ask)
    return {wanted.step: sentence for wanted, sentence in zip(claims, said, strict=True) if sentence}


class _Found:
    """A claim that stands: it is open, or was settled as done."""

    def __init__(self, claim_id: str, run_id: str, claimed: Claimed, since: datetime, closed_at: datetime | None) -> None:
        self.id = claim_id
        self.run_id = run_id
        self.claimed = claimed
        self.since = since
        self.closed_at = closed_at


async def _take_one(client: Client, request: AcquireRequest, wanted: ClaimWanted) -> str | None:
    """Take one claim; why not, or None."""
    claim_id = names.claim_id(wanted.tool, wanted.digest)
    for _ in range(TRIES):
        if await _start(client, request, wanted):
            return None
        found = await _look(client, claim_id)
        if found is None:
            continue  # set free between the two questions
        again = bool(found.claimed.execution) and found.claimed.execution != request.execution
        if found.claimed.holder == request.holder and again and not request.reset and found.closed_at is None:
            # the plan was started again under its id: no record tells what its first life did
            return claim.doubtful(found.claimed, found.id)
        own = found.claimed.holder == request.holder and found.claimed.step == wanted.step
        if own and (found.closed_at is None or request.reset):
            return None  # a run that was reset is answered with what its call did before
        if own:
            return claim.made_before(found.closed_at)
        if found.claimed.holder == request.holder:
            return of_this_plan(found.claimed.step)
        if objection := await _objection(client, found):
            return objection
        await _set_free(client, found)
    raise ClaimUnsettled(f"{claim_id} changes hands all the time")


async def _start(client: Client, request: AcquireRequest, wanted: ClaimWanted) -> bool:
    claimed = Claimed(
        plan_id=request.plan_id,
        step=wanted.step,
        holder=request.holder,
        tool=wanted.tool,
        execution=request.execution,
    )
    try:
        await client.start_workflow(
            names.CLAIM_WORKFLOW,
            claimed,
            id=names.claim_id(wanted.tool, wanted.digest),
            task_queue=names.WORKFLOW_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            static_summary=f"{request.holder}, step {wanted.step}: {wanted.tool}"[:200],
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def _look(client: Client, claim_id: str) -> _Found | None:
    """Return the claim that stands under an id, or None."""
    info = await described(client, claim_id)
    done = info is not None and info.status == Status.WORKFLOW_EXECUTION_STATUS_COMPLETED
    if info is None or not (done or is_open(info)):
        return None
    run_id = info.execution.run_id
    events = client.get_workflow_handle(claim_id, run_id=run_id).fetch_history_events(page_size=1)
    started = (await anext(events)).workflow_execution_started_event_attributes
    try:
        claimed = Claimed.model_validate((await client.data_converter.decode(started.input.payloads))[0])
    except (ValidationError, IndexError):
        return None  # it was started by hand with something that is no claim: it fails at once
    closed_at = info.close_time.ToDatetime(UTC) if done else None
    return _Found(claim_id, run_id, claimed, claimed.since or info.start_time.ToDatetime(UTC), closed_at)


async def _objection(client: Client, found: _Found) -> str | None:
    """Return the objection of another holder's claim; None when its call was certainly never begun."""
    if found.closed_at is not None:
        return claim.made(found.claimed, found.closed_at)
    holder = await described(client, found.claimed.holder)
    if holder is not None and is_open(holder):
        return claim.under_way(found.claimed)
    if holder is not None and not await may_have_called(
        client, found.claimed.holder, holder.execution.run_id, found.claimed.step, found.since
    ):
        return None
    return claim.doubtful(found.claimed, found.id)


async def _set_free(client: Client, found: _Found) -> None:
    """Settle a claim whose call was never begun, and wait until its id may be taken again."""
    said = SettledByPlan(
        holder=found.claimed.holder, outcome=ClaimOutcome.FREE, reason="its holder is closed and never began this call"
    )
    # this very run: another plan may be faster and hold a new claim under the same id by now
    if not await _signal(client, found.id, found.run_id, said):
        return
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            await client.get_workflow_handle(found.id, run_id=found.run_id).result(follow_runs=False)
    except WorkflowFailureError:
        return
    except TimeoutError:
        raise ClaimUnsettled(f"{found.id} was settled as free, but no worker has closed it yet") from None


async def _signal(client: Client, claim_id: str, run_id: str | None, said: SettledByPlan) -> bool:
    try:
        await client.get_workflow_handle(claim_id, run_id=run_id).signal("settle", said)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def _each(items: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """Work on all items, a few at a time; all are tried before the first error is raised."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with free:
            return await work(item)

    done = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
    results: list[R] = []
    for outcome in done:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results
