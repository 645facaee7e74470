"""The preview activity alone: dependency order, unknown values, secrets, budgets, resuming."""

import asyncio
import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from temporalio.testing import ActivityEnvironment

from airlock.activities import heartbeat
from airlock.activities.rehearsals import preview as preview_module
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.wire import PreviewResult, RehearsalRequest

LOOKED: list[tuple[str, dict[str, Any]]] = []
RECORDED = asyncio.Event()
"""Set by the heartbeat that holds the preview of step `a`."""


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


class Number(BaseModel):
    value: int


@tool(name="make", risk="MEDIUM", reversibility="compensable", secrets={"token"})
async def make(args: Anything, call: ToolCall) -> dict[str, Any]:
    return {}


@make.compensate
async def _unmake(args: Anything, call: ToolCall) -> None: ...


@make.dry_run(partial=True)
async def _make_dry(args: Anything, call: ToolCall) -> Preview:
    LOOKED.append((call.step_id, args.model_dump()))
    if args.model_dump().get("wait"):
        await RECORDED.wait()
    if args.model_dump().get("fail"):
        raise RuntimeError(f"cannot look with {call.secret('TOKEN') if args.model_dump()['fail'] == 'secret' else 'this'}")
    if depth := args.model_dump().get("depth"):
        return Preview(effect="x", output=nested(depth), observed=None)
    if depth := args.model_dump().get("observed_depth"):
        return Preview(effect="x", output={}, observed=nested(depth))
    if former := args.model_dump().get("former"):
        hidden = call.secret("TOKEN") if former == "secret" else "y" * former
        return Preview(effect="Would write.", output={}, former={"content": f"before {hidden}"})
    return Preview(effect="x" * (args.model_dump().get("size") or 1), output={"id": UNKNOWN, "name": "n"})


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@tool(name="number", risk="LOW", reversibility="read_only", secrets={"value"})
async def number(args: Number, call: ToolCall) -> dict[str, Any]:
    return {"value": args.value}


@number.dry_run(partial=True)
async def _number_dry(args: Number, call: ToolCall) -> Preview:
    LOOKED.append((call.step_id, args.model_dump()))
    return Preview(effect="reads a number", output={"value": args.value})


@tool(name="blind", risk="LOW", reversibility="read_only")
async def blind(args: Anything, call: ToolCall) -> dict[str, Any]:
    return {}


CATALOGUE = Catalogue([make, number, blind])
POLICY = Policy.model_validate({"agents": {"a": {"secrets": ["TOKEN", "elsewhere"]}}})


def request(*steps: tuple[str, str, dict[str, Any]], outputs: dict[str, Any] | None = None) -> RehearsalRequest:
    made = [Step(id=name, agent="a", tool=tool_name, args=args, confidence=1.0) for name, tool_name, args in steps]
    contracts = {step.id: CATALOGUE.contract(step.tool, step.args) for step in made}
    return RehearsalRequest(
        plan_id="p", steps=tuple(made), outputs=outputs or {},
        contracts={contract.digest(): contract for contract in contracts.values()},
        contract_of={step: contract.digest() for step, contract in contracts.items()},
    )  # fmt: skip


@pytest.fixture
def look(monkeypatch):
    LOOKED.clear()
    monkeypatch.setenv("AIRLOCK_SECRET_TOKEN", "s3cret-value")
    activities = PreviewActivities(Toolbox(CATALOGUE, POLICY))

    async def run(asked: RehearsalRequest, heartbeat_details: list[Any] | None = None):
        env = ActivityEnvironment()
        env.info = dataclasses.replace(env.info, heartbeat_details=heartbeat_details or [])
        beats: list[Any] = []

        def beat(*details: Any) -> None:
            beats.append(details)
            if any(made["step"] == "a" for made in details[0]):
                RECORDED.set()

        env.on_heartbeat = beat
        result = await env.run(activities.preview, asked)
        return result, beats

    return run


async def test_predicted_outputs_reach_later_steps_and_unknown_parts_stay_unknown(look):
    result, _ = await look(
        request(
            ("a", "make", {}),
            ("b", "make", {"name": {"$ref": "a.name"}, "id": {"$ref": "a.id"}}),
            ("c", "number", {"value": {"$ref": "a.id"}}),
        )
    )
    shown = {preview.step: preview for preview in result.previews}
    assert shown["b"].args == {"name": "n", "id": UNKNOWN}
    assert shown["c"].looked is False
    assert UNKNOWN in shown["c"].effect
    assert [step for step, _ in LOOKED] == ["a", "b"], "an argument of unknown value does not fit an int: not looked at"


