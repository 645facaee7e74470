"""`amend`: steps are changed from the command line, and every screen shows what changed; in colour on a terminal alone."""

import asyncio
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.client import Airlock
from airlock.plans.state import State
from tests.cli.conftest import Starter, new_key, note_plan, starter_on_terminal
from tests.workflows.conftest import until

pytestmark = pytest.mark.slow
PlanFile = Callable[..., str]
GREEN, RED = "\x1b[32m", "\x1b[31m"


async def waiting(airlock: Airlock, plan_id: str, unlike: str | None = None) -> str:
    """Return the digest of a plan that waits for approval, once it is another one."""

    async def sealed() -> str | None:
        status = await airlock.plan(plan_id).status()
        return status.digest if status.state is State.AWAITING_APPROVAL and status.digest != unlike else None

    return str(await until(sealed))


def note(plan_id: str, name: str, content: str) -> dict[str, Any]:
    args = {"path": f"{plan_id}/{name}.md", "content": content}
    return {"id": name, "agent": "ops", "tool": "file_write", "args": args, "confidence": 0.95}


async def test_a_step_is_amended_and_what_changed_is_shown(starter: Starter, airlock: Airlock) -> None:
    await airlock.submit(note_plan("amended"))
    first = await waiting(airlock, "amended")
    two = {**note("amended", "two", "22"), "after": ["one"]}
    said = await starter(
        "amend", "amended", "--step", json.dumps(two), "--reason", "a typo", "--by", "sales-lead", "--digest", first[:12]
    )
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("amend accepted: amended: two; what changed is rehearsed and approved again")
    assert "  steps.two (changed)" in said.out
    second = await waiting(airlock, "amended", first)

    shown = await starter("show", "amended")
    assert 'amended by sales-lead: "a typo"' in shown.out
    assert '    - content = "2"' in shown.out
    assert '    + content = "22"' in shown.out
    assert "  unchanged: one" in shown.out
    assert "\x1b" not in shown.out
    told = (await starter("show", "amended", "--json")).json
    assert {"kind": "+", "text": 'content = "22"'} in told["preview"]["changes"]
    assert told["preview"]["before"]["steps"][1]["args"]["content"] == "2"
    terminal = await asyncio.to_thread(
        starter_on_terminal, "show", "amended", environment=starter.env.worker_environment, typed=""
    )
    assert f'{GREEN}    + content = "22"' in terminal.out
    assert f'{RED}    - content = "2"' in terminal.out

    stale = await starter("approve", "amended", "--digest", first, "--by", "alice")
    assert (stale.code, "has been replaced: amended by sales-lead: a typo" in stale.err) == (1, True)
    assert (await starter("approve", "amended", "--digest", second, "--by", "alice")).code == 0
    assert (await airlock.plan("amended").result()).outcome == "completed"
    assert (starter.env.work_folder / "amended" / "two.md").read_text() == "22"
    ended = await starter("amend", "amended", "--remove", "one", "--reason", "late", "--by", "sales-lead")
    assert (ended.code, "has ended" in ended.err) == (1, True)


async def test_an_amendment_is_signed_and_printed(starter: Starter, airlock: Airlock, tmp_path: Path) -> None:
    await airlock.submit(note_plan("amend-signed"))
    digest = await waiting(airlock, "amend-signed")
    (tmp_path / "key").write_bytes(new_key()[0])
    two = {**note("amend-signed", "two", "22"), "after": ["one"]}
    command = ("amend", "amend-signed", "--step", json.dumps(two), "--reason", "a typo", "--by", "sales-lead")
    signing = ("--sign-key", str(tmp_path / "key"))
    refused = await starter(*command, *signing)
    assert (refused.code, "no authorized key is listed for 'sales-lead'" in refused.err) == (1, True)
    printed = await starter(*command, *signing, "--print-command", "--json")
    assert printed.code == 0
    sent = json.loads(shlex.split(printed.json["signal"])[-1])
    assert sent["evidence"]["kind"] == "ssh"
    assert sent["steps"][0]["args"]["content"] == "22"
    assert sent["digest"] == digest
    verdict = await airlock.plan("amend-signed").decide("amend", **sent)
    assert "no authorized key is listed" in verdict.reason
    assert (await airlock.plan("amend-signed").status()).digest == digest


async def test_the_steps_tell_who_approved_them(starter: Starter, airlock: Airlock) -> None:
    await airlock.submit(note_plan("voiced"))
    first = await waiting(airlock, "voiced")
    three = json.dumps(note("voiced", "three", "3"))
    assert (await starter("amend", "voiced", "--step", three, "--reason", "more", "--by", "alice")).code == 0
    second = await waiting(airlock, "voiced", first)
    said = await starter("approve", "voiced", "--digest", second, "--by", "alice")
    assert (said.code, "it does not count for three, proposed by 'alice'" in said.out) == (0, True)
    shown = await starter("show", "voiced")
    assert "waiting, approved by alice" in shown.out
    assert "Waits for: more approvals: 1 for three" in shown.out
    assert (await starter("approve", "voiced", "--digest", second, "--by", "bob")).code == 0
    assert (await airlock.plan("voiced").result()).outcome == "completed"


async def test_a_whole_plan_takes_the_place_of_the_steps(starter: Starter, airlock: Airlock, plan_file: PlanFile) -> None:
    await airlock.submit(note_plan("whole-amended"))
    first = await waiting(airlock, "whole-amended")
    new = {**note_plan("whole-amended"), "steps": [note("whole-amended", "three", "3")]}
    other = await starter("amend", "whole-amended", plan_file(note_plan("another")), "--reason", "r", "--by", "sales-lead")
    assert (other.code, "is 'another', not that of the amended plan" in other.err) == (1, True)
    goal = await starter(
        "amend", "whole-amended", plan_file({**new, "goal": "Else"}), "--reason", "r", "--by", "sales-lead", "--json"
    )
    assert (goal.code, goal.json["problems"][0]["where"]) == (1, "goal")
    said = await starter("amend", "whole-amended", plan_file(new), "--reason", "r", "--by", "sales-lead", "--json")
    assert said.code == 0
    assert said.json["changed"] == ["steps.three (added)", "steps.one (removed)", "steps.two (removed)"]
    await waiting(airlock, "whole-amended", first)
    assert [step.id for step in (await airlock.plan("whole-amended").status()).steps] == ["three"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--step", "{"), "--step:"),
        (("--step", '{"id": "one"}'), "\n  amend: steps.0.agent: is missing"),
        (("--step", json.dumps(note("odd", "one", "1") | {"after": ["two"]})), "depends on itself"),
        (("--step", json.dumps(note("odd", "one", "1") | {"tool": "file_wrte"})), "no tool 'file_wrte'"),
        (("--remove", "nowhere"), "there is no step 'nowhere'"),
        ((), "fix: say what changes: --step JSON, --remove ID, or a plan file"),
        (("--remove", "two", "--digest", "0" * 12), "not the digest of the current preview"),
        (("--remove", "two", "--by", "ops"), "is an agent of this plan"),
    ],
)
async def test_what_is_wrong_is_named_and_loses_nothing(
    starter: Starter, airlock: Airlock, options: tuple[str, ...], told: str
) -> None:
    await airlock.submit(note_plan("odd"))
    first = await waiting(airlock, "odd")
    by = () if "--by" in options else ("--by", "sales-lead")
    said = await starter("amend", "odd", *options, *by, "--reason", "because")
    assert (said.code, told in said.err) == (1, True), said
    assert await waiting(airlock, "odd") == first
