"""Calls that are cut off by time or by a rollback, and secrets in arguments, in whole plans."""

import asyncio
import json
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from airlock.base.errors import ToolFailed
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from tests.mcp.attached import NOTES, attached, odd
from tests.mcp.plans import desk, step
from tests.mcp.test_traps import log, logged, written

SECRET = "the-word-that-nobody-may-read"
SLOW = """
[mcp.odd.tools.slow]
risk = "MEDIUM"
reversibility = "irreversible"
timeout = 120
"""
FAILS = """
[mcp.odd.tools.fail_first]
risk = "MEDIUM"
reversibility = "irreversible"
errors = "no_effect"
"""


LATE = """
[mcp.odd.tools.write_late]
risk = "MEDIUM"
reversibility = "irreversible"
timeout = 3
dry_run = "none"
probe = { tool = "read_note", args = "{name: args.name}", happened = "answer.text == args.text" }
"""


async def test_an_undo_that_could_not_be_sent_in_time_was_not_made(tmp_path: Path) -> None:
    (tmp_path / "a.note").write_text("before")
    async with attached(odd(tmp_path)) as server:
        token = await written(server, "a", "after")
        (tmp_path / "busy").touch()
        undo = server.call("odd.write_note", undo=token)
        with pytest.raises(ToolFailed, match="was not ready in time: the undo was not made") as late:
            async with asyncio.timeout(0.5):
                await server.run("odd.write_note", "compensate", undo, name="a", text="after")
        assert late.value.retry
        (tmp_path / "busy").unlink()
        assert log(tmp_path) == ["write a"]
        await server.run("odd.write_note", "compensate", undo, name="a", text="after")
    assert (tmp_path / "a.note").read_text() == "before"


@pytest.mark.parametrize("how", ["rollback", "cancel"])
async def test_a_rollback_lets_a_running_call_end_before_it_undoes_the_others(
    temporal: WorkflowEnvironment, tmp_path: Path, how: str
) -> None:
    (tmp_path / "a.note").write_text("before")
    (tmp_path / "held").touch()
    async with desk(temporal, odd(tmp_path, tools=NOTES + SLOW)) as place:
        handle = await place.proposed(
            [step("write", "odd.write_note", name="a", text="after"), step("wait", "odd.slow", seconds=0, tag="cut")]
        )
        status = await handle.status()
        assert (await handle.decide("approve", by="alice", digest=status.digest or "")).accepted
        await logged(tmp_path, "begin cut")
        if how == "cancel":
            await handle.workflow.cancel()
        else:
            assert (await handle.decide("rollback", by="alice", reason="stop")).accepted
        await handle.wait_for(State.ROLLBACK)
        assert (tmp_path / "a.note").read_text() == "after", "an undo overtook a call"
        (tmp_path / "held").unlink()
        done = await handle.result()
    assert {each.id: each.status for each in done.steps} == {"write": "undone", "wait": "kept"}
    assert log(tmp_path) == ["write a", "begin cut", "done cut", "write a"], "it was neither cut off nor made again"
    assert (tmp_path / "a.note").read_text() == "before"


async def test_a_secret_in_an_argument_reaches_the_server_alone(
    temporal: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRLOCK_SECRET_WORD", SECRET)
    (tmp_path / "a.note").write_text("before")
    toml = odd(tmp_path, tools=NOTES.replace("resources = [", 'secrets = ["text"]\nresources = [') + FAILS)
    toml += '\n[policy.agents.ops]\npermissions = ["*"]\nsecrets = ["word"]\n'
    async with desk(temporal, toml, {"AIRLOCK_SECRET_WORD": SECRET}) as place:
        done = await place.done([step("write", "odd.write_note", name="a", text={"$secret": "word"})])
        assert done.outcome is Outcome.COMPLETED, done
        assert (tmp_path / "a.note").read_text() == SECRET
        assert SECRET not in json.dumps(done.model_dump(mode="json"))
        (tmp_path / "a.note").write_text("before")
        handle = await place.proposed(
            [
                step("write", "odd.write_note", name="a", text={"$secret": "word"}),
                step("fail", "odd.fail_first", name="b", text="x"),
            ]
        )
        preview = (await handle.preview()).text
        status = await handle.status()
        assert (await handle.decide("approve", by="alice", digest=status.digest or "")).accepted
        failed = await handle.result()
        history = (await handle.workflow.fetch_history()).to_json()
    assert {each.id: each.status for each in failed.steps} == {"write": "undone", "fail": "failed"}
    assert (tmp_path / "a.note").read_text() == "before"
    assert SECRET not in preview
    assert SECRET not in history


async def test_a_probe_that_looks_while_the_server_is_still_at_it_settles_nothing(
    temporal: WorkflowEnvironment, tmp_path: Path
) -> None:
    """A server may go on with a call that was cancelled: "it did not happen" can mean "not yet"."""
    (tmp_path / "a.note").write_text("before")
    (tmp_path / "held").touch()
    async with desk(temporal, odd(tmp_path, tools=NOTES + LATE)) as place:
        look = step("look", "odd.read_note", name="a")  # the server is up when the short call begins
        handle = await place.proposed([look, step("write", "odd.write_late", name="a", text="after")])
        status = await handle.status()
        assert (await handle.decide("approve", by="alice", digest=status.digest or "")).accepted
        stopped = await handle.wait_for(State.LOCKED)
        assert (stopped.state, stopped.steps[1].status) == (State.LOCKED, "in_doubt"), stopped
        assert "may still be under way" in stopped.steps[1].error
        (tmp_path / "held").unlink()
        await logged(tmp_path, "late a")
        assert (await handle.decide("resolve", by="alice", step="write", outcome="happened", reason="it is there")).accepted
        assert (await handle.result()).outcome is Outcome.COMPLETED
    assert (tmp_path / "a.note").read_text() == "after"
    assert log(tmp_path) == ["begin a", "late a"]


@pytest.mark.slow
async def test_a_reversible_call_that_takes_too_long_is_not_made_again_beside_itself(
    temporal: WorkflowEnvironment, tmp_path: Path
) -> None:
    """Its state is the one of the preview until it ends, so that a check before another attempt sees nothing."""
    (tmp_path / "a.note").write_text("before")
    (tmp_path / "held").touch()
    observed = """
observe = { tool = "read_note", args = "{name: args.name}" }
compensate = { tool = "write_note", args = "{name: args.name, text: before.text}" }
"""
    reversible = (
        LATE.replace("irreversible", "reversible")
        .replace("timeout = 3", "timeout = 10")
        .replace('dry_run = "none"', observed)
    )
    async with desk(temporal, odd(tmp_path, tools=NOTES + reversible)) as place:
        handle = await place.proposed([step("write", "odd.write_late", name="a", text="after")])
        status = await handle.status()
        assert (await handle.decide("approve", by="alice", digest=status.digest or "")).accepted
        stopped = await handle.wait_for(State.LOCKED)
        assert (stopped.state, stopped.steps[0].status) == (State.LOCKED, "in_doubt"), stopped
        assert log(tmp_path) == ["begin a"]
        (tmp_path / "held").unlink()
        await logged(tmp_path, "late a")
        assert (await handle.decide("resolve", by="alice", step="write", outcome="happened", reason="it is there")).accepted
        assert (await handle.result()).outcome is Outcome.COMPLETED
    assert (tmp_path / "a.note").read_text() == "after"
