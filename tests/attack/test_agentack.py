"""AgentAck's rules, as their author wrote them, over what Airlock did while a client attacked it.

A trace is made of what was proposed, of the previews that the approver read, of the decisions that the approver sent, and of
the calls as the tool saw them.
"""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from agentack import Action, Policy, TraceEvent, action_hash, evaluate_events
from pydantic import BaseModel

from airlock.activities.toolbox import Toolbox
from airlock.client import PlanHandle
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.worker.roles import build_workers
from tests import running
from tests.workflows.attacker import plain
from tests.workflows.attacker_starts import finished_tasks, history, set_back
from tests.workflows.conftest import awaiting, dev_server, patience, renewed_server, until  # noqa: F401  # fixtures
from tests.workflows.protected import Place, keyring, place
from tests.workflows.test_proof_replayed import PUBLIC, signed

RULES = Policy(require_approval_for=("*",), max_approval_age_seconds=600)
CALLS: list[tuple[datetime, str, str, dict[str, Any]]] = []
"""Every call that was made: time, plan, step and arguments."""
_NUMBERS = itertools.count(1)


class Mark(BaseModel):
    text: str


@tool(name="mark", risk="MEDIUM", reversibility="compensable", timeout=30)
async def mark(args: Mark, call: ToolCall) -> dict[str, Any]:
    """Make a mark."""
    CALLS.append((datetime.now(UTC), call.plan_id, call.step_id, args.model_dump()))
    return {}


@mark.dry_run(partial=True)
async def _shown(args: Mark, call: ToolCall) -> Preview:
    return Preview(effect=f"mark {args.text}")


@mark.compensate
async def _undone(args: Mark, call: ToolCall) -> None: ...


def action(args: dict[str, Any]) -> Action:
    return Action(tool="mark", operation="call", parameters=dict(args))


@dataclass
class Session:
    """A plan of two steps, its approver, and an attacker."""

    where: Place
    handle: PlanHandle
    proposed: list[tuple[datetime, str, dict[str, Any]]]
    """The proposed arguments: time, step and arguments."""
    read: dict[str, tuple[datetime, dict[str, dict[str, Any]]]] = field(default_factory=dict)
    """The time at which the approver read a preview, and the arguments that it showed, by digest."""
    decided: list[tuple[datetime, str, str]] = field(default_factory=list)
    """The decisions that the approver sent, and the digests of the previews that they were about."""
    votes: list[dict[str, Any]] = field(default_factory=list)

    async def reads(self) -> str:
        """Read the preview, and return its digest."""
        await awaiting(self.handle)
        preview = await self.handle.preview()
        assert preview.sealed is not None
        assert preview.digest is not None
        self.read[preview.digest] = (datetime.now(UTC), {step.id: dict(step.args) for step in preview.sealed.steps})
        return preview.digest

    async def approves(self, digest: str = "", *, heard: bool = True) -> None:
        digest = digest or await self.reads()
        self.votes.append(signed(self.handle.plan_id, digest))
        self.decided.append((datetime.now(UTC), "allow", digest))
        assert (await self.handle.decide("approve", **self.votes[-1])).accepted is heard

    async def denies(self) -> None:
        digest = await self.reads()
        self.decided.append((datetime.now(UTC), "deny", digest))
        assert (await self.handle.decide("deny", by="alice", reason="no")).accepted

    def trace(self) -> list[TraceEvent]:
        """Return what happened, in the order in which it did."""
        plan_id = self.handle.plan_id
        found: list[tuple[datetime, TraceEvent]] = []

        def add(at: datetime, kind: str, step: str, args: dict[str, Any], digest: str = "", **more: Any) -> None:
            its = f"{step}/{action_hash(action(args))[:12]}"
            event: Any = {"type": kind, "timestamp": at, "session_id": plan_id, "action_id": f"{plan_id}/{its}"}
            found.append((at, TraceEvent(**event, **more, approval_id=f"{digest[:12]}/{its}" if digest else None)))

        for at, step, args in self.proposed:
            add(at, "action_proposed", step, args, action=action(args))
        for at, decision, digest in self.decided:
            read_at, shown = self.read[digest]
            for step, args in shown.items():
                add(read_at, "approval_requested", step, args, digest, action=action(args))
                add(at, "approval_decision", step, args, digest, decision=decision)
        made = [(at, step, args) for at, plan, step, args in CALLS if plan == plan_id]
        approved = [digest for _, decision, digest in self.decided if decision == "allow"]
        for at, step, args in made:
            add(at, "action_executed", step, args, approved[-1] if approved else "", action=action(args))
        end = datetime.now(UTC)
        for _, step, args in self.proposed:
            if (step, args) not in [(step, args) for _, step, args in made]:
                last = [digest for _, _, digest in self.decided if self.read[digest][1].get(step) == args]
                add(end, "action_blocked", step, args, last[-1] if last else "")
        found.append((end, TraceEvent(type="session_end", timestamp=end, session_id=plan_id)))
        return [event for _, event in sorted(found, key=lambda each: each[0])]

    async def signal(self, name: str, said: dict[str, Any]) -> None:
        run = self.where.attacker.client.get_workflow_handle(self.handle.workflow.id)
        await run.signal(name, said)


