"""`python -m devtools.demo`: the main job from start to end; exits 0 only if every check of the outside systems passed."""

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from airlock.base.errors import AirlockError
from airlock.cli.display.follow import Snapshot, open_screen, snapshots
from airlock.cli.display.status_screens import steps_table
from airlock.cli.output import INTERRUPTED, OK, command, console, say
from airlock.cli.servers.stopping import stoppable
from airlock.client import Airlock, PlanHandle
from airlock.client.monitors import HealthReport, Monitors
from airlock.export.documents import OrchestrationSummary
from airlock.export.files import EXPORT_FILES, SUMMARY
from airlock.plans.state import State
from airlock.program import run_and_leave
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import PlanResult, PreviewView
from devtools.environment import ROOT, Environment, environment
from devtools.programs import alone
from devtools.world import World, read_world, requests_made, world_table

STATE = ROOT / ".airlock" / "demo"
ONBOARDING = ROOT / "examples" / "onboard_customer.json"
FAILING = ROOT / "examples" / "failing_onboarding.json"
_EMAIL = "jo@acme.test"
_FAILING_EMAIL = "kim@globex.test"
_FAILING_TOOL = "charge_card"
_EVERY = 0.05
_COUNTED_WITHIN = 60.0


class DemoFailed(AirlockError):
    """An error about a result of the demo that is not as it must be."""


@command
async def demo(
    folder: Annotated[Path, typer.Option("--folder", help="The folder of state and logs; it is emptied first.")] = STATE,
) -> int:
    """Run a plan from its file to LIVE, then one that fails and is rolled back, on a real server with real tools."""
    return OK if await stoppable(_run(folder)) else INTERRUPTED


async def _run(folder: Path) -> None:
    begun = time.monotonic()
    say("Starting a Temporal server, a CRM, a mail server, a database and a worker ...", style="dim")
    async with environment(folder, usual_ports=True, fresh=True) as env:
        say(f"They are up. Temporal UI: {env.ui_url}   logs: {env.folder / 'logs'}", style="dim")
        _title("1. A plan that goes LIVE: examples/onboard_customer.json")
        before = read_world(env)
        onboarded = await _live(env, ONBOARDING, Outcome.COMPLETED)
        after = read_world(env)
        console().print(world_table(before, after))
        check_onboarded(before, after)

        _title("2. A plan whose last reversible call fails: examples/failing_onboarding.json")
        result = await _live(env, FAILING, Outcome.ABORTED)
        undone = read_world(env)
        console().print(world_table(after, undone))
        check_undone(after, undone, result, env)

        _title("3. The health that was counted, and the files for an auditor")
        check_counted(await _counted(env, 2), (onboarded, result))
        await _run_as_typed(env, "python starter.py health")
        files = shlex.quote(_near(env.folder / "export"))
        root = (await _run_as_typed(env, f"python starter.py export {files}")).split()[-1]
        await _run_as_typed(env, f"python starter.py verify {files} --root {root} --against-temporal")
        check_exported(env.folder / "export")
    _title(f"Everything is as it must be, and everything has stopped ({time.monotonic() - begun:.0f} s)")


async def _live(env: Environment, plan: Path, expected: Outcome) -> PlanResult:
    """Rehearse, show, approve through the Temporal CLI, follow to the end."""
    handle = await Airlock(env.client).submit(plan)
    with open_screen(commands=False) as screen:
        async for seen in snapshots(handle, every=_EVERY):
            screen.show(seen)
            if seen.ended or seen.state == State.AWAITING_APPROVAL:
                break
    preview = await _preview(handle)
    say()
    say(preview.text)
    status = await handle.status()
    if status.approve_command is None:
        raise DemoFailed(f"plan {handle.plan_id} offers no command to approve it: {status.why}")
    await _approve(env, status.approve_command)
    last: Snapshot | None = None
    with open_screen(commands=False) as screen:
        async for seen in snapshots(handle, every=_EVERY):
            last = seen
            screen.show(seen)
    await _say_transitions(handle)
    result = await handle.result()
    console().print(steps_table(result.steps, result.outcome))
    say(f"{handle.plan_id} ended: {result.outcome.value} ({result.why})", style="bold")
    if last is None or result.outcome is not expected:
        raise DemoFailed(f"plan {handle.plan_id} must end {expected.value}, it ended {result.outcome.value}: {result.why}")
    return result


async def _preview(handle: PlanHandle) -> PreviewView:
    preview = await handle.preview()
    if preview.digest is None:
        raise DemoFailed(f"plan {handle.plan_id} was not sealed: {preview.text}")
    return preview


async def _approve(env: Environment, approve_command: str) -> None:
    """Run exactly the command that the preview shows."""
    say()
    await _run_as_typed(env, approve_command)


