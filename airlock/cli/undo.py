"""`rollback`: take back live calls; those of a plan that has ended by an undo that another person must approve."""

import asyncio
import json
import shlex
from contextlib import suppress
from typing import Annotated

import typer

from airlock.admission.decision_rules import ApprovalDemand
from airlock.base.errors import Problem
from airlock.base.names import PLAN_WORKFLOW, UNDO_PREFIX, WORKFLOW_QUEUE
from airlock.base.person import OTHER_NAME
from airlock.cli.decisions import ByOption, ReasonOption, decide, me
from airlock.cli.display.hints import approve_hint
from airlock.cli.output import OK, AsJson, Refusal, command, emit, say
from airlock.cli.show import PlanName
from airlock.cli.signing import PrintOption, Signing, SignKeyOption, SshAgentOption, evidence_of
from airlock.client import Airlock, PlanEnded, PlanHandle
from airlock.client.undo import UndoRequest, previewed, undo, undo_request, undo_to_sign
from airlock.plans.state import State
from airlock.program import program

_PATIENCE = 30.0
"""Seconds to wait for the preview of an undo."""
_SHELL = 100_000
"""Bytes of an input that a shell takes on its command line: Linux takes 128 KiB a word."""


@command
async def rollback(
    plan: PlanName,
    reason: ReasonOption,
    to_step: Annotated[
        str | None, typer.Option("--to-step", metavar="STEP", help="Undo this step and everything after or depending on it.")
    ] = None,
    by: ByOption = None,
    sign_key: SignKeyOption = None,
    ssh_agent: SshAgentOption = False,
    print_command: PrintOption = False,
    as_json: AsJson = False,
) -> int:
    """Undo what is live, whole or back to a step, in reverse order.

    For a plan that has ended the command asks for an undo, undo-PLAN, which another person must approve.
    """
    airlock = await Airlock.connect()
    handle, who = airlock.plan(plan), me(by)
    if not await handle.ended():
        with suppress(PlanEnded):
            signing = Signing(sign_key, ssh_agent, print_command)
            fields = {"by": who, "reason": reason, "to_step": to_step}
            return await decide(handle, "rollback", as_json=as_json, signing=signing, **fields)
    if handle.plan_id.startswith(UNDO_PREFIX):
        name = handle.plan_id.removeprefix(UNDO_PREFIX)
        raise Refusal(f"{handle.plan_id} has ended; ask for another undo: {program()} rollback {name} --reason ...")
    evidence, signing = None, Signing(sign_key, ssh_agent)
    if signing.wanted:
        signed = await undo_to_sign(airlock.client, handle.plan_id, by=who, reason=reason, to_step=to_step)
        evidence = await evidence_of(signed, signing)
    if print_command:
        request = await undo_request(
            airlock.client, handle.plan_id, by=who, reason=reason, to_step=to_step, evidence=evidence
        )
        return _print_start(request, as_json=as_json)
    asked = await undo(airlock.client, handle.plan_id, by=who, reason=reason, to_step=to_step, evidence=evidence)
    return await _told(asked, handle.plan_id, as_json=as_json)


def _print_start(request: UndoRequest, *, as_json: bool) -> int:
    """Print the command of Temporal that requests an undo: it starts a workflow, whose input holds the plan."""
    given = request.start.model_dump_json(exclude_none=True)
    size = len(given.encode())
    if size > _SHELL:
        problem = Problem(
            where="--print-command",
            message=f"the request holds the plan, {size:,} bytes, and a shell takes no word of more than {_SHELL:,}",
            fix="leave it out: this command then sends the request itself",
        )
        raise Refusal("nothing was requested", [problem])
    words = [
        "temporal", "workflow", "start", "--workflow-id", request.workflow_id, "--type", PLAN_WORKFLOW,
        "--task-queue", WORKFLOW_QUEUE, "--id-reuse-policy", "AllowDuplicate", "--id-conflict-policy", "Fail",
        "--fail-existing", "--static-summary", request.summary,
    ]  # fmt: skip
    for pair in request.attributes:
        words += ["--search-attribute", f"{pair.key.name}={json.dumps(pair.value)}"]
    words += ["--input", given]
    line = shlex.join(words)
    if as_json:
        emit({"decision": "rollback", "start": line})
        return OK
    say("# the request for the undo starts a workflow; its preview then waits for another person's approval")
    say(line)
    return OK


async def _told(asked: PlanHandle, plan_id: str, *, as_json: bool) -> int:
    """Print the state of an undo that was asked for, once it has a preview or `_PATIENCE` has passed."""
    state, digest = State.MOCK, None
    demands: tuple[ApprovalDemand, ...] = ()
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            state = await previewed(asked)
            status = await asked.status()
            digest, demands = status.digest, status.demands
    if as_json:
        emit({"plan_id": asked.plan_id, "undo_of": plan_id, "state": state.value, "digest": digest})
        return OK
    if state is State.AWAITING_APPROVAL:
        say(f"plan {plan_id} has ended; its undo {asked.plan_id} waits for the approval of another person.")
        say(f"  read it:     {program()} show {asked.plan_id}")
        say(f"  approve it:  {approve_hint(asked.plan_id, OTHER_NAME, demands)}")
    else:
        say(f"plan {plan_id} has ended; its undo {asked.plan_id} is being prepared ({state.value}).")
        say(f"  follow it:   {program()} watch {asked.plan_id}")
    return OK
