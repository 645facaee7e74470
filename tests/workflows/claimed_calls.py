"""Calls that holders claim and settle, each of its own."""

import itertools
from typing import Any

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy

from airlock.admission.call_digest import call_digest
from airlock.base import names
from airlock.gates.protocol import AcquireRequest, ClaimOutcome, ClaimWanted, LeaveRequest, SettledClaim
from tests.workflows.holder import Holder

NUMBERS = itertools.count(1)


async def a_holder(client: Client) -> Any:
    return await client.start_workflow(
        Holder.run, id=f"plan-p{next(NUMBERS)}", task_queue=names.WORKFLOW_QUEUE,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )  # fmt: skip


def a_call(**args: Any) -> str:
    return call_digest("send", args or {"n": next(NUMBERS)}, None)


def wants(holder: str, *calls: tuple[str, str]) -> AcquireRequest:
    claims = tuple(ClaimWanted(step=step, tool="send", digest=digest) for step, digest in calls)
    return AcquireRequest(plan_id=holder.removeprefix("plan-"), holder=holder, request="1", claims=claims)


def leaves(holder: str, step: str, digest: str, outcome: ClaimOutcome) -> LeaveRequest:
    settled = SettledClaim(claim=names.claim_id("send", digest), step=step, outcome=outcome)
    return LeaveRequest(plan_id=holder.removeprefix("plan-"), holder=holder, request="1", settled=(settled,))
