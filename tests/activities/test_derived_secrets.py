"""Values derived from a secret: masked in everything that leaves the activity, and there again for the undo."""

import base64
import dataclasses
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.compensate import CompensateActivities
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base.errors import ToolFailed
from airlock.plans.catalogue import Catalogue
from airlock.plans.outcome import StepPreview
from airlock.plans.plan import Step
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.run.live.call_messages import CallRequest, ChainRequest, MadeCall
from airlock.wire import RehearsalRequest

SECRET = "s3cret/value+of'the=vault"
FOUND: dict[str, Any] = {}


class Derive(BaseModel):
    password: str
    how: str = "output"


def derived(password: str) -> dict[str, Any]:
    """Return what a careless tool may make of a password."""
    return {
        "basic": "Basic " + base64.b64encode(f"me:{password}".encode()).decode(),
        "url": f"https://vault.test/?p={quote(password, safe='')}",
        "hex": password.encode().hex(),
        "repr": f"{password!r}",
        "half": [password[:12], {password[10:]: "key"}],
    }


@tool(name="derive", risk="MEDIUM", reversibility="compensable", secrets={"password"}, max_attempts=1)
async def derive(args: Derive, call: ToolCall) -> dict[str, str | list[Any]]:
    call.undo = derived(args.password)
    FOUND["observed"] = call.observed
    if args.how == "error":
        raise ToolFailed(f"the vault refused {derived(args.password)}")
    if args.how == "shape":
        return {args.password[:-1]: 1}  # type: ignore[dict-item]
    return derived(args.password)


@derive.dry_run
async def _look(args: Derive, call: ToolCall) -> Preview:
    if args.how == "error":
        raise ToolFailed(f"the vault refused {derived(args.password)}")
    said = derived(args.password)
    return Preview(effect=f"opens with {said}", output=said, observed=said, undo=f"shuts with {said}")


@derive.compensate
async def _undo(args: Derive, call: ToolCall) -> None:
    FOUND["undo"] = call.undo


@derive.probe
async def _probe(args: Derive, call: ToolCall) -> Probe:
    call.undo = derived(args.password)
    return Probe(happened=True, output=derived(args.password), why=f"there is {derived(args.password)}")


CATALOGUE = Catalogue([derive])
BOX = Toolbox(CATALOGUE, Policy.model_validate({"agents": {"a": {"secrets": ["VAULT"]}}}))
CONTRACT = CATALOGUE.contract("derive")


def step(how: str) -> Step:
    return Step(id="s", agent="a", tool="derive", args={"password": {"$secret": "VAULT"}, "how": how}, confidence=1.0)


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> ActivityEnvironment:
    FOUND.clear()
    monkeypatch.setenv("AIRLOCK_SECRET_VAULT", SECRET)
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    return env


def safe(answer: BaseModel) -> str:
    """Return the text of an answer, in which there is nothing of the secret, in no form."""
    text = answer.model_dump_json()
    assert "(secret VAULT" in text
    encoded = base64.b64encode(f"me:{SECRET}".encode()).decode()
    for form in (SECRET, SECRET.encode().hex(), quote(SECRET, safe=""), encoded):
        parts = {form[start : start + 9] for start in range(3, len(form) - 12)}
        assert not [part for part in parts if part in text], text
    return text


async def previewed(env: ActivityEnvironment, how: str) -> Any:
    wanted = RehearsalRequest(plan_id="p", steps=(step(how),), contracts={"c": CONTRACT}, contract_of={"s": "c"})
    (preview,) = (await env.run(PreviewActivities(BOX).preview, wanted)).previews
    return preview


async def called(env: ActivityEnvironment, how: str, preview: StepPreview | None = None) -> Any:
    asked = ChainRequest(plan_id="p", calls=(CallRequest(step=step(how), contract=CONTRACT, preview=preview),))
    (attempt,) = (await env.run(CallActivities(BOX).call, asked)).attempts
    return attempt


async def test_an_observed_state_comes_back_to_the_live_call_as_it_was(env: ActivityEnvironment) -> None:
    preview = await previewed(env, "output")
    assert " as " not in preview.model_copy(update={"observed": None}).model_dump_json(), "people read the plain mask"
    safe(preview)
    attempt = await called(env, "output", preview)
    assert (attempt.kind, FOUND["observed"]) == ("live", derived(SECRET))
    safe(attempt)


@pytest.mark.parametrize("how", ["output", "error"])
async def test_an_undo_token_comes_back_to_its_compensation_as_it_was(env: ActivityEnvironment, how: str) -> None:
    attempt = await called(env, how)
    safe(attempt)
    made = MadeCall(plan_id="p", step=step(how), contract=CONTRACT, undo=attempt.undo)
    assert (await env.run(CompensateActivities(BOX).compensate, made)).kind == "undone"
    assert FOUND["undo"] == derived(SECRET)


async def test_errors_probes_and_the_names_of_wrong_fields_are_masked(env: ActivityEnvironment) -> None:
    safe(await previewed(env, "error"))
    assert "the vault refused" in safe(await called(env, "error"))
    wrong = await called(env, "shape")
    assert "its output does not have the declared shape at: (secret VAULT)" in wrong.broken
    safe(wrong)
    made = MadeCall(plan_id="p", step=step("output"), contract=CONTRACT)
    safe(await env.run(CompensateActivities(BOX).probe, made))
