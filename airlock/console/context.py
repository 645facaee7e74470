"""The parts that all pages of the console share: the connection, the people, their sessions, the templates."""

import asyncio
import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from airlock.base.errors import AirlockError
from airlock.base.person import folded
from airlock.client.plans import Airlock
from airlock.console.limits import RateLimit
from airlock.console.oidc import Attempt, Oidc
from airlock.console.people import People
from airlock.console.rendering import Templates
from airlock.console.sessions import Session, Sessions
from airlock.console.watch import Watch, mark_of
from airlock.plans.plan import seconds

_VISIT = 600.0
"""Seconds for a sign-in."""
_MOST_VISITS = 20_000
_MOST_OF_ONE = 5_000
"""Visits from one address: who begins more loses the oldest of these, and no other browser loses its own."""
CALLBACK = "/login/oidc/callback"
Form = Mapping[str, list[str]]
"""The fields of a form, each with all its values."""


class Refusal(AirlockError):
    """A request that the console itself turns down; the text says why."""


@dataclass
class Visit:
    """A browser before its sign-in: the challenge that it was given, or the attempt at the provider."""

    at: float
    challenge: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    attempt: Attempt = field(default_factory=Attempt)
    person: str = ""
    """The name for which it makes a passkey."""
    label: str = ""
    """The name of that passkey."""
    wanted: str = "/"
    """The page that it asked for before it was signed in."""
    sender: str = ""
    """The address that it comes from."""


class Console:
    """The console of one operator's file and one namespace.

    Args:
        airlock: The connection.
        people: The people who may sign in.
    """

    def __init__(self, airlock: Airlock, people: People) -> None:
        self.airlock = airlock
        self.people = people
        self.config = people.console
        """The section as it was at the start: address and provider do not change under people who are signed in."""
        self.sessions = Sessions(seconds(self.config.idle), seconds(self.config.longest), people.still_valid)
        self.watch = Watch(airlock)
        self.templates = Templates()
        self.oidc = Oidc(self.config.oidc, f"{self.config.url}{CALLBACK}") if self.config.oidc is not None else None
        self.sign_ins = RateLimit(burst=60, every=1.0)
        self.decisions = RateLimit(burst=240, every=0.5)  # two for each of several plans that are signed
        prefix = "__Host-" if self.config.secure else ""
        self.cookie, self.visit_cookie = f"{prefix}airlock", f"{prefix}airlock-visit"
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        self._visits_from: dict[str, OrderedDict[str, None]] = {}

    def session(self, request: Request) -> Session | None:
        """Return the session of a request; what a page asks by itself does not keep it from being idle."""
        click = "hx-request" not in request.headers and request.url.path != "/events"
        return self.sessions.find(request.cookies.get(self.cookie), click=click)

    def require(self, request: Request) -> Session:
        """Return the session of a request.

        Raises:
            SignedOut: If there is none.
        """
        session = self.session(request)
        if session is None:
            raise SignedOut
        return session

    async def posted(self, request: Request) -> tuple[Session, Form]:
        """Return the session and the fields of a form that this very session was given.

        Raises:
            SignedOut: If there is no session.
            Refusal: If the form is not one of this session, or comes too soon after many others.
        """
        session = self.require(request)
        fields = await read_form(request)
        if not session.fits(one(fields, "csrf")):
            raise Refusal("this form is not one of your session: open the page again")
        if not self.decisions.allows(session.csrf):
            raise Refusal("too many decisions in a short time: wait a little")
        return session, fields

    def begin(self, response: Response, person: str, method: str, credential: str) -> None:
        """Begin a session with an answer, under an id that no browser had before."""
        name = self.sessions.begin(person, method, credential)
        response.set_cookie(
            self.cookie, name, max_age=int(seconds(self.config.longest)), path="/", secure=self.config.secure,
            httponly=True, samesite="strict",
        )  # fmt: skip

    def visit(self, request: Request) -> Visit | None:
        """Return the visit of a browser that is not signed in."""
        found = self._visits.get(request.cookies.get(self.visit_cookie, ""))
        return found if found is not None and time.monotonic() - found.at < _VISIT else None

    async def begin_visit(self, request: Request, answer: Callable[[Visit], Awaitable[Response]]) -> Response:
        """Begin a visit, under an id that no browser had before, with the answer that is made for it."""
        earlier = self.visit(request)
        sender = request.client.host if request.client else ""
        name = secrets.token_urlsafe(32)
        visit = Visit(at=time.monotonic(), wanted=earlier.wanted if earlier else "/", sender=sender)
        response = await answer(visit)
        self._keep(name, visit)
        # lax: a provider sends the browser back from another site
        response.set_cookie(
            self.visit_cookie, name, max_age=int(_VISIT), path="/", secure=self.config.secure, httponly=True, samesite="lax"
        )
        return response

    def _keep(self, name: str, visit: Visit) -> None:
        self._visits[name] = visit
        own = self._visits_from.setdefault(visit.sender, OrderedDict())
        own[name] = None
        while len(own) > _MOST_OF_ONE:
            self._forget(next(iter(own)))
        while len(self._visits) > _MOST_VISITS:
            self._forget(next(iter(self._visits)))

    def _forget(self, name: str) -> Visit | None:
        visit = self._visits.pop(name, None)
        if visit is not None:
            own = self._visits_from[visit.sender]
            del own[name]
            if not own:
                del self._visits_from[visit.sender]
        return visit

    def end_visit(self, request: Request) -> Visit | None:
        """Return the visit of a browser, once."""
        visit = self.visit(request)
        self._forget(request.cookies.get(self.visit_cookie, ""))
        return visit

    async def page(
        self, request: Request, session: Session, template: str, *, seen: Mapping[str, str] | None = None, **context: Any
    ) -> HTMLResponse:
        """Return a whole page.

        Args:
            request: The request.
            session: The session.
            template: The file of the template.
            seen: What the page shows that may change, by `inbox` and `plan`, and the plan itself as `id`.
            context: What the template shows.
        """
        lock_now = await self.watch.lock()
        events = urlencode({"lock": mark_of(lock_now), **(seen or {})})
        notices = session.take_notices(request.url.path, time.monotonic())
        # a page of many words takes a while to write, in which the other pages must be served
        text = await asyncio.to_thread(
            self.templates.render, template, session=session, csrf=session.csrf, notices=notices,
            lock_now=lock_now, path=request.url.path,
            passkeys=self.people.passkeys_of(session.person), with_key=self.people.label_of(session),
            events=f"/events?{events}",
            namespace=self.airlock.client.namespace, **context,
        )  # fmt: skip
        return HTMLResponse(text)

    def part(self, session: Session, template: str, **context: Any) -> HTMLResponse:
        """Return a part of a page, for a page that is open."""
        return HTMLResponse(self.templates.render(template, session=session, csrf=session.csrf, **context))


