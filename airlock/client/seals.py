"""Reading of a plan's seals from its runs, and of the keys by which its approvals were judged from its histories."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Payloads
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from airlock.base.text import shorten
from airlock.export.seal_traces import SealTrace, seals_in_order
from airlock.plans.seal import seal
from airlock.run.sealing.kept_seals import keep_seal
from airlock.run.sealing.seal_record import SealRecord, SealsView
from airlock.run.sealing.sealed import Sealed
from airlock.run.state import Run
from airlock.temporal.history import Unreadable

QUERY_TIMEOUT = timedelta(seconds=20)
"""Time for the answer of a worker, which replays the whole run first."""
_POLICY_NOW = "policy_now"
"""The activity that answers with today's policy."""


async def seals_of(client: Client, workflow_id: str, run: Run, run_ids: Sequence[str]) -> tuple[SealTrace, ...]:
    """Return all seals of a plan, oldest first.

    The state of the last run holds the current one. A seal that was replaced is asked of the runs that made it: they make it
    again as they replay. What no retained run tells has no content.

    Args:
        client: A client made by `airlock_client.connection`.
        workflow_id: Workflow id of the plan, or of its undo.
        run: State of the last run.
        run_ids: The retained runs that a worker has begun, oldest first.

    Raises:
        Unreadable: If no worker answers for one of them.
    """
    known: dict[str, SealRecord] = {}
    current = run.model_copy(update={"seals": []})
    keep_seal(current)
    entries = tuple(run.audit)
    named = {entry.digest for entry in entries if entry.digest is not None} | {old.digest for old in run.replaced}
    if _whole(current.seals):
        known = {record.digest: record for record in current.seals}
    for run_id in run_ids:
        if known.keys() >= {*named, run.digest}:
            break
        for record in await _seals_in(client, workflow_id, run_id):
            earlier = known.get(record.digest)
            # a run that was continued has the seal, but not always its policy and contracts any more
            if earlier is None or (earlier.policy is None and record.policy is not None):
                known[record.digest] = record
    for record in current.seals:
        known.setdefault(record.digest, record)
    good = {digest: record for digest, record in known.items() if seal(record.sealed) == digest}
    return seals_in_order(good, entries, {old.digest: old.why for old in run.replaced}, run.digest)


async def earlier_seal(client: Client, workflow_id: str, digest: str) -> Sealed | None:
    """Return the content of an earlier seal of the latest run of a plan; None if the run does not know it any more.

    Args:
        client: A connected client.
        workflow_id: Workflow id of the plan, or of its undo.
        digest: Digest of the seal. Content that it does not cover is not returned.

    Raises:
        Unreadable: If no worker answers.
    """
    found = (record.sealed for record in await _seals_in(client, workflow_id, None) if record.digest == digest)
    return next((sealed for sealed in found if seal(sealed) == digest), None)


def _whole(records: Sequence[SealRecord]) -> bool:
    """Return True if the state of a run has the policy and every contract of its seal."""
    return all(
        record.policy is not None and {step.contract_hash for step in record.sealed.steps} == record.contracts.keys()
        for record in records
    )


async def _seals_in(client: Client, workflow_id: str, run_id: str | None) -> list[SealRecord]:
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    found: list[SealRecord] = []
    first: int | None = 0
    while first is not None:
        try:
            # with a type: a payload without one counts as a message from outside, whose size is limited
            told = await handle.query("seals", first, result_type=dict[str, object], rpc_timeout=QUERY_TIMEOUT)
            page = SealsView.model_validate(told)
        except RPCError as error:
            why = shorten(error.message, 200)
            raise Unreadable(f"no worker answers for {workflow_id}, run {run_id}: {why}") from error
        except (WorkflowQueryFailedError, ValidationError) as error:
            raise Unreadable(f"{workflow_id}, run {run_id}, cannot tell its seals: {shorten(str(error), 200)}") from error
        found += page.seals
        first = page.next
    return found


async def keys_of_the_day(client: Client, events: Sequence[HistoryEvent]) -> tuple[str, ...]:
    """Return the lines of `authorized_keys` in every policy that a run asked for: approvals are judged by these too."""
    found: dict[str, None] = {}
    for result in _policies(events):
        try:
            (answer,) = await client.data_converter.decode(result.payloads[:1])
        except Exception:  # noqa: BLE001  another version, or another key of the codec: then its keys are not known
            continue
        found |= dict.fromkeys(_keys_in(answer))
    return tuple(found)


def _policies(events: Sequence[HistoryEvent]) -> Iterator[Payloads]:
    """Yield the answers to questions for today's policy; runs of earlier epochs asked by a local activity."""
    asked: set[int] = set()
    for event in events:
        marker, completed = event.marker_recorded_event_attributes, event.activity_task_completed_event_attributes
        if event.activity_task_scheduled_event_attributes.activity_type.name == _POLICY_NOW:
            asked.add(event.event_id)
        elif completed.scheduled_event_id in asked:
            yield completed.result
        elif marker.marker_name == "core_local_activity" and "result" in marker.details:
            yield marker.details["result"]


def _keys_in(answer: Any) -> list[str]:
    policy = answer.get("policy") if isinstance(answer, dict) else None
    keys = policy.get("authorized_keys") if isinstance(policy, dict) else None
    return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []
