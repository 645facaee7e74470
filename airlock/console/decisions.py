"""The decisions of a session. Each is the update of a plan or of the live gate, under the name of who signed in."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airlock.base.errors import AirlockError
from airlock.base.incoming import Verdict
from airlock.base.json_text import JsonFault, parse_json
from airlock.base.names import workflow_id_of
from airlock.base.person import folded
from airlock.base.text import count, listed
from airlock.base.visible import visible
from airlock.client.live_gate import LiveGate
from airlock.client.signing import ToSign
from airlock.client.undo import undo, undo_to_sign
from airlock.console.amendment_form import amendment_of
from airlock.console.context import Console, Form, Refusal, back, one, required
from airlock.console.passkeys import signing_options
from airlock.console.rendering import plan_path
from airlock.console.sessions import Notice, Session
from airlock.console.tickets import Tickets, Wanted
from airlock.program import as_started
from airlock.run.messages import MESSAGES
from airlock.signing.evidence import DecisionEvidence

MOST_AT_ONCE = 100
"""Plans that one form approves."""
_UNDO = "undo"
"""The name of the request for an undo after the end, in addresses of this console."""


class Decisions:
    """The decisions that forms make.

    Args:
        console: The console.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._gate = LiveGate(console.airlock.client)
        self._tickets = Tickets()

    async def plan(self, request: Request) -> Response:
        """Decide about one plan."""
        session, form = await self._console.posted(request)
        plan_id, decision = request.path_params["plan"], request.path_params["decision"]
        try:
            session.tell(decision, await self.send(session, plan_id, decision, form))
        except AirlockError as error:
            session.tell(decision, Verdict(accepted=False, reason=str(error)))
        if one(form, "then") == "next" and session.notices and session.notices[-1].accepted:
            return back(await self._next(plan_id, session))
        return back(plan_path(plan_id))

    async def send(self, session: Session, plan_id: str, decision: str, form: Form) -> Verdict:
        """Send the decision of a form about a plan, and return the verdict.

        Raises:
            AirlockError: If the form makes no such decision, or the plan cannot answer.
        """
        return await self._send(session, self._wanted(session, plan_id, decision, form), form)

    async def gate(self, request: Request) -> Response:
        """Lock or unlock everything, or a scope."""
        session, form = await self._console.posted(request)
        wanted = _gate_decision(session, request.path_params["decision"], form)
        try:
            session.tell(f"system {wanted.decision}", await self._send(session, wanted, form))
        except AirlockError as error:
            session.tell(f"system {wanted.decision}", Verdict(accepted=False, reason=str(error)))
        await self._console.watch.lock(fresh=True)
        return back("/lock")

    async def several(self, request: Request) -> Response:
        """Approve several plans, each as it was opened in this session."""
        session, form = await self._console.posted(request)
        chosen = list(dict.fromkeys(form.get("plan", [])))[:MOST_AT_ONCE]
        done: list[str] = []
        for each in chosen:
            plan_id, _, digest = each.partition(" ")
            try:
                shown = session.was_shown(workflow_id_of(plan_id), digest)
                if shown is not None and shown.needs_signature:
                    raise Refusal("it needs your signature: approve it on its own page")
                verdict = await self._send(session, self._wanted(session, plan_id, "approve", _whole(digest)), {})
            except AirlockError as error:
                verdict = Verdict(accepted=False, reason=str(error))
            if verdict.accepted:
                done.append(plan_id)
            else:
                session.tell(f"{plan_id}: approve", verdict)
        if done:
            session.notices.insert(0, Notice(f"approved: {count(len(done), 'plan')} ({listed(done)})", accepted=True))
        await self._console.watch.inbox(fresh=True)
        return back("/")

    async def one_of_several(self, request: Request) -> Response:
        """Approve one of several plans for the page that goes through them, signed if the form has a signature."""
        session, form = await self._console.posted(request)
        try:
            plan_id, digest = request.path_params["plan"], one(form, "digest")
            verdict = await self._send(session, self._wanted(session, plan_id, "approve", _whole(digest)), form)
        except AirlockError as error:
            verdict = Verdict(accepted=False, reason=str(error))
        except TimeoutError:
            verdict = Verdict(accepted=False, reason="no worker has answered in time: open the plan and look")
        return JSONResponse({"accepted": verdict.accepted, "reason": visible(as_started(verdict.reason))})

    async def undo(self, request: Request) -> Response:
        """Ask for the undo of a plan that has ended; another person must approve it."""
        session, form = await self._console.posted(request)
        plan_id = request.path_params["plan"]
        try:
            wanted, evidence = _undo(session, plan_id, form), None
            if ticket := one(form, "ticket"):
                signed = self._tickets.take(session, ticket, wanted)
                evidence = signed.with_passkey(_assertion(one(form, "assertion")))
            asked = await undo(self._console.airlock.client, plan_id, **wanted.fields, evidence=evidence)
        except AirlockError as error:
            session.tell("undo", Verdict(accepted=False, reason=str(error)))
            return back(plan_path(plan_id))
        session.tell("undo", Verdict(accepted=True, reason="its preview is made now; another person must approve it"))
        return back(plan_path(asked.plan_id))

    async def to_sign(self, request: Request) -> Response:
        """Return what a passkey must sign for a decision, and a ticket for the form that follows."""
        session, form = await self._console.posted(request)
        try:
            wanted = self._posted_to(session, one(form, "action"), form)
            passkeys = self._console.people.passkeys_of(session.person)
            if not passkeys:
                raise Refusal("no passkey of yours is registered for this console")
            signed = await self._signed(wanted)
        except AirlockError as error:
            return JSONResponse({"error": str(error)}, 409)
        options = json.loads(signing_options(self._console.config, signed.challenge, passkeys))
        ticket = self._tickets.add(session, wanted, signed)
        return JSONResponse({"ticket": ticket, "options": options})

    async def _signed(self, wanted: Wanted) -> ToSign:
        if wanted.plan_id is not None and wanted.decision == _UNDO:
            return await undo_to_sign(self._console.airlock.client, wanted.plan_id, **wanted.fields)
        if wanted.plan_id is not None:
            return await self._console.airlock.plan(wanted.plan_id).to_sign(wanted.decision, **wanted.fields)
        fields = wanted.fields
        return await self._gate.to_sign(wanted.decision, fields["by"], fields["reason"], fields["scope"])

    async def _send(self, session: Session, wanted: Wanted, form: Form) -> Verdict:
        """Send a decision, with the passkey's answer if the form has one."""
        if ticket := one(form, "ticket"):
            signed = self._tickets.take(session, ticket, wanted)
            evidence = signed.with_passkey(_assertion(one(form, "assertion")))
            return await self._with_evidence(wanted, signed, evidence)
        if wanted.plan_id is not None:
            return await self._console.airlock.plan(wanted.plan_id).decide(wanted.decision, **wanted.fields)
        send = self._gate.lock if wanted.decision == "lock" else self._gate.unlock
        return await send(wanted.fields["by"], wanted.fields["reason"], wanted.fields["scope"])

    async def _with_evidence(self, wanted: Wanted, signed: ToSign, evidence: DecisionEvidence) -> Verdict:
        if wanted.plan_id is not None:
            return await self._console.airlock.plan(wanted.plan_id).decide_signed(signed, evidence)
        return await self._gate.decide_signed(signed, evidence)

    def _posted_to(self, session: Session, action: str, form: Form) -> Wanted:
        """Return the decision that a form makes which is posted to an address of this console."""
        match unquote(action).split("/"):
            case ["", "plans", plan_id, decision] if decision == _UNDO:
                return _undo(session, plan_id, form)
            case ["", "plans", plan_id, decision]:
                return self._wanted(session, plan_id, decision, form)
            case ["", "lock", decision]:
                return _gate_decision(session, decision, form)
            case _:
                raise Refusal("there is no such decision")

    def _wanted(self, session: Session, plan_id: str, decision: str, form: Form) -> Wanted:
        if decision not in MESSAGES:
            raise Refusal("there is no such decision")
        handle = self._console.airlock.plan(plan_id)
        fields: dict[str, Any] = {"by": session.person}
        if decision == "approve":
            fields |= _approval(session, handle.workflow.id, form)
        else:
            fields["reason"] = required(form, "reason")
        if decision == "amend":
            fields |= amendment_of(form)
        if decision == "deny":
            fields["digest"] = one(form, "digest") or None
        if decision == "rollback":
            fields["to_step"] = one(form, "to_step") or None
        if decision == "resolve":
            fields |= {"step": one(form, "step"), "outcome": one(form, "outcome"), "output": _output(one(form, "output"))}
        return Wanted(decision, {name: value for name, value in fields.items() if value is not None}, handle.plan_id)

    async def _next(self, plan_id: str, session: Session) -> str:
        """Return the page of the next plan that this session has not dealt with; the inbox if there is none."""
        inbox = await self._console.watch.inbox(fresh=True)
        rest = [item for item in inbox.chosen(session.filter) if item.plan_id != plan_id and item.kind == "approval"]
        fresh = [item for item in rest if folded(session.person) not in map(folded, item.approvals)]
        return plan_path(fresh[0].plan_id) if fresh else "/"


