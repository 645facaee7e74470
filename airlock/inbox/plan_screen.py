"""The page of one plan: its checked preview, its state kept up to date, and every decision about it."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from temporalio.service import RPCError
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Footer, RichLog, Static

from airlock.base.errors import AirlockError
from airlock.base.json_text import JsonFault, parse_json
from airlock.client import NoAnswer, PlanHandle
from airlock.inbox.dialogs import Answer, Choice, Question
from airlock.inbox.messages import nothing
from airlock.inbox.person import Person
from airlock.inbox.questions import approval, denial, reasoned, settlement
from airlock.inbox.texts import folded_rows, heading, line, preview_lines
from airlock.run.presentation.preview_check import fitting_status
from airlock.run.presentation.views import PreviewView, StatusView

EVERY = 2.0
"""Seconds between two looks at the plan's state."""


class PlanScreen(Screen[None]):
    """One plan. What is approved is the digest of the preview that this page shows, and no other.

    Args:
        handle: The plan.
        person: The person who decides.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "approve", "Approve"),
        Binding("d", "deny", "Deny"),
        Binding("l", "lock", "Lock"),
        Binding("u", "unlock", "Unlock"),
        Binding("b", "rollback", "Roll back"),
        Binding("r", "resolve", "Settle"),
        Binding("g", "read", "Reload"),
        Binding("escape", "app.pop_screen", "Back"),
    ]

    def __init__(self, handle: PlanHandle, person: Person) -> None:
        super().__init__()
        self._handle = handle
        self._person = person
        self.preview: PreviewView | None = None
        """The preview on the screen; its digest covers all of it."""
        self.status: StatusView | None = None
        self._width = 0
        # held, not searched for: an answer may come when the page is being closed
        self._heading = Static(line(handle.plan_id, "bold"), id="heading", markup=False)
        # the least width of a log is 78 unless given: a narrower terminal would cut off the ends of lines
        self._log = RichLog(id="preview", min_width=1, wrap=True, markup=False, highlight=False, auto_scroll=False)
        self.message = nothing()
        """The line of answers and problems."""

    def compose(self) -> ComposeResult:
        """Yield the heading, the preview, the message line and the keys."""
        yield self._heading
        yield self._log
        yield self.message
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Read the plan, and follow its state."""
        self._log.focus()
        self._follow()

    def on_resize(self, event: Resize) -> None:
        """Wrap the preview again for another width."""
        if event.size.width != self._width:
            self._width = event.size.width
            self._show_preview()

    @work(group="following", exclusive=True)
    async def _follow(self) -> None:
        while True:
            await self._look(again=self.preview is None or self.preview.digest is None)
            if self.status is not None and self.status.state.closed:
                return
            await asyncio.sleep(EVERY)

    async def _look(self, *, again: bool) -> None:
        """Read the state, and the preview too where there was none: what a person reads is not replaced under them."""
        try:
            status = await self._handle.status()
            if again:
                self.preview = await self._handle.preview()
                self._show_preview()
        except (AirlockError, RPCError) as error:
            self.message.problem(f"This page is not up to date: {error}")
            return
        if self.message.said.startswith("This page is not"):
            self.message.tell("")
        preview = self.preview
        changed = preview is not None and preview.digest is not None and status.digest not in (None, preview.digest)
        # what follows from the digest is taken from the checked preview: nothing shows who answered for the state
        self.status = status if preview is None else fitting_status(status, preview)
        self._heading.update(heading(self.status, datetime.now(UTC), changed=changed))

    def _show_preview(self) -> None:
        if self.preview is None or not self.is_attached:
            return
        self._log.clear()
        for each in preview_lines(self.preview.text):
            for row in folded_rows(each, self._log.scrollable_content_region.width):
                self._log.write(row, scroll_end=False)

    @work(group="reading", exclusive=True)
    async def action_read(self) -> None:
        """Read the state and the preview again."""
        await self._look(again=True)

    @work(group="decision", exclusive=True)
    async def action_approve(self) -> None:
        """Ask, with the digest on the screen, and approve it: the whole plan, or some of its steps."""
        preview = self.preview
        if preview is None or preview.digest is None or preview.sealed is None:
            self.message.problem("There is no preview on this page that could be approved.")
            return
        answer = await self._asked(approval(preview))
        if answer is not None:
            steps = None if answer.steps is None else list(answer.steps)
            await self._decide("approve", digest=preview.digest, steps=steps, reason=answer.reason)

    @work(group="decision", exclusive=True)
    async def action_deny(self) -> None:
        """Ask for a reason, and deny the preview on the screen."""
        digest = None if self.preview is None else self.preview.digest
        answer = await self._asked(denial(self._handle.plan_id, digest))
        if answer is not None:
            await self._decide("deny", digest=digest, reason=answer.reason)

    def action_lock(self) -> None:
        """Ask for a reason, and stop the plan."""
        self._with_reason("lock")

    def action_unlock(self) -> None:
        """Ask for a reason, and let a locked plan go on."""
        self._with_reason("unlock")

    def action_rollback(self) -> None:
        """Ask for a reason, and undo what is live."""
        self._with_reason("rollback")

    @work(group="decision", exclusive=True)
    async def _with_reason(self, decision: str) -> None:
        answer = await self._asked(reasoned(decision, self._handle.plan_id))
        if answer is not None:
            more = {"to_step": answer.detail} if decision == "rollback" else {}
            await self._decide(decision, reason=answer.reason, **more)

    @work(group="decision", exclusive=True)
    async def action_resolve(self) -> None:
        """Ask which step is settled and how, and settle it."""
        status = self.status
        if status is None or not status.parked:
            self.message.problem("No step of this plan waits to be settled.")
            return
        step: str | None = status.parked[0]
        if len(status.parked) > 1:
            step = await self.app.push_screen_wait(Choice("Which step is settled?", status.parked))
        view = next((each for each in status.steps if each.id == step), None)
        answer = None if view is None else await self._asked(settlement(self._handle.plan_id, view))
        if answer is None:
            return
        try:
            output = parse_json(answer.detail.encode()) if answer.detail else None
        except JsonFault as fault:
            self.message.problem(f"Nothing was sent: the output {fault.message}; {fault.fix}")
            return
        await self._decide("resolve", step=step, outcome=answer.choice, reason=answer.reason, output=output)

    async def _asked(self, question: Question) -> Answer | None:
        self.message.tell("")
        return await self.app.push_screen_wait(question)

    async def _decide(self, decision: str, **fields: Any) -> None:
        """Send a decision as the person on whose terminal this is, and show the answer."""
        self.message.tell(f"{decision}: waiting for an answer ...")
        known: Mapping[str, Any] = {name: value for name, value in fields.items() if value not in (None, "")}
        try:
            verdict = await self._person.decide(self._handle, decision, **known)
        except NoAnswer as error:
            self.message.problem(f"It is not certain that this {decision} counts: {error}")
        except (AirlockError, RPCError) as error:
            self.message.problem(f"{decision} refused: {error}")
        else:
            self.message.verdict(decision, verdict)
        await self._look(again=False)
