"""Claims of irreversible calls as workflows: taken, settled and read. The unique workflow id decides who has a claim."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

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
from airlock.temporal.standing_claims import StandingClaim, standing_claims

AT_ONCE = 10
"""Claims of one plan that are processed at the same time."""
TRIES = 20
"""Attempts at a claim that another plan takes each time it becomes free."""
SETTLE_SECONDS = 20.0
"""Seconds to wait until a worker has closed a settled claim."""
READ_SECONDS = 5.0
"""Seconds to wait until a worker has read the signals of a claim whose call is in doubt."""

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
        holder, undoing = names.plan_workflow_id(request.plan_id), request.holder != names.plan_workflow_id(request.plan_id)
        for found in await standing_claims(client, claim_id):
            claimed = found.claimed
            mine = claimed.holder == holder and (undoing or request.execution in ("", claimed.execution))
            if mine and found.open:
                return await _signal(client, claim_id, found.run_id, _said(claimed, settled[claim_id]))
        return await _signal(client, claim_id, None, SettledByPlan(holder=holder, outcome=settled[claim_id]))

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
            for found in await standing_claims(client, claim_id):
                objection = None if found.claimed.holder == holder else await _objection(client, found)
                if objection is not None:
                    return objection
        except (RPCError, Unreadable):
            return None
        return None

    said = await _each(claims, ask)
    return {wanted.step: sentence for wanted, sentence in zip(claims, said, strict=True) if sentence}


async def _take_one(client: Client, request: AcquireRequest, wanted: ClaimWanted) -> str | None:
    """Take one claim. Return None, or the reason why the call must not be made."""
    claim_id = names.claim_id(wanted.tool, wanted.digest)
    for _ in range(TRIES):
        held = await standing_claims(client, claim_id, certain=True)
        refused = await _refused_by(client, request, wanted, held)
        if refused is not None:
            found, refusal = refused
            # its holder may have settled it and closed, and no worker had read that yet
            if found.open and await _settled_since(client, found):
                continue
            if not any(each.open or each.made_at for each in held):
                await _restore(client, found)
            return refusal
        if any(found.claimed.holder == request.holder and (found.open or found.made_at) for found in held):
            return None  # it holds the claim already
        for found in held:
            if found.open:
                await _set_free(client, found)
        if await _start(client, request, wanted):
            return None
    raise ClaimUnsettled(f"{claim_id} changes hands all the time")


async def _refused_by(
    client: Client, request: AcquireRequest, wanted: ClaimWanted, held: Sequence[StandingClaim]
) -> tuple[StandingClaim, str] | None:
    """Return the first claim in force that forbids the call, and why; None if none does."""
    for found in held:
        refusal = await _refusal(client, request, wanted, found)
        if refusal is not None:
            return found, refusal
    return None


async def _settled_since(client: Client, found: StandingClaim) -> bool:
    """Return True if a claim that was open is closed now, or as soon as a worker has read the signals that wait for it."""
    handle = client.get_workflow_handle(found.id, run_id=found.run_id)
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_SECONDS):
            while True:
                now = (await handle.describe()).raw_description
                if not is_open(now.workflow_execution_info):
                    return True
                if not now.HasField("pending_workflow_task"):
                    return False
                await asyncio.sleep(0.1)
    return False


async def _refusal(client: Client, request: AcquireRequest, wanted: ClaimWanted, found: StandingClaim) -> str | None:
    """Return why a claim in force forbids the call; None if the plan holds it, or if its call was never begun."""
    claimed = found.claimed
    if claimed.holder != request.holder:
        return await _objection(client, found)
    again = bool(claimed.execution) and claimed.execution != request.execution
    if again and not request.reset and found.made_at is None:
        # the plan was started again under its id: no record tells which calls its first execution made
        return claim.doubtful(claimed, found.id)
    if claimed.step != wanted.step:
        return of_this_plan(claimed.step)
    # a call that a reset run repeats is answered with its earlier outcome
    return None if found.made_at is None or request.reset else claim.made_before(found.made_at)


async def _restore(client: Client, found: StandingClaim) -> None:
    """Start a claim again that was ended without being settled, so that its holder or a person can settle it."""
    with suppress(WorkflowAlreadyStartedError):
        await _begin(client, found.id, found.claimed.model_copy(update={"since": found.since}))


async def _start(client: Client, request: AcquireRequest, wanted: ClaimWanted) -> bool:
    claimed = Claimed(
        plan_id=request.plan_id,
        step=wanted.step,
        holder=request.holder,
        tool=wanted.tool,
        execution=request.execution,
        stay=request.request,
    )
    try:
        await _begin(client, names.claim_id(wanted.tool, wanted.digest), claimed)
    except WorkflowAlreadyStartedError:
        return False
    return True


async def _begin(client: Client, claim_id: str, claimed: Claimed) -> None:
    await client.start_workflow(
        names.CLAIM_WORKFLOW,
        claimed,
        id=claim_id,
        task_queue=names.WORKFLOW_QUEUE,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        static_summary=f"{claimed.holder}, step {claimed.step}: {claimed.tool}"[:200],
    )


async def _objection(client: Client, found: StandingClaim) -> str | None:
    """Return why another holder's claim is in the way; None if its call was certainly never begun."""
    if found.made_at is not None:
        return claim.made(found.claimed, found.made_at)
    holder = await described(client, found.claimed.holder)
    if holder is not None and is_open(holder):
        return claim.under_way(found.claimed)
    if holder is not None and not await may_have_called(
        client, found.claimed.holder, holder.execution.run_id, found.claimed.step, found.since
    ):
        return None
    return claim.doubtful(found.claimed, found.id)


async def _set_free(client: Client, found: StandingClaim) -> None:
    """Settle a claim whose call was never begun, and wait until its id is free."""
    said = _said(found.claimed, ClaimOutcome.FREE, "its holder is closed and never began this call")
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


def _said(claimed: Claimed, outcome: ClaimOutcome, reason: str = "") -> SettledByPlan:
    """Return the signal that settles this very claim, and no other of the same call."""
    return SettledByPlan(
        holder=claimed.holder, outcome=outcome, reason=reason, execution=claimed.execution, stay=claimed.stay
    )


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
