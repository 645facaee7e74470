"""The pages about all plans: inbox, search, system lock, and word of every change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import date
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response
from temporalio.service import RPCError

from airlock.base.errors import AirlockError
from airlock.base.names import workflow_id_of
from airlock.base.person import folded
from airlock.client.gate_decisions import gate_decisions
from airlock.client.inbox import Inbox, InboxFilter, InboxItem
from airlock.client.search import PlanQuestion, PlanSearch, SearchPage, Whether
from airlock.console.context import Console, Refusal, back, number, one
from airlock.console.sessions import Session, Shown
from airlock.console.watch import mark_of

PAGE = 25
MOST_STREAMS = 8
"""Streams of one session at a time: more tabs are told nothing, and say so."""
DECISIONS = 100
RUNS = 20
"""Decisions at the gate on their page, and the runs of the gate that are read for it."""
HISTORY_WITHIN = 30.0
"""Seconds for the reading of these histories."""


class Pages:
    """The pages about all plans.

    Args:
        console: The console.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._search = PlanSearch(console.airlock.client)
        self._reading = asyncio.Lock()

    async def inbox(self, request: Request) -> Response:
        """Show what waits for a person, or that list alone for a page that is open."""
        session = self._console.require(request)
        inbox = await self._console.watch.inbox()
        page = inbox.page(session.filter, number(request.query_params.get("page", "1")), PAGE)
        context: dict[str, Any] = {"inbox": inbox, "page": page, "counts": inbox.counts()}
        opened = _opened(session, inbox)
        context |= {"opened": opened, "voted": _voted(session, inbox)}
        waiting = [item.plan_id for item in page.items if item.kind == "approval" and item.plan_id in opened]
        context["to_sign"] = [plan for plan in waiting if opened[plan].needs_signature]
        context["can_sign"] = bool(self._console.people.passkeys_of(session.person))
        if "hx-request" in request.headers:
            return self._console.part(session, "inbox_list.html", **context)
        return await self._console.page(request, session, "inbox.html", seen={"inbox": mark_of(inbox)}, **context)

    async def choose(self, request: Request) -> Response:
        """Choose among what waits. The choice is kept in the session, so that no address names it."""
        session, form = await self._console.posted(request)
        names = ("agent", "tool", "risk", "kind", "text")
        chosen = {name: one(form, name).strip()[:200] for name in names}
        session.filter = InboxFilter() if one(form, "all") else InboxFilter(**chosen)
        return back("/")

    async def search(self, request: Request) -> Response:
        """Show one page of what a session searches for, among all plans, whatever their state."""
        session = self._console.require(request)
        places = session.search_places
        place = min(number(request.query_params.get("page", "1")), len(places))
        found = SearchPage()
        if not session.question.empty:
            found = await self._search.page(session.question, places[place - 1])
            if found.next_token and place == len(places):
                places.append(found.next_token)
        context: dict[str, Any] = {"question": session.question, "result": found, "place": place, "whether": Whether}
        # by run: an undo that was asked for again has the id of the one before
        context["waiting"] = waiting = dict[str, InboxItem]()
        if any(each.summary.open for each in found.found):
            with suppress(AirlockError, RPCError, TimeoutError):  # a search needs no worker, and is shown without
                waiting |= {item.run_id: item for item in (await self._console.watch.inbox()).items}
        return await self._console.page(request, session, "search.html", **context)

    async def search_for(self, request: Request) -> Response:
        """Search among all plans; the words are kept in the session."""
        session, form = await self._console.posted(request)
        whether = one(form, "whether")
        session.question = PlanQuestion(
            words=one(form, "text").strip()[:200],
            whether=Whether(whether) if whether in set(Whether) else Whether.ANY,
            since=_day(one(form, "since")),
            until=_day(one(form, "until")),
        )
        session.search_places = [b""]
        return back("/search")

    async def lock(self, request: Request) -> Response:
        """Show the locks of the live gate, each with its proof, and the way to lift them."""
        session = self._console.require(request)
        now = await self._console.watch.lock(fresh=True)
        proofs = [(lock, await self._console.watch.proof(lock.scope)) for lock in now.lock.locks]
        if "hx-request" in request.headers:
            return self._console.part(session, "lock_proofs.html", proofs=proofs, problem=now.lock.problem)
        return await self._console.page(request, session, "lock.html", proofs=proofs, problem=now.lock.problem)

    async def gate_decisions(self, request: Request) -> Response:
        """Show who locked and unlocked the live gate, by its histories. One reading at a time: each takes seconds."""
        session = self._console.require(request)
        async with asyncio.timeout(HISTORY_WITHIN), self._reading:
            known = self._console.people.config.policy.passkeys
            found = await gate_decisions(self._console.airlock.client, limit=DECISIONS, runs=RUNS, known=known)
        return await self._console.page(request, session, "gate_decisions.html", found=found)

    async def lock_bar(self, request: Request) -> Response:
        """Show the system lock as every page does, for a page that is open."""
        session = self._console.require(request)
        return self._console.part(session, "lock_bar.html", lock_now=await self._console.watch.lock())

    async def events(self, request: Request) -> Response:
        """Tell a page of changes, for as long as its session lasts."""
        session = self._console.require(request)
        if session.streams >= MOST_STREAMS:
            raise Refusal("this session has too many pages open that listen")
        name = request.cookies.get(self._console.cookie)

        async def told() -> AsyncIterator[ServerSentEvent]:
            session.streams += 1
            try:
                seen = {word: request.query_params.get(word, "") for word in ("inbox", "lock", "plan")}
                shown = {word: mark for word, mark in seen.items() if mark}
                plan = request.query_params.get("id")
                changes = self._console.watch.changes(plan, shown, lambda: self._console.sessions.find(name) is session)
                async for word in changes:
                    yield ServerSentEvent(event=word, data="")
            finally:
                session.streams -= 1

        return EventSourceResponse(told(), ping=3_600)


def _opened(session: Session, inbox: Inbox) -> dict[str, Shown]:
    """Return the plans that this session was shown whole, at the digest that the inbox has of them."""
    shown = {item.plan_id: session.was_shown(workflow_id_of(item.plan_id), item.digest) for item in inbox.items}
    return {plan: each for plan, each in shown.items() if each is not None and each.whole}


def _voted(session: Session, inbox: Inbox) -> frozenset[str]:
    """Return the plans that the person of this session has approved already."""
    me = folded(session.person)
    return frozenset(item.plan_id for item in inbox.items if me in map(folded, item.approvals))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
