"""Counting without Airlock: what a namespace's raw histories come to, event by event, payload by payload as plain JSON.

Nothing of what an export is made with is used here, so that a mistake there cannot hide here.
"""

import json
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest, ListWorkflowExecutionsRequest
from temporalio.client import Client

SUCCESSFUL = ("completed", "partial", "rehearsed")
KEPT_REFUSALS = 200
DECISIONS = ("approve", "deny", "lock", "unlock", "rollback", "abort", "resolve", "amend")
"""The signals of people. Gates and workers send others, a busy worker also one for calls that last."""


@dataclass
class RawPlan:
    """One plan, from the events of all its runs, oldest first."""

    workflow_id: str
    events: dict[tuple[str, int], HistoryEvent] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    steps: dict[str, str] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    state: str = ""
    undone: int = 0
    kept: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    looks: list[int] = field(default_factory=list)
    conflicts: list[tuple[str, str]] = field(default_factory=list)
    accepted: int = 0
    admitted: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    sealed: list[str] = field(default_factory=list)
    votes: Counter[str] = field(default_factory=Counter)
    denials: Counter[str] = field(default_factory=Counter)
    approvals: int = 0
    denied: int = 0
    seals: int = 0
    refused: int = 0
    status: str = "OPEN"
    outcome: str | None = None
    began: datetime | None = None
    ended: datetime | None = None

    @property
    def transitions(self) -> int:
        return sum(self.moves.values())

    def was(self, state: str) -> bool:
        """Return True if it came into a state."""
        return any(to == state for (_, to), count in self.moves.items() if count)

    @property
    def undo(self) -> bool:
        return self.workflow_id.startswith("undo-")

    @property
    def verdict(self) -> str:
        if self.status == "OPEN":
            return "open"
        return "successful" if self.outcome in SUCCESSFUL else "failed"

    def number(self, how: str) -> int:
        """Return the number of steps whose live calls ended so."""
        return sum(ended == how for ended in self.steps.values())


def value(payload: Payload) -> Any:
    """Return the content of a payload."""
    if payload.metadata.get("encoding") == b"binary/airlock-zlib":
        payload = Payload.FromString(zlib.decompress(payload.data))
    if payload.metadata.get("encoding") == b"binary/null":
        return None
    return json.loads(payload.data)


async def raw_plans(client: Client) -> dict[str, RawPlan]:
    """Return every plan of a namespace by its workflow id, each workflow id used once."""
    query = "WorkflowType = 'PlanWorkflow'"
    listed, token = [], b""
    while True:
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, query=query, page_size=100, next_page_token=token
        )
        page = await client.workflow_service.list_workflow_executions(request)
        listed += [(info.start_time.ToNanoseconds(), info.execution) for info in page.executions]
        token = page.next_page_token
        if not token:
            break
    plans: dict[str, RawPlan] = {}
    for _, execution in sorted(listed, key=lambda item: item[0]):
        plan = plans.setdefault(execution.workflow_id, RawPlan(execution.workflow_id))
        _count(plan, execution.run_id, await _history(client, execution))
    return plans


async def _history(client: Client, execution: WorkflowExecution) -> list[HistoryEvent]:
    events, token = [], b""
    while True:
        request = GetWorkflowExecutionHistoryRequest(namespace=client.namespace, execution=execution, next_page_token=token)
        page = await client.workflow_service.get_workflow_execution_history(request)
        events += page.history.events
        token = page.next_page_token
        if not token:
            return events


def _count(plan: RawPlan, run_id: str, events: list[HistoryEvent]) -> None:
    plan.runs.append(run_id)
    plan.state, scheduled = "", dict[int, str]()
    for event in events:
        plan.events[run_id, event.event_id] = event
        kind = str(event.WhichOneof("attributes")).removesuffix("_event_attributes")
        said = getattr(event, f"{kind}_event_attributes")
        if kind == "activity_task_scheduled":
            scheduled[event.event_id] = said.activity_type.name
            if said.activity_type.name == "call" and value(said.input.payloads[0]).get("opening"):
                _moved(plan, "LIVE")  # the attribute is left as it was while the first calls are made
        elif kind == "activity_task_completed":
            _answer(plan, scheduled[said.scheduled_event_id], value(said.result.payloads[0]))
        elif kind in _COUNTS:
            _COUNTS[kind](plan, said, datetime.fromtimestamp(event.event_time.ToNanoseconds() / 1e9, UTC))


def _started(plan: RawPlan, said: Any, when: datetime) -> None:
    plan.state = value(said.search_attributes.indexed_fields["AirlockState"])


def _task_started(plan: RawPlan, said: Any, when: datetime) -> None:
    plan.began = plan.began or when


def _upserted(plan: RawPlan, said: Any, when: datetime) -> None:
    fields = said.search_attributes.indexed_fields
    now = value(fields["AirlockState"]) if "AirlockState" in fields else plan.state
    _moved(plan, now)


