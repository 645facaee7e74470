"""Plans from their files to their ends, listed, watched and shown, against a real server, worker and services."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from airlock.base.errors import AirlockError
from airlock.base.names import plan_workflow_id
from airlock.client import Airlock
from airlock.plans.state import State
from devtools.environment import ROOT
from tests.cli.conftest import CTRL_C, Starter, note_plan, starter_on_terminal, waiting
from tests.workflows.conftest import until

pytestmark = pytest.mark.slow
EXAMPLES = ROOT / "examples"
PlanFile = Callable[..., str]


async def test_a_plan_from_its_file_to_its_end(starter: Starter, airlock: Airlock, plan_file: PlanFile) -> None:
    path = plan_file(note_plan("whole"))
    started = await starter("start", path)
    assert started.code == 0, started.err
    assert "starter.py approve whole" in started.out
    digest = (await airlock.plan("whole").wait_for(State.AWAITING_APPROVAL)).digest
    shown = await starter("show", "whole")
    assert f"Digest: {digest}" in shown.out
    assert "Waits for: 1 approval until " in shown.out
    approved = await starter("approve", "whole", "--digest", str(digest)[:12], "--by", "alice", "--reason", "looks right")
    assert (approved.code, approved.err) == (0, "")
    assert approved.out.startswith("approve accepted: ")
    watched = await starter("watch", "whole")
    assert watched.code == 0
    assert "COMPLETED (completed)" in watched.out
    assert (starter.env.work_folder / "whole" / "two.md").read_text() == "2"
    audit = (await starter("show", "whole", "--audit", "--json")).json
    assert [entry["reason"] for entry in audit["audit"]["entries"] if entry["kind"] == "decision"] == ["looks right"]


async def test_start_twice_starts_once(starter: Starter, plan_file: PlanFile) -> None:
    path = plan_file(note_plan("twice"))
    first, second = await starter("start", path, "--json"), await starter("start", path, "--json")
    assert (first.code, second.code) == (0, 0)
    assert (first.json["already_submitted"], second.json["already_submitted"]) == (False, True)
    assert "already submitted, nothing was started" in (await starter("start", path)).out
    other = await starter("start", plan_file(note_plan("twice", goal="Something else")))
    assert other.code == 1
    assert "was submitted before with other content; give the new one another plan_id" in other.err


async def test_start_refuses_what_check_refuses(starter: Starter, plan_file: PlanFile) -> None:
    plan = note_plan("unchecked")
    plan["steps"][0]["tool"] = "file_writ"
    said = await starter("start", plan_file(plan), "--json")
    assert said.code == 1
    assert said.json["problems"][0]["fix"] == "did you mean 'file_write'?"
    assert (await starter("show", "unchecked")).code == 1


async def test_a_refusal_at_admission_exits_1(starter: Starter, plan_file: PlanFile) -> None:
    plan = note_plan("refused")
    plan["steps"][0]["tool"] = "file_writ"
    said = await starter("start", plan_file(plan), "--no-catalogue", "--json")
    assert said.code == 1
    assert said.json["error"] == "the operator's worker refused the plan at admission"
    assert "no tool 'file_writ' in the catalogue" in said.json["problems"][0]["message"]
    again = await starter("start", plan_file(plan), "--no-catalogue")
    assert again.code == 1
    assert "the plan was refused before, and nothing was started now" in again.err
    assert "submit it under a new plan_id" in again.err


async def test_start_can_wait_for_the_end(starter: Starter, airlock: Airlock, plan_file: PlanFile) -> None:
    rehearsed = await starter("start", plan_file(note_plan("only-rehearsed", max_mode="DRY_RUN")), "--wait")
    assert rehearsed.code == 0
    assert "only-rehearsed ended: rehearsed" in rehearsed.out
    denying = asyncio.ensure_future(starter("start", plan_file(note_plan("denied"), "denied.json"), "--wait"))

    async def has_been_seen() -> bool:
        with suppress(AirlockError):
            status = await airlock.plan("denied").status()
            return status.state is State.AWAITING_APPROVAL and datetime.now(UTC) - status.since > timedelta(seconds=3)
        return False

    await until(has_been_seen)
    assert (await starter("deny", "denied", "--by", "bob", "--reason", "not today")).code == 0
    denied = await denying
    assert denied.code == 1
    assert "waiting for approval: read it with" in denied.out
    assert "--name approve" not in denied.out  # nothing of the preview is shown there
    assert "denied ended: denied (not today)" in denied.out


async def test_list_filters_and_limits(starter: Starter, airlock: Airlock) -> None:
    for number in (1, 2, 3):
        await waiting(airlock, note_plan(f"listed-{number}"))
    plans: list[dict[str, Any]] = []
    for _ in range(50):
        plans = (await starter("list", "--state", "awaiting_approval", "--json")).json["plans"]
        if {f"listed-{number}" for number in (1, 2, 3)} <= {plan["plan_id"] for plan in plans}:
            break
    assert {plan["state"] for plan in plans} == {"AWAITING_APPROVAL"}
    assert plans[0]["agents"] == ["ops"]
    some = (await starter("list", "--limit", "2", "--json")).json
    assert (len(some["plans"]), some["truncated"]) == (2, True)
    assert some["total"] > 2
    assert f"the newest 2 of {some['total']} plans" in (await starter("list", "--limit", "2")).err
    whole = (await starter("list", "--limit", "10000", "--json")).json
    assert (len(whole["plans"]), whole["truncated"]) == (whole["total"], False)
    table = await starter("list", "--state", "AWAITING_APPROVAL")
    assert "listed-3" in table.out


async def test_watch_follows_many_and_sees_a_terminated_run(starter: Starter, airlock: Airlock) -> None:
    digests = {name: await waiting(airlock, note_plan(name)) for name in ("many-1", "many-2")}
    watching = asyncio.ensure_future(starter("watch", *digests, "--json"))
    assert (await starter("approve", "many-1", "--digest", digests["many-1"], "--by", "bob")).code == 0
    run: WorkflowHandle[Any, Any] = airlock.client.get_workflow_handle(plan_workflow_id("many-2"))
    await run.terminate("from outside")
    said = await watching
    assert said.code == 0
    changes = [json.loads(line) for line in said.out.splitlines()]
    last = {change["plan_id"]: change for change in changes}
    assert (last["many-1"]["outcome"], last["many-1"]["done"], last["many-1"]["total"]) == ("completed", 2, 2)
    assert last["many-2"]["ended"] is True
    assert "TERMINATED" in last["many-2"]["why"]


async def test_watch_and_show_of_a_plan_that_is_not_there(starter: Starter) -> None:
    for arguments in (("watch", "unknown"), ("show", "unknown"), ("lock", "unknown", "--reason", "r")):
        said = await starter(*arguments)
        assert said.code == 1
        assert "there is no plan 'unknown'" in said.err
        assert " list" in said.err, "the way to the plans that there are"


async def test_without_a_worker_list_and_show_still_answer(starter: Starter, airlock: Airlock) -> None:
    digest = await waiting(airlock, note_plan("alone"))
    await airlock.plan("alone").decide("approve", by="alice", digest=digest)
    await airlock.plan("alone").result()
    await waiting(airlock, note_plan("alone-open"))
    await starter.env.stop_worker()
    try:
        listed = await starter("list", "--json")
        assert {"alone", "alone-open"} <= {plan["plan_id"] for plan in listed.json["plans"]}
        shown = await starter("show", "alone-open", "--json")
        assert (shown.code, shown.json["answered"]) == (0, False)
        assert shown.json["facts"]["summary"]["state"] == "AWAITING_APPROVAL"
        assert shown.json["facts"]["events"]
        ended = await starter("show", "alone")
        assert "This is what Temporal itself knows" in ended.err
        assert "Result: completed" in ended.out
    finally:
        await starter.env.start_worker()
    assert (await starter("show", "alone-open", "--json")).json["answered"] is True


async def test_agents_text_is_shown_as_it_is(starter: Starter, airlock: Airlock) -> None:
    plan = note_plan("markup", goal="[bold red]not[/] a markup \x1b[31m escape")
    await waiting(airlock, plan)
    shown = await starter("show", "markup")
    assert "[bold red]not[/] a markup" in shown.out
    assert "\x1b" not in shown.out


async def test_on_a_terminal_watch_draws_bars_and_ctrl_c_exits_130(starter: Starter, airlock: Airlock) -> None:
    await waiting(airlock, note_plan("drawn"))
    said = await asyncio.to_thread(
        starter_on_terminal, "watch", "drawn", environment=starter.env.worker_environment, typed=CTRL_C, after="AWAITING"
    )
    assert said.code == 130
    assert "Traceback" not in said.out
    assert "0/2" in said.out


@pytest.mark.parametrize(
    ("example", "more", "outcome"),
    [("rehearse_only", (), "rehearsed"), ("unsure_agent", (), "partial"), ("conflicts", (), "partial"),
     ("assignments", ("--validation", str(EXAMPLES / "validations.json")), "partial")],
)  # fmt: skip
async def test_the_small_examples_end_as_they_say(
    example: str, more: tuple[str, ...], outcome: str, starter: Starter, airlock: Airlock
) -> None:
    started = await starter("start", str(EXAMPLES / f"{example}.json"), *more, "--json")
    assert started.code == 0, started.out
    handle = airlock.plan(started.json["plan_id"])
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    if status.digest is not None:
        assert (await starter("approve", handle.plan_id, "--digest", status.digest, "--by", "bob")).code == 0
    result = await handle.result()
    assert result.outcome.value == outcome
    assert {step.id for step in result.steps if step.status == "live"} == set(result.live)
