"""Histories of the live gate: the decisions that its runs were sent, with the verdicts and the keys of that time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError

from airlock.base.incoming import MalformedMessage, Verdict, parse_as
from airlock.base.names import LIVE_GATE
from airlock.gates.locks import GateLock
from airlock.gates.parsing import DECISIONS, GateDecision, parse_gate_decision
from airlock.monitoring.messages import parse_auto_lock
from airlock.signing.proof import Registered
from airlock.temporal.history import Unreadable, described, read_run
from airlock.wire import PolicyNow

AUTO_LOCK: Final = "auto_lock"
_DECIDE: Final = "decide"


@dataclass
class SentDecision:
    """A decision in a history."""

    event: HistoryEvent
    name: str
    decision: GateDecision | None
    by: str = ""
    problem: str = ""
    update: bool = False
    verdict: Verdict | None = None
    registered: Registered | None = None
    """The keys in the policy by which the gate judged it."""


@dataclass
class GateRun:
    """The decisions of one run, and what it knew at its start."""

    run_id: str
    began: datetime
    sent: list[SentDecision] = field(default_factory=list)
    life: str = ""
    locks: tuple[GateLock, ...] = ()


async def gate_runs(client: Client, most: int) -> tuple[list[str], bool]:
    """Return the ids of the gate's runs, newest first, and whether there are more.

    Raises:
        Unreadable: If Temporal does not answer.
    """
    latest = await described(client, LIVE_GATE)
    if latest is None:
        return [], False
    request = ListWorkflowExecutionsRequest(namespace=client.namespace, query=f"WorkflowId = '{LIVE_GATE}'", page_size=most)
    try:
        page = await client.workflow_service.list_workflow_executions(request, retry=True)
    except RPCError as error:
        raise Unreadable(f"the runs of the live gate cannot be listed: {error.message}") from error
    listed = sorted(page.executions, key=lambda info: info.start_time.ToNanoseconds(), reverse=True)
    # visibility lags: the latest run may not be there yet
    ids = list(dict.fromkeys([latest.execution.run_id, *(info.execution.run_id for info in listed)]))
    return ids[:most], bool(page.next_page_token) or len(ids) > most


async def read_gate_run(client: Client, run_id: str) -> GateRun:
    """Return the decisions of one run of the gate.

    Raises:
        Unreadable: If it is gone, or Temporal does not answer.
    """
    events = await read_run(client, LIVE_GATE, run_id)
    read = GateRun(run_id, events[0].event_time.ToDatetime(UTC))
    begun = await _content(client, events[0].workflow_execution_started_event_attributes.input.payloads)
    gate = begun.get("gate") if isinstance(begun, dict) else None
    if isinstance(gate, dict):
        read.life, read.locks = _state(gate)
    reading = _Reading(client)
    for event in events:
        await reading.take(event)
    read.sent = reading.sent
    return read


class _Reading:
    """One run's decisions, event by event."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.sent: list[SentDecision] = []
        self._unjudged: list[SentDecision] = []
        self._questions: set[int] = set()
        """The events that asked for today's policy."""
        self._updates: dict[int, SentDecision] = {}
        self._registered: Registered | None = None

    async def take(self, event: HistoryEvent) -> None:
        """Take in one event."""
        match event.WhichOneof("attributes"):
            case "activity_task_scheduled_event_attributes":
                if event.activity_task_scheduled_event_attributes.activity_type.name == "policy_now":
                    self._questions.add(event.event_id)
            case "activity_task_completed_event_attributes":
                done = event.activity_task_completed_event_attributes
                if done.scheduled_event_id in self._questions:
                    await self._told(done.result.payloads)
            case "workflow_execution_update_completed_event_attributes":
                ended = event.workflow_execution_update_completed_event_attributes
                if (sent := self._updates.get(ended.accepted_event_id)) is not None:
                    sent.verdict = await _verdict(self._client, ended.outcome.success.payloads)
            case _:
                if (sent := await _sent(self._client, event)) is not None:
                    sent.registered = self._registered  # a later answer takes its place
                    self.sent.append(sent)
                    self._unjudged.append(sent)
                    self._updates[event.event_id] = sent

    async def _told(self, payloads: Sequence[Payload]) -> None:
        """Take in today's policy, by which the decisions since are judged."""
        if (found := await _keys(self._client, payloads)) is not None:
            self._registered = found
            for each in self._unjudged:
                each.registered = found
            self._unjudged.clear()


async def _sent(client: Client, event: HistoryEvent) -> SentDecision | None:
    """Return the decision that an event delivered; None for any other event."""
    match event.WhichOneof("attributes"):
        case "workflow_execution_signaled_event_attributes":
            signal = event.workflow_execution_signaled_event_attributes
            name, payloads, update = signal.signal_name, signal.input.payloads, False
        case "workflow_execution_update_accepted_event_attributes":
            asked = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
            name, payloads, update = asked.name, asked.args.payloads, True
        case "workflow_execution_update_admitted_event_attributes":  # a reset applied it again
            asked = event.workflow_execution_update_admitted_event_attributes.request.input
            name, payloads, update = asked.name, asked.args.payloads, True
        case _:
            return None
    if name not in ((_DECIDE,) if update else (*DECISIONS, AUTO_LOCK)):
        return None
    content = await _content(client, payloads)
    try:
        if name == AUTO_LOCK:
            return SentDecision(event, name, None, by=parse_auto_lock((content,)).monitor)
        if update:
            said, decision = parse_gate_decision((content,))
            return SentDecision(event, said, decision, by=decision.by, update=True)
        decision = parse_as(GateDecision, name, (content,))
        return SentDecision(event, name, decision, by=decision.by)
    except MalformedMessage as error:
        return SentDecision(event, name, None, problem=str(error), update=update)


def _state(gate: Mapping[str, Any]) -> tuple[str, tuple[GateLock, ...]]:
    """Return the life and the locks in the state that a continue-as-new carried."""
    signing, barrier = gate.get("signing"), gate.get("barrier")
    life = signing.get("life") if isinstance(signing, dict) else ""
    found = barrier.get("locks") if isinstance(barrier, dict) else ()
    try:
        locks = tuple(map(GateLock.model_validate, found or ()))
    except ValidationError:
        locks = ()
    return life if isinstance(life, str) else "", locks


async def _keys(client: Client, payloads: Sequence[Payload]) -> Registered | None:
    try:
        return PolicyNow.model_validate(await _content(client, payloads)).policy.registered
    except ValidationError:
        return None


async def _verdict(client: Client, payloads: Sequence[Payload]) -> Verdict | None:
    try:
        return Verdict.model_validate(await _content(client, payloads))
    except ValidationError:
        return None


async def _content(client: Client, payloads: Sequence[Payload]) -> Any:
    """Return the first value as plain JSON; None if it cannot be decoded here: any client can send anything."""
    try:
        return next(iter(await client.data_converter.decode(payloads[:1])), None)
    except Exception:  # noqa: BLE001  a message may hold anything
        return None
