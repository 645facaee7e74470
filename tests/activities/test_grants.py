"""Permissions and grants as activities check them again, under the policy and the contracts of their own worker."""

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.compensate import CompensateActivities
from airlock.activities.rehearsals.look_at_undo import UndoLookActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Step
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.run.live.call_messages import CallRequest, ChainRequest, MadeCall, UndoLookRequest
from airlock.wire import RehearsalRequest

SECRET = "v3ry-secret-value"
reached: list[str] = []


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")
    password: Any = ""
    note: Any = ""


@tool(name="login", risk="MEDIUM", reversibility="compensable", permissions={"vault"}, secrets={"password"}, max_attempts=1)
async def login(args: Login, call: ToolCall) -> dict[str, Any]:
    reached.append(f"live {args.password}{args.note}")
    return {}


@login.mock
def _mock(args: Login, call: ToolCall) -> dict[str, Any]:
    reached.append(f"mock {args.password}{args.note}")
    return {}


@login.dry_run
async def _look(args: Login, call: ToolCall) -> Preview:
    reached.append(f"look {args.password}{args.note}")
    return Preview(effect="logs in")


@login.compensate
async def _undo(args: Login, call: ToolCall) -> None:
    reached.append(f"undo {args.password}{args.note}")


@login.undo_check
async def _check(args: Login, call: ToolCall) -> Preview:
    reached.append(f"check {args.password}{args.note}")
    return Preview(effect="logs out")


@login.probe
async def _probe(args: Login, call: ToolCall) -> Probe:
    reached.append(f"probe {args.password}{args.note}")
    return Probe(happened=True, output={})


CATALOGUE = Catalogue([login])
RIGHTS: dict[str, Any] = {"permissions": ["vault"], "secrets": ["VAULT"]}
ASKS = ("mock", "look", "live", "undo", "check", "probe")
UNGRANTED = "agent 'a' may not use the secret 'VAULT'"
MISPLACED = "login takes a $secret only in: password"


async def ask(kind: str, args: dict[str, Any], rights: dict[str, Any]) -> str:
    """Ask an activity for one thing about one step, and return the error in its answer."""
    box = Toolbox(CATALOGUE, Policy.model_validate({"agents": {"a": rights}}))
    step, contract = Step(id="s", agent="a", tool="login", args=args, confidence=1.0), CATALOGUE.contract("login")
    wanted = RehearsalRequest(plan_id="p", steps=(step,), contracts={"c": contract}, contract_of={"s": "c"})
    made = MadeCall(plan_id="p", step=step, contract=contract)
    calls = ChainRequest(plan_id="p", calls=(CallRequest(step=step, contract=contract),))
    env = ActivityEnvironment()
    # the last attempt of everything that Temporal retries; a call is commanded once
    number = 1 if kind == "live" else 100
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p", attempt=number)
    reached.clear()
    if kind == "mock":
        failures = (await env.run(RehearseActivities(box).rehearse, wanted)).failures
        return failures[0].error if failures else ""
    if kind == "look":
        (preview,) = (await env.run(PreviewActivities(box).preview, wanted)).previews
        return str(getattr(preview, "error", ""))
    if kind == "live":
        (attempt,) = (await env.run(CallActivities(box).call, calls)).attempts
        assert attempt.kind in ("live", "failed"), "what was refused had no effect"
        return str(getattr(attempt, "error", ""))
    if kind == "undo":
        return str(getattr(await env.run(CompensateActivities(box).compensate, made), "error", ""))
    if kind == "check":
        return (
            (await env.run(UndoLookActivities(box).look_at_undo, UndoLookRequest(plan_id="p", calls=(made,)))).looks[0].error
        )
    return str((await env.run(CompensateActivities(box).probe, made)).why)


@pytest.fixture(autouse=True)
def vault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_SECRET_VAULT", SECRET)


@pytest.mark.parametrize("kind", ASKS)
async def test_a_granted_secret_reaches_the_tool_but_never_its_mock(kind: str) -> None:
    assert await ask(kind, {"password": {"$secret": "VAULT"}}, RIGHTS) == ""
    shown = "(secret VAULT)" if kind == "mock" else SECRET
    assert reached == [f"{kind} {shown}"]


@pytest.mark.parametrize("kind", ASKS)
@pytest.mark.parametrize(
    ("args", "rights", "said"),
    [
        ({"password": {"$secret": "VAULT"}}, {"permissions": ["*"]}, UNGRANTED),
        ({"password": {"$secret": "VAULT"}}, {"permissions": ["*"], "secrets": ["OTHER"]}, UNGRANTED),
        ({"note": {"$secret": "VAULT"}}, RIGHTS, MISPLACED),
        ({"note": [{"x": {"$secret": "VAULT"}}]}, {"permissions": ["*"], "secrets": ["*"]}, MISPLACED),
    ],
)
async def test_every_activity_refuses_a_secret_by_itself(
    kind: str, args: dict[str, Any], rights: dict[str, Any], said: str
) -> None:
    assert said in await ask(kind, args, rights)
    assert reached == []


async def test_without_the_permission_nothing_is_looked_at_whatever_the_request_says() -> None:
    assert await ask("look", {}, {"secrets": ["*"]}) == "agent 'a' lacks permission vault on this worker"
    assert reached == []
    assert await ask("mock", {}, {"secrets": ["*"]}) == ""
    assert reached == ["mock "]
