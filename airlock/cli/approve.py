"""`approve`: the one command that lets a plan go live, and only as its approver has seen it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from airlock.base.errors import Problem
from airlock.base.incoming import MalformedMessage
from airlock.base.keys import SignatureError
from airlock.cli.asking import ended_by_ctrl_c
from airlock.cli.decisions import ByOption, decide, me
from airlock.cli.display.hints import preview_as_started
from airlock.cli.display.preview_screen import say_preview
from airlock.cli.output import AsJson, Refusal, command
from airlock.cli.show import PlanName
from airlock.cli.signing import PrintOption, Signing, SignKeyOption, SshAgentOption, private_key
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
    sign_key: SignKeyOption = None,
    ssh_agent: SshAgentOption = False,
    print_command: PrintOption = False,
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
    signing = Signing(sign_key, ssh_agent, print_command)
    if signing.wanted:
        _require_long(seen)
        approval, signing = await to_be_signed(handle, approval, signing)
    fields = approval.model_dump(mode="json", exclude_none=True)
    return await decide(handle, "approve", as_json=as_json, signing=signing, **fields)


async def to_be_signed(handle: PlanHandle, approval: Approve, signing: Signing) -> tuple[Approve, Signing]:
    """Return the approval with the whole digest of what it names, and how it is signed.

    An approval that names another seal stays unsigned: the plan refuses it, and says what has changed since. One of a plan
    that an older version admitted is signed here, in the older form.
    """
    preview, unsigned = await handle.preview(), replace(signing, key=None, agent=False)
    if preview.digest is None or not names_digest(approval.digest, preview.digest):
        return approval, unsigned
    if (await handle.status()).nonce:
        return approval.model_copy(update={"digest": preview.digest}), signing
    if signing.key is None:
        problem = Problem(where="--ssh-agent", message="signs nothing for a plan of an older version", fix="use --sign-key")
        raise Refusal("the approval cannot be signed", [problem])
    return _signed(handle.plan_id, approval, preview, signing.key), unsigned


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
    say_preview(preview)
    open_still = preview.state is State.AWAITING_APPROVAL  # otherwise the plan's own answer says how it ended
    if ask and open_still:
        with ended_by_ctrl_c():
            sure = typer.confirm("Approve exactly this?")
        if not sure:
            raise Refusal("not approved")
    return preview.digest


def _approval(**fields: object) -> Approve:
    try:
        message = parse_message("approve", (fields,))
    except MalformedMessage as error:
        problem = Problem(where="approve", message=str(error).removeprefix("approve: "), fix="correct that option")
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


def _signed(plan_id: str, approval: Approve, preview: PreviewView, key_file: Path) -> Approve:
    """Return the approval with a signature in the older form."""
    assert preview.digest is not None
    key = private_key(key_file)
    try:
        if key is None:
            raise SignatureError("for a plan of an older version only the file of a private key signs")
        signature = sign(key, plan_id, approval, preview.digest)
    except SignatureError as error:
        raise Refusal(f"the approval cannot be signed: {error}") from error
    return approval.model_copy(update={"signature": signature})
