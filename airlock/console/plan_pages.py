"""The pages of one plan: what it would do and how it stands, one step of it, its audit."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from airlock.client.errors import NoAnswer
from airlock.client.facts import PlanFacts
from airlock.client.plan_handle import PlanHandle
from airlock.console.context import Console, Refusal, number
from airlock.console.plan_view import ANSWER_WITHIN, PlanReader, live_mode, with_changes
from airlock.console.sessions import Session
from airlock.console.signature_need import needs_signature
from airlock.run.presentation.changes import change_of
from airlock.signing.passkey import Passkey


class PlanPages:
    """The pages of plans.

    Args:
        console: The console.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._reader = PlanReader()

    async def plan(self, request: Request) -> Response:
        """Show a plan: its preview, whole or in parts, with what can be decided about it."""
        session = self._console.require(request)
        handle = self._handle(request)
        seen = {"id": handle.plan_id, "plan": await self._console.watch.mark_of_plan(handle.plan_id)}
        try:
            view = await with_changes(await self._reader.read(handle), handle)
        except (NoAnswer, TimeoutError) as error:
            return await self._facts(request, session, handle, str(error))
        place = min(number(request.query_params.get("part", "1")), len(view.parts))
        part = view.parts[place - 1]
        shown = None
        if view.digest is not None:
            signs = view.sealed is not None and needs_signature(view.sealed, self._console.people.config.policy)
            steps = (step.id for step in part)
            shown = session.show(view.workflow_id, view.digest, view.writing, steps, needs_signature=signs)
        return await self._console.page(
            request, session, "plan.html", seen=seen, view=view, part=part, number=place, shown=shown, live_mode=live_mode,
            plan_id=handle.plan_id, known_keys=self._known_keys,
        )  # fmt: skip

    async def status(self, request: Request) -> Response:
        """Show how a plan stands now, for a page that is open: it keeps the preview that it shows."""
        session = self._console.require(request)
        handle = self._handle(request)
        try:
            view = await self._reader.read(handle)
        except (NoAnswer, TimeoutError):
            return Response(status_code=204)
        seen, state = request.query_params.get("digest", ""), request.query_params.get("state", "")
        return self._console.part(
            session, "plan_status.html", view=view, plan_id=handle.plan_id, seen=seen, state=state,
            known_keys=self._known_keys,
        )  # fmt: skip

    async def step(self, request: Request) -> Response:
        """Show one step with all its values, whatever it does."""
        session = self._console.require(request)
        handle = self._handle(request)
        sealed = (await handle.preview()).sealed
        step = None if sealed is None else change_of(sealed, request.path_params["step"])
        if step is None:
            raise Refusal("this preview has no such step")
        return await self._console.page(request, session, "step.html", step=step, plan_id=handle.plan_id)

    async def audit(self, request: Request) -> Response:
        """Show everything that the run recorded, oldest first."""
        session = self._console.require(request)
        handle = self._handle(request)
        audit = await asyncio.wait_for(handle.audit(), ANSWER_WITHIN)
        return await self._console.page(
            request, session, "audit.html", audit=audit, plan_id=handle.plan_id, known_keys=self._known_keys
        )

    @property
    def _known_keys(self) -> tuple[Passkey, ...]:
        return self._console.people.config.policy.passkeys

    def _handle(self, request: Request) -> PlanHandle:
        return self._console.airlock.plan(request.path_params["plan"])

    async def _facts(self, request: Request, session: Session, handle: PlanHandle, why: str) -> Response:
        facts: PlanFacts = await handle.facts()
        why = why or "no worker has answered in time"
        return await self._console.page(request, session, "facts.html", facts=facts, why=why, plan_id=handle.plan_id)
