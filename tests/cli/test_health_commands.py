"""`health` and `signals` as a person runs them, against a real server, and their guide: its text and its commands."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from airlock.client import Airlock
from airlock.client.monitors import Monitors
from airlock.plans.state import State
from devtools.environment import ROOT, Environment, environment
from tests.cli.conftest import CTRL_C, NO_SERVER, Starter, note_plan, run_starter, starter_on_terminal
from tests.cli.counted_hours import ILL, health_of
from tests.docs.fences import fences, lines
from tests.docs.installed import command_folders

DOCUMENT = ROOT / "docs" / "guides" / "health.md"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--plot", "picture.gif"), 2, "ends in .svg or .png"),
        (("--watch", "--plot", "picture.svg"), 2, "either --watch or --plot"),
        (("--window", "week"), 2, "'week' is not one of"),
        ((), 1, "Temporal does not answer at 127.0.0.1:1"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_in_json_too(options: tuple[str, ...], code: int, told: str) -> None:
    said = run_starter("health", *options, "--json", environment={**os.environ, **NO_SERVER})
    assert said.code == code
    assert told in said.json["error"]


def test_the_document_shows_what_is_printed() -> None:
    (shown,) = [fence for fence in fences("text", paths=[DOCUMENT]) if fence.text.startswith("Health: ")]
    printed = [line.rstrip() for line in health_of(ILL).splitlines()]
    expected = [line for line in shown.text.splitlines() if line != "..."]
    assert len(expected) > 8
    assert [line for line in expected if line not in printed] == []


@pytest.fixture(scope="module")
async def env(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    """Yield an environment of its own, whose monitor has counted nothing but these tests' plan.

    It begins without a worker.
    """
    async with environment(tmp_path_factory.mktemp("health") / "env", worker=False) as running:
        yield running


async def live_plan(airlock: Airlock, plan_id: str) -> None:
    handle = await airlock.submit(note_plan(plan_id))
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert (await handle.result()).outcome == "completed"


async def calls_counted(airlock: Airlock, number: int) -> None:
    """Wait until the monitor has counted so many live calls."""
    deadline = time.monotonic() + 120
    while (found := (await Monitors(airlock.client).health()).health.samples.calls) < number:
        assert time.monotonic() < deadline, f"{found} live calls were counted"
        await asyncio.sleep(0.1)
    assert found == number


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_as_a_person_runs_them(starter: Starter, tmp_path: Path) -> None:
    airlock = Airlock(starter.env.client)
    nobody = await starter("health")
    assert (nobody.code, nobody.out) == (1, "")
    assert "there is no monitor-0, so nothing is counted: start a worker, which starts it" in nobody.err
    assert (await starter("signals", "--json")).json["error"].startswith("there is no monitor-0")

    await starter.env.start_worker()
    none_yet = await starter("health")
    assert (none_yet.code, none_yet.err) == (0, "")
    assert none_yet.out.startswith("Health: no data  (the last day)\nNo plan has reported yet to monitor-0.\n")

    watching = await watch_in_pipe(starter.env)
    await live_plan(airlock, "health-1")
    await calls_counted(airlock, 2)
    said = await starter("health")
    assert (said.code, said.err) == (0, "")
    assert "It rests on 2 live calls, 1 plan admitted, 1 run that ended after LIVE, 1 decision of people" in said.out
    assert "\x1b" not in said.out
    old = {**starter.env.cli_environment, "PYTHONIOENCODING": "ascii"}
    plain = await asyncio.to_thread(run_starter, "health", environment=old)
    assert (plain.code, plain.err) == (0, "")
    assert re.search(r"^tool_success_rate +100\.0 % +@  100 %", plain.out, re.MULTILINE)
    seen = (await starter("health", "--window", "all", "--json")).json
    assert (seen["window"], seen["monitors"]) == ("all", ["monitor-0"])
    assert seen["health"]["metrics"]["tool_success_rate"] == 1.0
    assert seen["health"]["samples"] == {"calls": 2, "rehearsals": 1, "ended_live": 1, "decisions": 1}
    assert seen["reports"] == {"rehearsal": 1, "live": 1}
    assert "Calibration of stated confidence: 2 live calls" in (await starter("signals")).out
    await watched_to_the_end(watching, "2 live calls  anomalies: none")
    await every_command_of_the_document(starter.env, tmp_path)

    on_terminal = await asyncio.to_thread(
        starter_on_terminal, "health", "--watch", environment=starter.env.cli_environment, typed=CTRL_C, after="Worst tools"
    )
    assert on_terminal.code == 130
    assert "\x1b[" in on_terminal.out

    await starter.env.stop_worker()
    silent = await starter("health", "--json")
    assert silent.code == 1
    assert silent.json["error"].startswith("no worker answered for monitor-0; is one running?")


async def watch_in_pipe(env: Environment) -> subprocess.Popen[str]:
    """`health --watch`, with a pipe to read from; it has said its first line."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "starter.py"), "health", "--watch"],
        cwd=ROOT, env=env.cli_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    first = await asyncio.to_thread(process.stdout.readline)
    assert "  no data  0 live calls  anomalies: none" in first
    return process


async def watched_to_the_end(process: subprocess.Popen[str], wanted: str) -> None:
    assert process.stdout is not None
    with process:
        said = ""
        while wanted not in said:
            said = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 120)
            assert said, "it ended before it said so"
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 60) == 130


async def every_command_of_the_document(env: Environment, folder: Path) -> None:
    """The commands of docs/guides/health.md work as they stand there; pictures land where they say."""
    found = [line for fence in fences("sh", paths=[DOCUMENT]) for line in lines(fence)]
    assert len(found) >= 7
    path = os.pathsep.join([*command_folders(), env.cli_environment["PATH"]])
    variables = {**env.cli_environment, "PATH": path, "PYTHONPATH": str(ROOT)}
    for line in found:
        done = await asyncio.to_thread(
            subprocess.run, ["bash", "-euo", "pipefail", "-c", line], cwd=folder, env=variables, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), line
        if "--json" in line:
            assert json.loads(done.stdout)
    assert "send_email" not in (folder / "health.svg").read_text()
    assert "file_write (2/2)" in (folder / "health.svg").read_text()
    assert (folder / "health.png").stat().st_size > 10_000
