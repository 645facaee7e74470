"""The preview as text: a plan/apply diff that ends in the exact command to approve it."""

import json
import re
import shlex
from collections.abc import Iterator
from itertools import chain

from airlock.base.names import plan_workflow_id, undo_workflow_id
from airlock.base.text import printable
from airlock.plans.contract import Mode
from airlock.run.derived import derived_mark
from airlock.run.sealed import Sealed, SealedStep
from airlock.run.undo_preview import undo_lines

_SIGNS = {"read_only": "·", "reversible": "~", "compensable": "~", "irreversible": "!"}
_WIDTH = 160
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,99}")


def render_preview(sealed: Sealed, digest: str) -> str:
    """Return the whole preview as plain text, made from the sealed content and its digest alone."""
    return "\n".join(_lines(sealed, digest))


def beginning_of_preview(sealed: Sealed, digest: str, size: int) -> str:
    """Return the first lines of the preview with at least `size` characters, or all; the rest is not even made."""
    lines: list[str] = []
    length = 0
    for line in _lines(sealed, digest):
        lines.append(line)
        length += len(line) + 1
        if length > size:
            break
    return "\n".join(lines)


def _lines(sealed: Sealed, digest: str) -> Iterator[str]:
    about = _about(sealed) if sealed.undo is None else undo_lines(sealed, sealed.undo)
    return map(printable, chain(about, ("", f"Digest: {digest}", ""), _commands(sealed, digest)))


def _about(sealed: Sealed) -> Iterator[str]:
    return chain(_header(sealed), ("",), _steps(sealed), _conflicts(sealed), _rollback(sealed))


def approve_command(sealed: Sealed, digest: str) -> str:
    """Return the Temporal CLI command that approves this seal, ready to paste into a shell."""
    agents = (name for step in sealed.steps for name in (step.agent, step.moved_from))
    barred = {sealed.requested_by, *agents, *(step.agent for step in (sealed.undo.steps if sealed.undo else ()))}
    approver = next((name for name in sealed.approvers if name not in barred), "YOUR-NAME")
    message = json.dumps({"by": approver, "digest": digest[:16]})
    workflow = plan_workflow_id(sealed.plan_id) if sealed.undo is None else undo_workflow_id(sealed.plan_id)
    return f"temporal workflow signal --workflow-id {workflow} --name approve --input {shlex.quote(message)}"


def _header(sealed: Sealed) -> Iterator[str]:
    yield f"Plan {sealed.plan_id}: {json.dumps(sealed.goal, ensure_ascii=False) if sealed.goal else '(no goal given)'}"
    yield f"requested by {_name(sealed.requested_by)}, submitted {sealed.submitted_at}" + "".join(
        f", {name} {value}"
        for name, value in (
            ("phase 21 plan", sealed.phase21_plan_id),
            ("phase 22 validation", sealed.phase22_validation_id),
            ("deadline", sealed.deadline),
        )
        if value
    )
    if sealed.replaces:
        yield f"replaces the preview {sealed.replaces[:16]}: what was approved then must be approved again"
    live = sealed.live_steps
    below = [step for step in sealed.steps if step.ceiling is not Mode.LIVE]
    already = [step for step in sealed.steps if step.already_live]
    yield (
        f"{len(live)} of {len(sealed.steps)} steps would go LIVE"
        + (f", {len(below)} stay below" if below else "")
        + (f", {len(already)} are live already and are not repeated" if already else "")
    )


def _steps(sealed: Sealed) -> Iterator[str]:
    for step in sealed.steps:
        yield from _step(step)
        yield ""


def _step(step: SealedStep) -> Iterator[str]:
    state = "already LIVE" if step.already_live else step.ceiling.value
    kind = f"[{step.risk}, {step.reversibility}]"
    yield f"  {_SIGNS[step.reversibility]} {step.id}  {_name(step.tool)}  by {_name(step.agent)}  {kind} -> {state}"
    yield from _beside_the_call(step)
    if step.preview is not None and not step.already_live:
        yield f"      effect: {step.preview.effect}"
        for name, value in sorted(step.preview.args.items()):
            yield f"        {name} = {_short(value)}{derived_mark(step, name)}"
        if step.preview.observed is not None:
            yield f"      relies on: {_short(step.preview.observed)}"
        if not step.preview.looked:
            yield "      not looked at: the outcome is (known after live)"
    for reason in step.reasons:
        yield f"      ceiling: {reason}"
    if step.ceiling is Mode.LIVE and not step.already_live:
        yield f"      undo: {step.undo}"
        if step.approval_waived:
            yield "      approval: waived by the policy"


def _beside_the_call(step: SealedStep) -> Iterator[str]:
    if step.dedupe_key is not None:
        key = _name(step.dedupe_key)
        yield f"      dedupe key: {key} (counts as the same call only with the same key, whatever the arguments are)"
    if step.moved_from is not None:
        yield f"      agent moved from {_name(step.moved_from)} to {_name(step.agent)}"
    if step.after:
        yield f"      after: {', '.join(step.after)}"


def _conflicts(sealed: Sealed) -> Iterator[str]:
    if sealed.conflicts:
        yield "Conflicts:"
        for conflict in sealed.conflicts:
            yield f"  {conflict.kind.value} -> {conflict.answer.value}: {conflict.detail}"
        yield ""


def _rollback(sealed: Sealed) -> Iterator[str]:
    if sealed.order:
        yield f"Order of the calls: {', '.join(sealed.order)}"
    if sealed.point_of_no_return:
        step = sealed.point_of_no_return
        yield f"Point of no return: {step} (what it does cannot be undone; it comes as late as the plan allows)"
    elif sealed.order:
        yield "Point of no return: none, every call of this plan can be undone or only reads"
    yield (
        "If a call fails: what is live is undone in reverse order"
        if sealed.rolls_back_on_failure
        else "If a call fails: the plan stops and waits for a human (the policy does not roll back by itself)"
    )


def _commands(sealed: Sealed, digest: str) -> Iterator[str]:
    who = f" ({', '.join(sealed.approvers)})" if sealed.approvers else ""
    needed = f"{sealed.approvals_required} approval(s) by a person other than {sealed.requested_by}{who}"
    yield f"Needs {needed} within {sealed.approval_timeout}."
    if sealed.approval_valid_for is not None:
        yield f"An approval is valid for {sealed.approval_valid_for}: a call that begins later needs another one."
    if sealed.signature_required != "never":
        yield f"Signatures are required ({sealed.signature_required}): approve with airlock approve --sign-key"
    yield "To approve exactly this:"
    yield f"  {approve_command(sealed, digest)}"


def _short(value: object) -> str:
    """Return a value as JSON, a long one cut in the middle; a run of spaces is counted, so that it can hide nothing."""
    text = re.sub(" {4,}", lambda run: f"⟨{len(run[0])} spaces⟩", json.dumps(value, ensure_ascii=False, sort_keys=True))
    if len(text) <= _WIDTH:
        return text
    return f"{text[: _WIDTH - 60]} … {text[-60:]} ({len(text)} characters, all of them sealed)"


def _name(text: str) -> str:
    """Return a plain word as it is, any other name quoted in ASCII: it must not read like part of the preview."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=True)