async def _run_as_typed(env: Environment, line: str) -> str:
    """Run a command in a shell, as a person would, show both, and return its output."""
    say(f"$ {line}", style="bold")
    variables = env.cli_environment
    # the interpreter of this process is the one that has the libraries of the starter
    path = os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])
    process = await asyncio.create_subprocess_shell(
        line,
        cwd=ROOT,
        env={**variables, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode(errors="replace").strip()
    say(said)
    say()
    if process.returncode != 0:
        raise DemoFailed(f"the command was refused: exit code {process.returncode}: {line}")
    return said


async def _counted(env: Environment, runs: int) -> HealthReport:
    """Health, once so many runs that had been LIVE are counted: a report is counted a moment after it was sent."""
    deadline = time.monotonic() + _COUNTED_WITHIN
    while True:
        report = await Monitors(env.client).health()
        if report.health.samples.ended_live >= runs or time.monotonic() > deadline:
            return report
        await asyncio.sleep(_EVERY)


async def _say_transitions(handle: PlanHandle) -> None:
    for entry in (await handle.audit()).entries:
        if entry.to_state is not None:
            say(f"  {entry.at:%H:%M:%S.%f}"[:-3] + f"  {entry.from_state} -> {entry.to_state}: {entry.reason}", style="dim")


def check_onboarded(before: World, after: World) -> None:
    """Check that everything the first plan promised is there, once.

    Raises:
        DemoFailed: Naming what is not.
    """
    contact, row = after.contact(_EMAIL), after.row(_EMAIL)
    mails = [mail for mail in after.mails if mail["to"] == [_EMAIL]]
    _must(before.contact(_EMAIL) is None and not before.mails, "the demo must begin with empty systems")
    _must(contact is not None, f"the CRM must have a contact {_EMAIL}")
    _must(row is not None and contact is not None and row["contact_id"] == contact["id"], "the row must name that contact")
    _must([found["email"] for found in after.billing] == [_EMAIL], "billing must have one account, for that contact")
    _must(len(mails) == 1 == len(after.mails), f"exactly one mail must have been sent, to {_EMAIL}")
    _must([path for path, _ in after.files] == ["onboarding/latest.md"], "the folder must hold the brief")


def check_undone(before: World, after: World, result: PlanResult, env: Environment) -> None:
    """Check that the failing call was really made, and everything before it was really taken back.

    Raises:
        DemoFailed: Naming what is not.
    """
    answers = [(made["method"], made["path"], made["status"]) for made in requests_made(env)]
    _must(("POST", "/billing/charge", 402) in answers, "the charge must really have been tried and refused")
    created = [made for made in answers if made[:2] == ("POST", "/contacts/") and made[2] == 201]
    _must(len(created) == 2, "the second contact must really have been created before it was taken back")
    _must("contact" in result.undone and "record" in result.undone, "the calls before the failure must be undone")
    _must(after.contact(_FAILING_EMAIL) is None, f"the CRM must not have a contact {_FAILING_EMAIL} any more")
    for name in ("contacts", "billing", "rows", "mails", "files"):
        _must(getattr(after, name) == getattr(before, name), f"{name} must be exactly as before the plan")


def check_counted(report: HealthReport, results: Sequence[PlanResult]) -> None:
    """Check that the monitor counted the facts of the plans, each once.

    Raises:
        DemoFailed: Naming what it did not.
    """
    samples, metrics = report.health.samples, report.health.metrics
    calls = sum(step.status != "waiting" for result in results for step in result.steps)
    _must(samples.ended_live == len(results), f"{len(results)} runs must have been counted, {samples.ended_live} were")
    _must(samples.calls == calls, f"{calls} live calls must have been counted, {samples.calls} were")
    _must(metrics.rollback_frequency == 1 / 2, f"one of two was rolled back, not {metrics.rollback_frequency}")
    _must([tool.tool for tool in report.worst_tools] == [_FAILING_TOOL], "the worst tool must be the one that failed")


def check_exported(folder: Path) -> None:
    """Check that the eight files are there, and that their summary is right.

    Raises:
        DemoFailed: Naming what is not.
    """
    _must(sorted(path.name for path in folder.iterdir()) == sorted(EXPORT_FILES), "the folder must hold the eight files")
    summary = OrchestrationSummary.model_validate_json((folder / SUMMARY).read_bytes())
    told = (summary.plans_processed, summary.plans_successful, summary.plans_failed)
    _must(told == (2, 1, 1), f"the summary must tell of two plans, one successful and one failed, not {told}")


def _near(path: Path) -> str:
    """Return a path as short as it can be written from the project's folder."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise DemoFailed(f"the demo found something wrong: {what}")


def _title(text: str) -> None:
    say()
    say(text, style="bold cyan")
    say()


if __name__ == "__main__":
    run_and_leave(alone(demo))
