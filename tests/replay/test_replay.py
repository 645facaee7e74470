"""Runs that older code began must go on under the code as it is: committed histories replay, under any hash seed."""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from temporalio.workflow import NondeterminismError

from airlock.plans.schedule import Schedule
from airlock.workflows import commands
from tests.replay.replay import HISTORIES, read, replayer

ROOT = Path(__file__).parents[2]
OUTCOMES = {
    "cancelled": "aborted",
    "completed": "completed",
    "continued-as-new-1": None,
    "continued-as-new-2": None,
    "continued-as-new-3": "completed",
    "deadline-passed": "aborted",
    "denied": "denied",
    "expired": "expired",
    "in-doubt-resolved": "completed",
    "in-doubt-rolled-back": "aborted",
    "locked-and-unlocked": "completed",
    "locked-while-it-waits": "completed",
    "partial": "partial",
    "refused-at-admission": "aborted",
    "rehearsed": "rehearsed",
    "rolled-back": "aborted",
    "rolled-back-on-a-word": "aborted",
    "stale-and-previewed-anew": "completed",
    "tried-again-and-probed": "completed",
    "waited-at-a-gate": "completed",
    "locked-by-the-live-gate": "completed",
    "late-at-a-locked-gate": "aborted",
    "left-out-as-a-duplicate": "partial",
    "undone-after-the-end": "aborted",
}
"""The plans, and how they ended; None for a run that another one continues."""
OTHERS = {
    "claim-completed": "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
    "claim-failed": "EVENT_TYPE_WORKFLOW_EXECUTION_FAILED",
    "gate-live": None,
    "gate-resource": "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
    "gate-tool": "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
    "monitor": None,
    "monitor-alarmed": None,
}
"""Gates, claims and monitors, and how they ended; None for one that was open when it was recorded."""


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HISTORIES / f"{name}.json").read_text(encoding="utf-8"))
    return found


SEEDS = ("0", (1, 0)), ("1", (2, 0)), ("4242", (2, 1))
"""Under the first seed all histories replay, under the others half of them each: each history under two seeds."""


@pytest.mark.parametrize(("seed", "share"), SEEDS, ids=lambda value: value if isinstance(value, str) else "")
def test_all_histories_replay_under_any_hash_seed(seed, share):
    done = subprocess.run(
        [sys.executable, "-m", "tests.replay.replay", *map(str, share)],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3_000:]
    parts, part = share
    paths = sorted(HISTORIES.parent.glob("histories*/*.json"))[part::parts]
    there = {f"{path.parent.name}/{path.stem}" for path in paths}
    assert {line.rpartition(": ")[0] for line in done.stdout.splitlines()} == there
    assert all(line.endswith(": replays") for line in done.stdout.splitlines()), done.stdout


def test_the_histories_are_of_the_runs_they_say():
    assert {path.stem for path in HISTORIES.glob("*.json")} == set(OUTCOMES | OTHERS)
    for name, end in OTHERS.items():
        assert document(name)["events"][-1]["eventType"] == end or end is None, name
    for name, outcome in OUTCOMES.items():
        last = document(name)["events"][-1]
        if outcome is None:
            assert last["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW", name
        else:
            (payload,) = last["workflowExecutionCompletedEventAttributes"]["result"]["payloads"]
            assert json.loads(base64.b64decode(payload["data"]))["outcome"] == outcome, name
    runs = [document(f"continued-as-new-{number}")["events"] for number in (1, 2, 3)]
    for before, after in pairwise(runs):
        new_run = before[-1]["workflowExecutionContinuedAsNewEventAttributes"]["newExecutionRunId"]
        assert new_run == after[0]["workflowExecutionStartedEventAttributes"]["originalExecutionRunId"]


def test_the_histories_name_no_machine():
    forbidden = re.compile(r"\d@\w|/home/|/root/|/work/|/tmp/|/Users/|site-packages|\.py\b")
    for path in HISTORIES.glob("*.json"):
        events = json.loads(path.read_text(encoding="utf-8"))
        texts = [path.read_text(encoding="utf-8"), *_decoded(events)]
        found = {match[0] for text in texts for match in forbidden.finditer(text)}
        assert not found, (path.name, found)
        assert all(identity in ("recorded", "", "history-service") for identity in _identities(events)), path.name


def _decoded(value: Any) -> list[str]:
    """Return the contents of all payloads; those that travel compressed included."""
    if isinstance(value, dict):
        if "data" in value and "metadata" in value:
            data = base64.b64decode(value["data"])
            packed = base64.b64decode(value["metadata"]["encoding"]) == b"binary/airlock-zlib"
            return [(zlib.decompress(data) if packed else data).decode(errors="replace")]
        return [text for inner in value.values() for text in _decoded(inner)]
    return [text for inner in value for text in _decoded(inner)] if isinstance(value, list) else []


def _identities(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["identity"]] if "identity" in value else []
        return here + [identity for inner in value.values() for identity in _identities(inner)]
    return [identity for inner in value for identity in _identities(inner)] if isinstance(value, list) else []


async def failure(name: str) -> Exception | None:
    result = await replayer().replay_workflow(read(HISTORIES / f"{name}.json"), raise_on_replay_failure=False)
    return result.replay_failure


def rename_activities(monkeypatch: pytest.MonkeyPatch) -> None:
    options = commands.activity_options

    def changed(limits, queue, activity_id, summary, **more):
        return options(limits, queue, f"{activity_id}:changed", summary, **more)

    monkeypatch.setattr(commands, "activity_options", changed)


def reverse_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Schedule.take
    monkeypatch.setattr(Schedule, "take", lambda self, limit, *admit: take(self, limit, *admit)[::-1])


def call_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Schedule.take
    monkeypatch.setattr(Schedule, "take", lambda self, limit, *admit: () if self.running else take(self, 1))


@pytest.mark.parametrize("change", [rename_activities, reverse_the_order, call_one_at_a_time])
async def test_a_change_of_the_commands_does_not_go_unnoticed(monkeypatch, change):
    assert await failure("completed") is None
    change(monkeypatch)
    assert isinstance(await failure("completed"), NondeterminismError)


async def test_an_order_that_depends_on_the_hash_seed_does_not_go_unnoticed():
    """The purpose of the three seeds: a set in the wrong place fails under at least one of them."""
    script = (
        "import os, sys, asyncio; from airlock.plans.schedule import Schedule; from tests.replay.replay import main\n"
        "take = Schedule.take\n"
        "Schedule.take = lambda self, limit: tuple(set(take(self, limit)))\n"
        "code = asyncio.run(main('histories/completed.json')); sys.stdout.flush(); os._exit(code)"
    )
    codes = []
    for seed in ("0", "1", "4242"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await process.communicate()
        codes.append((process.returncode, "Nondeterminism" in said.decode()))
    assert (1, True) in codes