async def test_steps_behind_a_write_are_told_so():
    asked = request(
        ("read", "number", {"value": 1}),
        ("write", "make", {"value": {"$ref": "read.value"}}),
        ("next", "number", {"value": {"$ref": "write.id"}}),
        ("last", "make", {"value": {"$ref": "next.value"}}),
        ("other", "make", {"value": {"$ref": "of_another_request.value"}}),
        ("alone", "make", {}),
    )
    assert asked.behind_writes == {"next", "last", "other"}


async def test_a_tool_without_a_dry_run_is_never_called(look):
    result, _ = await look(request(("a", "blind", {"x": 1})))
    assert result.previews[0].looked is False
    assert UNKNOWN in result.previews[0].effect
    assert LOOKED == []


async def test_a_failed_dry_run_leaves_out_what_depends_on_it(look):
    result, _ = await look(request(("a", "make", {"fail": 1}), ("b", "make", {"x": {"$ref": "a.id"}}), ("c", "make", {})))
    assert [(preview.step, preview.kind) for preview in result.previews] == [("a", "preview_failed"), ("c", "previewed")]


@pytest.mark.parametrize("where", ["depth", "observed_depth"])
@pytest.mark.parametrize("levels", [120, 199, 245, 5_000])
async def test_what_is_nested_too_deeply_fails_the_dry_run_of_its_step_alone(look, where, levels):
    # as an answer it could not be decoded by the workflow, whose task would fail for ever
    result, _ = await look(request(("a", "make", {where: levels}), ("b", "make", {})))
    assert [preview.kind for preview in result.previews] == ["preview_failed", "previewed"]
    PreviewResult.model_validate_json(result.model_dump_json())


async def test_secrets_reach_the_tool_and_nothing_else(look):
    result, beats = await look(request(("a", "make", {"token": {"$secret": "token"}}), ("b", "make", {"fail": "secret"})))
    assert LOOKED[0][1]["token"] == "s3cret-value"
    shown = {preview.step: preview for preview in result.previews}
    assert shown["a"].args == {"token": "(secret token)"}
    assert shown["b"].error.startswith("RuntimeError: cannot look with (secret TOKEN) (test_preview.py, line ")
    assert "s3cret-value" not in repr(result) + repr(beats)


async def test_a_secret_this_worker_does_not_have_is_unknown_not_an_error(look):
    result, _ = await look(request(("a", "number", {"value": {"$secret": "elsewhere"}})))
    assert result.previews[0].kind == "previewed"
    assert result.previews[0].looked is False


async def test_a_reference_that_finds_nothing_fails_the_preview_with_its_path(look):
    result, _ = await look(request(("b", "make", {"x": {"$ref": "a.nope"}}), outputs={"a": {"id": 1}}))
    assert "x: $ref 'a.nope' found nothing" in result.previews[0].error


async def test_what_does_not_fit_one_payload_is_asked_for_again(look, monkeypatch):
    monkeypatch.setattr(preview_module, "PAYLOAD_BUDGET", 700)
    steps = [(f"s{n:02d}", "make", {"size": 100}) for n in range(20)]
    asked, seen = request(*steps), []
    for _ in range(20):
        result, _ = await look(asked)
        seen += [preview.step for preview in result.previews]
        if not result.remaining:
            break
        asked = request(*[made for made in steps if made[0] in result.remaining])
    assert seen == [name for name, _, _ in steps], "every step once, in order"


async def test_it_resumes_after_the_steps_an_earlier_attempt_finished(look, monkeypatch):
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL", 0.001)
    RECORDED.clear()
    asked = request(("a", "make", {}), ("b", "make", {"name": {"$ref": "a.name"}, "wait": True}))
    result, beats = await look(asked)
    finished = next([details[0]] for details in beats if [made["step"] for made in details[0]] == ["a"])
    LOOKED.clear()
    again, _ = await look(asked, finished)
    assert [step for step, _ in LOOKED] == ["b"]
    assert again == result


async def test_only_the_clock_sends_heartbeats(look, monkeypatch):
    monkeypatch.setattr(heartbeat, "HEARTBEAT_INTERVAL", 3_600.0)
    steps = [(f"s{n}", "make", {"name": {"$ref": f"s{n - 1}.name"}} if n else {}) for n in range(20)]
    result, beats = await look(request(*steps))
    assert len(result.previews) == 20
    assert beats == [], "sent with each of the 20 waves, the previews so far would be quadratic"


async def test_former_values_are_redacted_and_give_way_where_there_is_no_room(look):
    result, _ = await look(
        request(("s", "make", {"former": "secret", "token": {"$secret": "TOKEN"}}), ("l", "make", {"former": 40_000}),
                ("b", "make", {"former": 40_000, "text": "z" * 40_000}))
    )  # fmt: skip
    secret, large, both = sorted(result.previews, key=lambda each: "slb".index(each.step))
    assert secret.former == {"content": "before (secret TOKEN)"}
    assert len(large.former["content"]) > 40_000
    assert both.former == {}
    assert both.effect == "Would write. Its former values are too large to be shown."
