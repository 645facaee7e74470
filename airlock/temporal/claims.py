"""Claims of irreversible calls as workflows: taken, settled and read. The unique workflow id decides who has a claim."""

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
"""Claims of one plan that are processed at the same time."""
TRIES = 20
"""Attempts at a claim that another plan takes each time it becomes free."""
SETTLE_SECONDS = 20.0
"""Seconds to wait until a worker has closed a settled claim."""

T = TypeVar("T")
R = TypeVar("R")


class ClaimUnsettled(Exception):
    """A claim was settled as free, but is still open; a retry may succeed."""


async def take(client: Client, request: AcquireRequest) -> tuple[dict[str, str], dict[str, str]]:
    """Claim calls for a plan. Safe to repeat.

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
    """Settle claims with the outcome of their calls. Safe to repeat.

    Returns:
        The claims that were closed already, sorted.

    Raises:
        RPCError: If Temporal did not answer for a claim; all others were settled.
    """
    settled = {each.claim: each.outcome for each in request.settled}

    async def say(claim_id: str) -> bool:
        # an undo settles under its plan's name: the plan is the holder of the claim
        said = SettledByPlan(holder=names.plan_workflow_id(request.plan_id), outcome=settled[claim_id])
        return await _signal(client, claim_id, None, said)

    ids = sorted(settled)
    found = await _each(ids, say)
    return tuple(claim_id for claim_id, there in zip(ids, found, strict=True) if not there)


async def standing(client: Client, claims: Sequence[ClaimWanted], holder: str) -> dict[str, str]:
    """Return the calls that another plan makes, made or may have made, as far as Temporal tells now. Read-only.

    Args:
        client: A client of the namespace.
        claims: The calls.
        holder: The workflow id of the plan that asks; its own claims do not count.

    Returns:
        One sentence per step. A claim that cannot be read is absent: this is a hint, `take` decides.
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


class _StandingClaim:
    """A claim in force: it is open, or was settled as done."""

    def __init__(self, claim_id: str, run_id: str, claimed: Claimed, since: datetime, closed_at: datetime | None) -> None:
        self.id = claim_id
        self.run_id = run_id
        self.claimed = claimed
        self.since = since
        self.closed_at = closed_at


async def _take_one(client: Client, request: AcquireRequest, wanted: ClaimWanted) -> str | None:
    """Take one claim. Return None, or the reason why the call must not be made."""
    claim_id = names.claim_id(wanted.tool, wanted.digest)
    for _ in range(TRIES):
        if await _start(client, request, wanted):
            return None
        found = await _look(client, claim_id)
        if found is None:
            continue  # it became free between start and lookup
        again = bool(found.claimed.execution) and found.claimed.execution != request.execution
        if found.claimed.holder == request.holder and again and not request.reset and found.closed_at is None:
            # the plan was started again under its id: no record tells which calls its first execution made
            return claim.doubtful(found.claimed, found.id)
        own = found.claimed.holder == request.holder and found.claimed.step == wanted.step
        if own and (found.closed_at is None or request.reset):
            return None  # a call that a reset run repeats is answered with its earlier outcome
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


async def _look(client: Client, claim_id: str) -> _StandingClaim | None:
    """Return the claim in force under an id, or None."""
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
        return None  # a client started it with another input: it fails immediately, which frees the id
    closed_at = info.close_time.ToDatetime(UTC) if done else None
    return _StandingClaim(claim_id, run_id, claimed, claimed.since or info.start_time.ToDatetime(UTC), closed_at)


async def _objection(client: Client, found: _StandingClaim) -> str | None:
    """Return why another holder's claim is in the way; None if its call was certainly never begun."""
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


async def _set_free(client: Client, found: _StandingClaim) -> None:
    """Settle a claim whose call was never begun, and wait until its id is free."""
    said = SettledByPlan(
        holder=found.claimed.holder, outcome=ClaimOutcome.FREE, reason="its holder is closed and never began this call"
    )
    # with the run id: another plan may already hold a new claim under the same workflow id
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
    """Process all items, `AT_ONCE` at a time. All are tried before the first error is raised."""
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
