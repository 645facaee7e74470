"""`amend`: change steps of a plan that waits for approval; the steps that stay as they are keep their approvals."""

from pathlib import Path
from typing import Annotated, Any

import typer

from airlock.base.errors import PlanError, Problem
from airlock.base.incoming import MalformedMessage
from airlock.base.json_text import JsonFault, parse_json
from airlock.cli.decisions import ByOption, ReasonOption, decide, me
from airlock.cli.output import AsJson, Refusal, command
from airlock.cli.show import PlanName
from airlock.cli.signing import PrintOption, Signing, SignKeyOption, SshAgentOption
from airlock.client import Airlock, NoAnswer, PlanHandle
from airlock.client.documents import read_document
from airlock.plans.assignments import read_plan
from airlock.plans.plan import Plan
from airlock.run.messages import Amend, parse_message
from airlock.run.presentation.views import PreviewView

_FIXED = ("goal", "requested_by", "deadline", "phase21_plan_id", "phase22_validation_id")
"""The fields of a plan file that no amendment changes, and that a preview shows."""


@command
async def amend(
    plan: PlanName,
    reason: ReasonOption,
    plan_file: Annotated[
        Path | None,
        typer.Argument(metavar="[PLAN.json]", help="The plan with all steps that it is to have; the others are removed."),
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option("--step", metavar="JSON", help="A whole step that takes the place of the one of its id, or is added."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="ID", help="A step to remove; may be given again.")
    ] = None,
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="DIGEST", help="Only if this is still the seal; the current one else.")
    ] = None,
    by: ByOption = None,
    sign_key: SignKeyOption = None,
    ssh_agent: SshAgentOption = False,
    print_command: PrintOption = False,
    as_json: AsJson = False,
) -> int:
    """Change steps of a plan that waits for approval.

    What changes, and what depends on it, is rehearsed and approved again. All other steps keep their previews and their
    approvals. The requester may amend a plan, and so may everyone who may approve it, though not their own proposal.
    """
    problem = None
    if plan_file is not None and (step or remove):
        problem = Problem(where="--step, --remove", message="say nothing beside a whole plan", fix="leave one of them out")
    elif plan_file is None and not step and not remove:
        fix = "say what changes: --step JSON, --remove ID, or a plan file"
        problem = Problem(where="--step, --remove", message="are both missing", fix=fix)
    if problem is not None:
        raise Refusal("the amendment is malformed", [problem])
    handle = (await Airlock.connect()).plan(plan)
    seen = await _current(handle)
    if plan_file is not None:
        fields: dict[str, Any] = {"steps": _whole(handle, plan_file, seen), "whole": True}
    else:
        fields = {"steps": [_step(text) for text in step or ()], "remove": list(remove or ())}
    message = _message(by=me(by), reason=reason, digest=digest or (seen.digest if seen else None), **fields)
    sent = message.model_dump(mode="json", exclude_defaults=True)
    signing = Signing(sign_key, ssh_agent, print_command)
    return await decide(handle, "amend", as_json=as_json, signing=signing, **sent)


async def _current(handle: PlanHandle) -> PreviewView | None:
    """Return the preview that is amended; None if no worker answers, which the sending of the amendment tells."""
    try:
        return await handle.preview()
    except NoAnswer:
        return None


def _whole(handle: PlanHandle, path: Path, seen: PreviewView | None) -> list[dict[str, Any]]:
    """Return the steps of a plan file, which must be of this very plan."""
    read = read_plan(read_document(path), None)
    if problems := _other_plan(handle, read, seen):
        raise PlanError(problems)
    return [step.model_dump(mode="json") for step in read.steps]


def _other_plan(handle: PlanHandle, read: Plan, seen: PreviewView | None) -> list[Problem]:
    if read.plan_id != handle.plan_id:
        fix = f"write {handle.plan_id!r}, or amend {read.plan_id!r}"
        return [Problem(where="plan_id", message=f"is {read.plan_id!r}, not that of the amended plan", fix=fix)]
    if seen is None or seen.sealed is None:
        return []
    return [
        Problem(
            where=field,
            message="differs from that of the plan, and an amendment changes steps only",
            fix=f"write {getattr(seen.sealed, field)!r}, or submit another plan",
        )
        for field in _FIXED
        if getattr(read, field) != getattr(seen.sealed, field)
    ]


def _step(text: str) -> Any:
    try:
        return parse_json(text.encode(errors="surrogateescape"))
    except JsonFault as fault:
        problem = Problem(where="--step", message=fault.message, fix=f"{fault.fix}; on a shell: --step '{{\"id\": ...}}'")
        raise Refusal("the step cannot be read", [problem]) from fault


def _message(**fields: Any) -> Amend:
    try:
        message = parse_message("amend", (fields,))
    except MalformedMessage as error:
        problem = Problem(where="amend", message=str(error).removeprefix("amend: "), fix="correct that step or option")
        raise Refusal("the amendment is malformed", [problem]) from error
    assert isinstance(message, Amend)
    return message