Attack = Callable[[Session], Awaitable[None]]


async def nothing(session: Session) -> None:
    await session.approves()
    await session.handle.result()


async def approvals_of_its_own(session: Session) -> None:
    digest = await session.reads()
    for said in ({"by": "alice", "digest": digest}, {"by": "alice", "digest": digest, "signature": "AAAA"}):
        await session.signal("approve", said)
    await session.denies()
    await session.handle.result()


async def other_arguments_after_the_preview(session: Session) -> None:
    """The approver has read the preview; the plan is changed in the name of its requester before the vote arrives."""
    digest = await session.reads()
    step: dict[str, Any] = {"id": "a", "agent": "agent", "tool": "mark", "args": {"text": "mallory"}, "confidence": 0.95}
    session.proposed.append((datetime.now(UTC), "a", step["args"]))
    await session.signal("amend", {"by": "rita", "reason": "mine", "steps": [step]})
    await until(lambda: sealed_again(session, digest))
    await session.approves(digest, heard=False)
    await session.denies()
    await session.handle.result()


async def sealed_again(session: Session, before: str) -> bool:
    """Return True once the amended plan has its own seal; a vote that is faster approves what its person has read."""
    return (await session.handle.status()).digest not in (None, before)


async def a_vote_once_more_after_a_reset(session: Session) -> None:
    await session.approves()
    await session.handle.result()
    client, workflow_id = session.where.attacker.client, session.handle.workflow.id
    await set_back(client, workflow_id, finished_tasks(await history(client, workflow_id))[0], forget=True)
    await awaiting(session.handle)
    await session.signal("approve", session.votes[0])
    await until(lambda: refused(session))
    await session.handle.decide("abort", by="alice", reason="over")


async def refused(session: Session) -> bool:
    return bool((await session.handle.status()).refused)


async def answers_of_its_own(session: Session) -> None:
    """The answer to each activity of the plan, again and again, before its workers give theirs."""
    session.where.holding.hold("call")
    await session.approves()
    await session.where.answered_for("call", plain({"attempts": [], "ended": True, "stopped": False}))
    await until(lambda: parked(session))
    await session.handle.decide("abort", by="alice", reason="over")


async def parked(session: Session) -> bool:
    status = await session.handle.status()
    return bool(status.parked) or status.state is State.LOCKED


@pytest.mark.parametrize(
    "attack",
    [
        nothing, approvals_of_its_own, other_arguments_after_the_preview, a_vote_once_more_after_a_reset, answers_of_its_own,
    ],
    ids=lambda attack: attack.__name__,
)  # fmt: skip
async def test_the_rules_of_agentack_hold_while_a_client_attacks(dev_server, attack: Attack):  # noqa: F811
    number = next(_NUMBERS)
    where = await place(
        dev_server.client, f"agentack{number}", keyring("k"), signature_required="always", authorized_keys=[PUBLIC]
    )
    steps = {name: {"text": f"{name}{number}"} for name in "ab"}
    listed = [
        {"id": name, "agent": "agent", "tool": "mark", "args": args, "confidence": 0.95} for name, args in steps.items()
    ]
    document = {"plan_id": f"agentack-{number}", "goal": "marks", "requested_by": "rita", "steps": listed}
    async with running.running(build_workers(where.workers, Toolbox(Catalogue([mark]), where.policy))):
        proposed = [(datetime.now(UTC), name, args) for name, args in steps.items()]
        session = Session(where, await where.airlock.submit(document), proposed)
        await attack(session)
        events = session.trace()
    report = evaluate_events(events, policy=RULES)
    assert report.status == "PASS", (report.findings, events)
    # the answer of the attacker puts one of two calls in doubt, which no worker has made
    expected = {nothing: 2, a_vote_once_more_after_a_reset: 2, answers_of_its_own: 1}.get(attack, 0)
    assert sum(each.type == "action_executed" for each in events) == expected, events


def test_agentack_finds_what_these_traces_would_hold_if_an_attack_succeeded():
    at, first = datetime.now(UTC), {"session_id": "s", "action_id": "a"}
    events = [
        TraceEvent(type="action_proposed", timestamp=at, action=action({"text": "shown"}), **first),
        TraceEvent(type="approval_requested", timestamp=at, action=action({"text": "shown"}), approval_id="1", **first),
        TraceEvent(type="approval_decision", timestamp=at, decision="allow", approval_id="1", **first),
        TraceEvent(type="action_executed", timestamp=at, action=action({"text": "other"}), approval_id="1", **first),
        TraceEvent(type="action_executed", timestamp=at, action=action({"text": "shown"}), approval_id="1", **first),
        TraceEvent(type="session_end", timestamp=at, session_id="s"),
    ]
    report = evaluate_events(events, policy=RULES)
    assert {"ACK003", "ACK004"} <= {finding.rule_id for finding in report.findings}, report
