"""The decisions of people about a plan: deny, abort and resolve, and the sending that all decisions share."""

import getpass
import json
import shlex
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from airlock.base.errors import Problem
from airlock.base.incoming import Verdict
from airlock.base.json_text import JsonFault, parse_json
from airlock.base.names import workflow_id_of
from airlock.cli.missing_workers import missing_workers
from airlock.cli.output import OK, REFUSED, AsJson, Refusal, command, console, emit, safe, say, warn
from airlock.cli.patience import patiently
from airlock.cli.show import PlanName
from airlock.cli.signing import UNSIGNED, PrintOption, Signing, SignKeyOption, SshAgentOption, evidence_of
from airlock.client import Airlock, NoAnswer, PlanHandle
from airlock.program import as_started
from airlock.run.messages import Settlement

_NEED_LIVE = ("approve", "resolve")
"""The decisions after which a plan needs a live worker."""

ByOption = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Your name, recorded with the decision; the login name unless given."),
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason; it is recorded.")]


def me(by: str | None) -> str:
    """Return the name of the person who decides: the name given, or the login name.

    Raises:
        Refusal: If there is neither, or the name given is blank, as that of a variable that is not set.
    """
    if by is not None:
        if not by.strip():
            problem = Problem(where="--by", message="is blank", fix="say who decides: --by NAME")
            raise Refusal("the decision would have no name under it", [problem])
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        problem = Problem(where="--by", message="this login has no name", fix="say who decides: --by NAME")
        raise Refusal("the decision would have no name under it", [problem]) from error


async def decide(handle: PlanHandle, decision: str, *, as_json: bool, signing: Signing = UNSIGNED, **fields: Any) -> int:
    """Send a decision, print the answer, and return the exit code: 1 when the plan refused it."""
    if signing.wanted:
        signed = await handle.to_sign(decision, **fields)
        evidence = await evidence_of(signed, signing)
        fields = {**signed.fields, "evidence": evidence.model_dump(mode="json")}
    if signing.printed:
        return print_commands(workflow_id_of(handle.plan_id), decision, fields, as_json=as_json)
    try:
        answer = await patiently(handle.decide(decision, **fields))
    except NoAnswer as error:
        raise Refusal(f"{error}\n{_as_signal(handle.plan_id, decision, fields)}") from error
    verdict = answer.model_copy(update={"reason": as_started(answer.reason)})
    missing = await missing_workers(handle, "live") if verdict.accepted and decision in _NEED_LIVE else ()
    if as_json:
        refused = {} if verdict.accepted else {"error": verdict.reason, "problems": []}
        told = {"missing_workers": missing} if missing else {}
        emit({**refused, "plan_id": handle.plan_id, "decision": decision, **verdict.model_dump(mode="json"), **told})
    else:
        _print_verdict(decision, verdict)
        for sentence in missing:
            warn(sentence)
    return OK if verdict.accepted else REFUSED


def print_commands(workflow_id: str, decision: str, fields: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the commands of Temporal that send a decision, as a signal and as an update."""
    message = {name: value for name, value in fields.items() if value is not None}
    signal = signal_command(workflow_id, decision, message)
    whole = shlex.quote(json.dumps({"decision": decision, **message}))
    update = f"temporal workflow update execute --workflow-id {shlex.quote(workflow_id)} --name decide --input {whole}"
    if as_json:
        emit({"decision": decision, "signal": signal, "update": update})
        return OK
    say("# as a signal: it is stored, and gets no answer")
    say(signal)
    say("# as an update: it answers, and needs a worker")
    say(update)
    return OK


def signal_command(workflow_id: str, decision: str, message: Mapping[str, Any]) -> str:
    """Return the command of Temporal that sends a decision as a signal."""
    text = shlex.quote(json.dumps(message))
    return f"temporal workflow signal --workflow-id {shlex.quote(workflow_id)} --name {decision} --input {text}"


def _print_verdict(decision: str, verdict: Verdict) -> None:
    screen = console(stderr=not verdict.accepted)
    said = "accepted" if verdict.accepted else "refused"
    screen.print(f"{decision} {said}: {safe(verdict.reason)}", soft_wrap=True)
    if verdict.changed:
        screen.print("what changes:" if verdict.accepted else "changed since that preview:")
        for path in verdict.changed:
            screen.print(f"  {safe(path)}", soft_wrap=True)


def _as_signal(plan_id: str, decision: str, fields: dict[str, Any]) -> str:
    message = {key: value for key, value in fields.items() if value is not None}
    return (
        f"It is not certain that this {decision} counts: without a worker Temporal does not store it.\n"
        "To leave it for the next worker, send it as a signal. An approval then counts from the time at which Temporal"
        f" stored it:\n  {signal_command(workflow_id_of(plan_id), decision, message)}"
    )


@command
async def deny(
    plan: PlanName,
    reason: ReasonOption,
    digest: Annotated[str | None, typer.Option("--digest", metavar="DIGEST", help="Only if this is still the seal.")] = None,
    by: ByOption = None,
    sign_key: SignKeyOption = None,
    ssh_agent: SshAgentOption = False,
    print_command: PrintOption = False,
    as_json: AsJson = False,
) -> int:
    """Deny a plan that waits for approval.

    It ends with the outcome denied.
    """
    handle = (await Airlock.connect()).plan(plan)
    signing = Signing(sign_key, ssh_agent, print_command)
    return await decide(handle, "deny", as_json=as_json, signing=signing, by=me(by), reason=reason, digest=digest)


@command
async def abort(
    plan: PlanName,
    reason: ReasonOption,
    by: ByOption = None,
    sign_key: SignKeyOption = None,
    ssh_agent: SshAgentOption = False,
    print_command: PrintOption = False,
    as_json: AsJson = False,
) -> int:
    """End a plan without undoing anything."""
    handle = (await Airlock.connect()).plan(plan)
    signing = Signing(sign_key, ssh_agent, print_command)
    return await decide(handle, "abort", as_json=as_json, signing=signing, by=me(by), reason=reason)


@command
async def resolve(
    plan: PlanName,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step that waits to be settled.")],
    outcome: Annotated[
        Settlement,
        typer.Argument(
            metavar="OUTCOME",
            help="A call in doubt: happened, did_not_happen. A failed compensation: retry, skip, compensated.",
        ),
    ],
    reason: ReasonOption,
    output: Annotated[
        str | None, typer.Option("--output", metavar="JSON", help="The output of the call, where later steps read it.")
    ] = None,
    by: ByOption = None,
    sign_key: SignKeyOption = None,
    ssh_agent: SshAgentOption = False,
    print_command: PrintOption = False,
    as_json: AsJson = False,
) -> int:
    """Settle a step that waits for a human.

    It is a call whose outcome is unknown, or a compensation that failed.
    """
    value = _json(output)
    handle = (await Airlock.connect()).plan(plan)
    fields = {"by": me(by), "step": step, "outcome": outcome.value, "reason": reason, "output": value}
    signing = Signing(sign_key, ssh_agent, print_command)
    return await decide(handle, "resolve", as_json=as_json, signing=signing, **fields)


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return parse_json(text.encode(errors="surrogateescape"))
    except JsonFault as fault:
        problem = Problem(where="--output", message=fault.message, fix=f"{fault.fix}; on a shell: --output '{{\"id\": 7}}'")
        raise Refusal("the output cannot be read", [problem]) from fault