def _moved(plan: RawPlan, now: str) -> None:
    plan.moves[plan.state, now] += now != plan.state
    plan.seals += now != plan.state and now == "AWAITING_APPROVAL"
    plan.state = now


def _updated(plan: RawPlan, said: Any, when: datetime) -> None:
    accepted = value(said.outcome.success.payloads[0])["accepted"]
    plan.accepted, plan.refused = plan.accepted + accepted, plan.refused + (not accepted)
    if accepted:
        _voice(plan, plan.asked["decision"], plan.asked)


def _asked(plan: RawPlan, said: Any, when: datetime) -> None:
    asked = value(said.accepted_request.input.args.payloads[0])
    plan.asked = asked
    if asked["decision"] == "resolve":
        _settle(plan, asked)


def _signaled(plan: RawPlan, said: Any, when: datetime) -> None:
    if said.signal_name == "nonsense":
        plan.refused += 1
    elif said.signal_name in DECISIONS:
        plan.accepted += 1
    if said.signal_name in ("approve", "deny"):
        _voice(plan, said.signal_name, value(said.input.payloads[0]))
    if said.signal_name == "resolve":
        _settle(plan, value(said.input.payloads[0]))


def _voice(plan: RawPlan, decision: str, said: dict[str, Any]) -> None:
    """Count an accepted decision for every step that it names; without names, for all that were open."""
    if decision == "approve":
        plan.approvals += 1
        plan.votes.update(said.get("steps") or plan.sealed)
    elif decision == "deny":
        plan.denied += 1
        plan.denials.update(plan.sealed)


def _cancel_requested(plan: RawPlan, said: Any, when: datetime) -> None:
    plan.accepted += 1  # Temporal's own word for abort


def _ended(plan: RawPlan, said: Any, when: datetime) -> None:
    result = value(said.result.payloads[0])
    plan.status, plan.outcome, plan.kept, plan.ended = "COMPLETED", result["outcome"], len(result["kept"]), when


def _terminated(plan: RawPlan, said: Any, when: datetime) -> None:
    plan.status, plan.ended = "TERMINATED", when


_COUNTS: dict[str, Callable[[RawPlan, Any, datetime], None]] = {
    "workflow_execution_started": _started,
    "workflow_task_started": _task_started,
    "upsert_workflow_search_attributes": _upserted,
    "workflow_execution_update_completed": _updated,
    "workflow_execution_update_accepted": _asked,
    "workflow_execution_signaled": _signaled,
    "workflow_execution_cancel_requested": _cancel_requested,
    "workflow_execution_completed": _ended,
    "workflow_execution_terminated": _terminated,
}


def _answer(plan: RawPlan, activity: str, answer: dict[str, Any]) -> None:  # noqa: C901  one branch for each activity
    if activity == "prepare":
        _answer(plan, "admit", answer["admission"])
        if answer["previewed"] is not None:
            _moved(plan, "DRY_RUN")
            _answer(plan, "preview", answer["previewed"])
        return
    if activity == "call":
        for attempt in answer["attempts"]:
            if attempt["kind"] in ("live", "failed", "in_doubt"):
                plan.steps[attempt["step"]] = attempt["kind"]
                plan.calls[attempt["step"]] += 1
                plan.ends[attempt["kind"]] += 1
        if answer.get("entered"):
            _answer(plan, "acquire", answer["entered"])
    elif activity == "compensate":
        plan.undone += answer["kind"] == "undone"
    elif activity == "admit":
        admitted = answer["admitted"]
        plan.admitted = admitted or {}
        plan.looks += [] if admitted is None else [len(admitted["conflicts"])]
        plan.conflicts += [(found["kind"], found["answer"]) for found in (admitted or {}).get("conflicts", ())]
        plan.accepted += admitted is None  # Airlock's own word for abort
    elif activity == "preview":
        previewed = {one["step"] for one in answer["previews"] if one["kind"] == "previewed"}
        plan.sealed = _may_go_live(plan, previewed)
    elif activity == "look_at_undo":
        plan.sealed = [look["step"] for look in answer["looks"]]
    elif activity == "acquire":
        plan.conflicts += [("DUPLICATE_ACTION", "ABORT")] * len(answer.get("duplicates", ()))


def _may_go_live(plan: RawPlan, previewed: set[str]) -> list[str]:
    """Return the previewed steps that neither their own caps nor those before them keep from going live."""
    free: list[str] = []
    for step in plan.admitted["order"]:
        done = plan.steps.get(step) == "live"
        capped = any(cap["mode"] != "LIVE" for cap in plan.admitted["caps"][step])
        if done or (step in previewed and not capped and set(plan.admitted["parents"][step]) <= set(free)):
            free.append(step)
    return [step for step in free if plan.steps.get(step) != "live"]


def _settle(plan: RawPlan, said: dict[str, Any]) -> None:
    plan.steps[said["step"]] = {"happened": "live", "did_not_happen": "failed"}.get(said["outcome"], "in_doubt")
