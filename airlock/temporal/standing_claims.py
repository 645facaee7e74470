"""Claims in force, read from the runs under a claim's workflow id. A run that was terminated settled nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.workflow.v1 import WorkflowExecutionInfo as Info
from temporalio.client import Client, WorkflowHistoryEventFilterType

from airlock.base import names
from airlock.gates.claim import FREE
from airlock.gates.protocol import Claimed
from airlock.temporal import proof
from airlock.temporal.carried import Reader
from airlock.temporal.history import Defaced, described, earlier_runs, first_event, is_open


@dataclass(frozen=True)
class StandingClaim:
    """A claim in force: it is open, was settled as done, or was ended without being settled."""

    id: str
    run_id: str
    claimed: Claimed
    since: datetime
    made_at: datetime | None
    """The time at which it was settled as done, UTC; None if it is not settled."""
    open: bool
    """True if its workflow is open, so that a person can settle it."""
    continues: str
    """The run that carried it on; empty if a worker made it."""


async def standing_claims(client: Client, claim_id: str, *, certain: bool = False) -> list[StandingClaim]:
    """Return the claims in force under an id, the latest first; none if the call is free.

    Usually this is one claim at most. A client that terminates a claim, and starts another one with a copy of an old
    input, leaves two.

    Args:
        client: A client of the namespace.
        claim_id: The id.
        certain: True to wait until visibility shows the latest run: a client may have put it in the place of a claim that
            visibility does not show yet.

    Raises:
        RPCError: If Temporal does not answer.
        Unreadable: Likewise, or if visibility does not show the latest run in time.
    """
    latest = await described(client, claim_id)
    if latest is None or await _was_freed(client, latest):
        return []
    # a client can complete a workflow of its own under this id: it settles nothing
    if latest.status == Status.WORKFLOW_EXECUTION_STATUS_COMPLETED and (made := await _claim_in(client, latest)):
        return [made]
    found: list[StandingClaim] = []
    carried_on: set[str] = set()
    earlier = await earlier_runs(client, claim_id, latest.execution.run_id, certain=certain)
    for info in (latest, *earlier):
        if await _was_freed(client, info):
            break
        claim = await _claim_in(client, info)
        if claim is None:
            continue
        carried_on.add(claim.continues)
        # a client that takes a workflow task can continue a claim as new with an input that is no claim
        if not (claim.run_id in carried_on and info.status == Status.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW):
            found.append(claim)
            if claim.made_at is not None:
                break
    return found


async def _claim_in(client: Client, info: Info) -> StandingClaim | None:
    """Return the claim of one run that was not freed; None if it is no claim."""
    return await _standing(client, info) if info.type.name == names.CLAIM_WORKFLOW else None


async def _was_freed(client: Client, info: Info) -> bool:
    """Return True if a claim settled itself as free; a client could let a run of its own fail in the same way."""
    if info.status != Status.WORKFLOW_EXECUTION_STATUS_FAILED:
        return False
    try:
        event = await first_event(client, info, WorkflowHistoryEventFilterType.CLOSE_EVENT)
    except Defaced:  # no claim fails so by itself
        return False
    failed = event.workflow_execution_failed_event_attributes.failure.application_failure_info
    if failed.type != FREE:
        return False
    reader = Reader(client, info.execution.workflow_id)
    for payload in await reader.decoded(failed.details.payloads):
        return not reader.objection(
            payload, Claimed.__name__, proof.BY_WORKFLOW, _started(info), run_id=info.execution.run_id
        )
    return not reader.is_due(_started(info))


async def _standing(client: Client, info: Info) -> StandingClaim | None:
    """Return the claim of one run that was not freed; None if its input is no claim of a worker."""
    try:
        event = await first_event(client, info, WorkflowHistoryEventFilterType.ALL_EVENT)
    except Defaced:  # no worker starts a claim so
        return None
    started = event.workflow_execution_started_event_attributes
    reader = Reader(client, info.execution.workflow_id)
    try:
        (payload,) = await reader.decoded(started.input.payloads)
        claimed = Claimed.model_validate(reader.value(payload))
    except ValueError:  # a client started it with another input
        return None
    continued = started.continued_execution_run_id
    by = proof.BY_WORKFLOW if continued else proof.BY_WORKER
    if reader.objection(payload, Claimed.__name__, by, _started(info), run_id=continued):
        return None
    made = info.status == Status.WORKFLOW_EXECUTION_STATUS_COMPLETED
    return StandingClaim(
        id=info.execution.workflow_id, run_id=info.execution.run_id, claimed=claimed, since=claimed.since or _started(info),
        made_at=info.close_time.ToDatetime(UTC) if made else None, open=is_open(info),
        continues=continued,
    )  # fmt: skip


def _started(info: Info) -> datetime:
    return info.start_time.ToDatetime(UTC)