def _approval(session: Session, workflow_id: str, form: Form) -> dict[str, Any]:
    """Return the fields of an approval: of what this session was shown, and of nothing else.

    Raises:
        Refusal: If the session was not shown what it approves.
    """
    digest, steps = one(form, "digest"), _steps(form)
    shown = session.was_shown(workflow_id, digest)
    if shown is None:
        raise Refusal("this preview was not shown in your session: open it first")
    unseen = sorted((shown.writing if steps is None else shown.writing & set(steps)) - shown.steps)
    if unseen:
        raise Refusal(f"not all of it was shown in your session: open the parts with {listed(unseen)}")
    reason = one(form, "reason")
    return {"digest": digest, "steps": steps, **({"reason": reason} if reason else {})}


def _whole(digest: str) -> Form:
    """Return the form of an approval of a whole preview, which gives no reason."""
    return {"digest": [digest]}


def _steps(form: Form) -> list[str] | None:
    """Return the steps that are approved; None for the whole plan."""
    if one(form, "offered"):
        chosen, offered = form.get("step", []), one(form, "offered").split(",")
        if not chosen:
            raise Refusal("no step is chosen: choose one at least, or deny the plan")
        return None if set(chosen) >= set(offered) else sorted(set(chosen))
    named = [step.strip() for step in one(form, "only").split(",") if step.strip()]
    return named or None


def _undo(session: Session, plan_id: str, form: Form) -> Wanted:
    """Return the request for the undo of a plan that has ended."""
    fields = {"by": session.person, "reason": required(form, "reason"), "to_step": one(form, "to_step") or None}
    return Wanted(_UNDO, fields, plan_id)


def _gate_decision(session: Session, decision: str, form: Form) -> Wanted:
    if decision not in ("lock", "unlock"):
        raise Refusal("there is no such decision")
    fields = {"by": session.person, "reason": required(form, "reason"), "scope": one(form, "scope").strip() or None}
    return Wanted(decision, fields)


def _output(text: str) -> Any:
    if not text.strip():
        return None
    try:
        return parse_json(text.encode(errors="surrogateescape"))
    except JsonFault as fault:
        raise Refusal(f"output: {fault.message}; {fault.fix}") from fault


def _assertion(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text[:20_000])
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refusal("the browser sent no signature of a passkey")
    return found
