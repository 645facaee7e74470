"""The page on which steps of a plan are amended, and the amendment that its form makes."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from airlock.base.errors import AirlockError
from airlock.base.incoming import Verdict
from airlock.base.visible import is_invisible
from airlock.client.plan_handle import PlanHandle
from airlock.console.context import Console, Refusal, back, one
from airlock.console.decisions import Decisions
from airlock.console.plan_view import ANSWER_WITHIN
from airlock.console.rendering import plan_path
from airlock.console.sessions import Session
from airlock.plans.refs import referenced_steps
from airlock.plans.state import State
from airlock.run.presentation.views import PreviewView
from airlock.run.sealing.sealed import SealedStep


@dataclass(frozen=True)
class Typed:
    """The words of a person in the form, which stay there when the plan refuses them."""

    steps: str = ""
    remove: str = ""
    reason: str = ""


class AmendPages:
    """The pages that amend plans.

    Args:
        console: The console.
        decisions: The decisions of its sessions, of which an amendment is one.
    """

    def __init__(self, console: Console, decisions: Decisions) -> None:
        self._console = console
        self._decisions = decisions

    async def form(self, request: Request) -> Response:
        """Show the form, with a step as it is if the address names one."""
        session = self._console.require(request)
        handle = self._handle(request)
        preview = await asyncio.wait_for(handle.preview(), ANSWER_WITHIN)
        if problem := _problem(preview):
            raise Refusal(problem)
        typed = Typed(steps=_step_as_it_is(preview, request.query_params.get("step")))
        return await self._page(request, session, handle, typed, digest=preview.digest or "")

    async def amend(self, request: Request) -> Response:
        """Amend the plan under the name of the session; what it refuses comes back in the form with the reason."""
        session, form = await self._console.posted(request)
        handle = self._handle(request)
        digest = one(form, "digest")
        try:
            verdict = await self._decisions.send(session, handle.plan_id, "amend", form)
        except AirlockError as error:
            verdict = Verdict(accepted=False, reason="; ".join(str(error).splitlines()))
        session.tell("amend", verdict)
        if verdict.accepted:
            await _rehearsed(handle)
            return back(plan_path(handle.plan_id))
        typed = Typed(*(one(form, name).replace("\r\n", "\n") for name in ("steps", "remove", "reason")))
        return await self._page(request, session, handle, typed, digest=digest, present=await _present(handle))

    def _handle(self, request: Request) -> PlanHandle:
        return self._console.airlock.plan(request.path_params["plan"])

    async def _page(
        self, request: Request, session: Session, handle: PlanHandle, typed: Typed, *, digest: str, present: str = ""
    ) -> Response:
        """Return the form for the present preview, which it says to be another one than it was made for."""
        return await self._console.page(
            request, session, "amend.html", typed=typed, plan_id=handle.plan_id, digest=present or digest,
            replaced=bool(present) and present != digest,
        )  # fmt: skip


async def _rehearsed(handle: PlanHandle) -> None:
    """Wait a little for the amended preview: the page that follows would show the one before, and say that it is old."""
    with contextlib.suppress(AirlockError, TimeoutError):
        await asyncio.wait_for(handle.wait_for(State.AWAITING_APPROVAL), ANSWER_WITHIN)


async def _present(handle: PlanHandle) -> str:
    """Return the digest of the present preview; empty if it cannot be told now, or there is none."""
    try:
        return (await asyncio.wait_for(handle.preview(), ANSWER_WITHIN)).digest or ""
    except (AirlockError, TimeoutError):  # what was typed is shown in any case
        return ""


def _problem(preview: PreviewView) -> str:
    """Return the reason why a plan is not amended now; empty if it may be. The plan itself judges the rest."""
    if preview.sealed is None or preview.state is not State.AWAITING_APPROVAL:
        return f"only a plan that waits for approval is amended; this one is in {preview.state.value}"
    if preview.sealed.undo is not None:
        return "an undo is not amended: abort it, and ask for another one"
    return ""


def _step_as_it_is(preview: PreviewView, name: str | None) -> str:
    """Return a step of a preview as a plan file writes it; empty without a name.

    Raises:
        Refusal: If there is no such step.
    """
    if name is None or preview.sealed is None:
        return ""
    step = next((step for step in preview.sealed.steps if step.id == name), None)
    if step is None:
        raise Refusal("this preview has no such step")
    return "".join(map(_typed, json.dumps(_written(step), indent=2, ensure_ascii=False)))


def _written(step: SealedStep) -> dict[str, Any]:
    read = referenced_steps(step.args)
    after = [parent for parent in step.after if parent not in read]
    written: dict[str, Any] = {"id": step.id, "agent": step.moved_from or step.agent, "tool": step.tool, "args": step.args}
    written |= {"confidence": step.confidence}
    return written | ({"after": after} if after else {}) | ({"dedupe_key": step.dedupe_key} if step.dedupe_key else {})


def _typed(character: str) -> str:
    """Return a character of JSON; one that draws nothing as its escape, so that a person sees what is sent."""
    hides = is_invisible(character) or not character.isprintable()
    return json.dumps(character)[1:-1] if hides and character != "\n" else character
