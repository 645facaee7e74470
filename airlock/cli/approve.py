"""`approve`: the one command that lets a plan go live, and only as its approver has seen it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from airlock.base.errors import Problem
from airlock.base.incoming import MalformedMessage
from airlock.base.keys import SignatureError
from airlock.cli.decisions import ByOption, decide, me
from airlock.cli.hints import preview_as_started
from airlock.cli.output import AsJson, Refusal, command, say
from airlock.cli.show import PlanName
from airlock.client import Airlock, PlanHandle
from airlock.plans.seal import SIGNED_PREFIX_LENGTH, names_digest
from airlock.plans.state import State
from airlock.program import program
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve, parse_message
from airlock.run.presentation.views import PreviewView


@command
async def approve(
    plan: PlanName,
    digest: Annotated[
        str | None,
        typer.Option(
            "--digest",
            metavar="DIGEST",
            help="The digest of the preview you have seen, or its first 12 characters; 32 to sign it.",
        ),
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="A,B", help="Approve only these steps, with commas between.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason; it is recorded.")] = "",
    by: ByOption = None,
    sign_key: Annotated[
        Path | None,
        typer.Option("--sign-key", metavar="FILE", help="Sign with this Ed25519 key, as made by ssh-keygen."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="On a terminal: approve what is shown without being asked.")] = False,
    as_json: AsJson = False,
) -> int:
    """Approve exactly the preview you have seen.

    Without --digest the command shows the preview on a terminal and asks. Elsewhere --digest is required: nothing is
    approved unseen.
    """
    handle = (await Airlock.connect()).plan(plan)
    seen = digest if digest is not None else await _seen(handle, ask=not yes, as_json=as_json)
    chosen = None if steps is None else tuple(step.strip() for step in steps.split(",") if step.strip())
    approval = _approval(by=me(by), digest=seen, steps=chosen, reason=reason)
    if sign_key is not None:
        _require_long(seen)
        approval = signed(handle.plan_id, approval, await handle.preview(), sign_key)
    return await decide(handle, "approve", as_json=as_json, **approval.model_dump(mode="json", exclude_none=True))


async def _seen(handle: PlanHandle, *, ask: bool, as_json: bool) -> str:
    """Show the preview, ask the approver, and return its digest."""
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        await handle.require_open()  # first: there may be no preview from which to take a digest
        problem = Problem(
            where="--digest",
            message="nothing is approved unseen",
            fix=f"read the preview with: {program()} show {handle.plan_id}; then name its digest: --digest ...",
        )
        raise Refusal("--digest is required here", [problem])
    preview = preview_as_started(await handle.preview())
    if preview.digest is None:
        raise Refusal(preview.text)
    say(preview.text)
    open_still = preview.state is State.AWAITING_APPROVAL  # otherwise the plan's own answer says how it ended
    if ask and open_still and not typer.confirm("Approve exactly this?"):
        raise Refusal("not approved")
    return preview.digest


def _approval(**fields: object) -> Approve:
    try:
        message = parse_message("approve", (fields,))
    except MalformedMessage as error:
        problem = Problem(where="approve", message=str(error), fix="correct that option")
        raise Refusal("the approval is malformed", [problem]) from error
    assert isinstance(message, Approve)
    return message


def _require_long(digest: str) -> None:
    """Refuse to sign a seal that is named by so little of its digest that another preview may have been shown."""
    if len(digest.strip()) < SIGNED_PREFIX_LENGTH:
        problem = Problem(
            where="--digest",
            message="names too little to be signed: another preview can be made that begins like it",
            fix=f"name the digest as the line `Digest:` of the preview does, or {SIGNED_PREFIX_LENGTH} of its characters",
        )
        raise Refusal("the approval cannot be signed", [problem])


def signed(plan_id: str, approval: Approve, preview: PreviewView, key_file: Path) -> Approve:
    """Return the approval with its signature.

    An approval that names another seal stays unsigned. The plan refuses it, and says what has changed since.
    """
    if preview.digest is None or not names_digest(approval.digest, preview.digest):
        return approval
    try:
        key = key_file.read_bytes()
    except OSError as error:
        problem = Problem(where="--sign-key", message=f"{key_file}: {error.strerror}", fix="name a private key file")
        raise Refusal("the approval cannot be signed", [problem]) from error
    try:
        signature = sign(key, plan_id, approval, preview.digest)
    except SignatureError as error:
        if "password" not in str(error).lower() or not sys.stdin.isatty():
            raise Refusal(f"the approval cannot be signed: {error}") from error
        password = typer.prompt(f"Password of {key_file}", hide_input=True).encode()
        signature = sign(key, plan_id, approval, preview.digest, password)
    return approval.model_copy(update={"signature": signature})