class SignedOut(Exception):
    """A request without a session."""


async def signed_out(console: Console, request: Request) -> Response:
    """Return the answer to a request without a session: the way to the sign-in, and back to what was asked for."""
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if request.url.path == "/events":
        return Response(status_code=204)  # a browser asks no more after this
    wanted = quote(request.url.path) if request.method == "GET" and request.url.path.startswith("/plans/") else "/"
    if wanted != "/" and request.headers.get("sec-fetch-site") == "cross-site":
        # a link in a message: the browser kept the cookie back, and sends it when the page itself asks again
        return HTMLResponse(console.templates.render("again.html", wanted=wanted))

    async def answer(visit: Visit) -> Response:
        visit.wanted = wanted
        return RedirectResponse("/login", 303)

    return await console.begin_visit(request, answer)


async def read_form(request: Request) -> Form:
    """Return the fields of a form, each with all its values."""
    found: dict[str, list[str]] = {}
    with contextlib.suppress(UnicodeDecodeError):
        for name, value in (await request.form()).multi_items():
            if isinstance(value, str):
                found.setdefault(name, []).append(value)
    return found


def one(fields: Form, name: str) -> str:
    """Return the only value of a field; empty if there is none, or more than one."""
    values = fields.get(name, [])
    return values[0] if len(values) == 1 else ""


def required(fields: Form, name: str) -> str:
    """Return the only value of a field.

    Raises:
        Refusal: If nothing of it can be seen.
    """
    value = one(fields, name).strip()
    if not folded(value):
        raise Refusal(f"{name}: is empty; say why")
    return value


def back(where: str) -> RedirectResponse:
    """Return the way to a page after a form."""
    return RedirectResponse(where, 303)


def number(text: str) -> int:
    """Return the number of a page from an address, from 1; 1 for what is none."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 1
