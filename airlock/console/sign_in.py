"""Sign-in, sign-out, and the making of a passkey."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from airlock.base.errors import AirlockError
from airlock.console import passkeys
from airlock.console.context import Console, Refusal, Visit, back, one, read_form
from airlock.console.oidc import OidcRefused
from airlock.console.passkeys import PasskeyRefused
from airlock.signing.passkey import LONGEST_LABEL, label_problem

_ASSERTION = 20_000
"""Characters of what a browser sends of a passkey."""


class SignIn:
    """The pages before a session, and the end of it.

    Args:
        console: The console.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    async def login(self, request: Request) -> Response:
        """Show the ways to sign in."""
        if self._console.session(request) is not None:
            return RedirectResponse("/", 303)
        return self._login()

    def _login(self, problem: str = "", status: int = 200) -> HTMLResponse:
        console = self._console
        text = console.templates.render(
            "login.html",
            problem=problem,
            oidc=console.oidc is not None,
            passkeys=console.config.takes_passkeys,
            issuer=console.config.oidc.issuer if console.config.oidc else "",
            url=console.config.url,
        )
        return HTMLResponse(text, status)

    async def passkey_options(self, request: Request) -> Response:
        """Begin a sign-in by passkey: a challenge for this browser."""
        self._limit(request)

        async def answer(visit: Visit) -> Response:
            return _as_json(passkeys.login_options(self._console.config, visit.challenge))

        return await self._console.begin_visit(request, answer)

    async def passkey(self, request: Request) -> Response:
        """End a sign-in by passkey: begin a session for the person who holds it."""
        self._limit(request)
        visit = self._console.end_visit(request)
        assertion = _json(one(await read_form(request), "credential"))
        try:
            if visit is None:
                raise PasskeyRefused("the sign-in took too long: begin again")
            registered = self._console.people.passkey(str(assertion.get("id", "")))
            passkey = passkeys.signed_in(self._console.config, assertion, visit.challenge, registered)
        except PasskeyRefused as error:
            return self._login(str(error), 403)
        return self._welcome(back(visit.wanted), passkey.person, "passkey", passkey.credential)

    async def oidc(self, request: Request) -> Response:
        """Send a person to the identity provider."""
        self._limit(request)
        provider = self._console.oidc
        if provider is None:
            raise Refusal("there is no identity provider: name one in [console.oidc]")

        async def answer(visit: Visit) -> Response:
            return RedirectResponse(await provider.begin(visit.attempt), 303)

        try:
            return await self._console.begin_visit(request, answer)
        except AirlockError as error:
            return self._login(str(error), 502)

    async def oidc_callback(self, request: Request) -> Response:
        """Take a person back from the identity provider."""
        self._limit(request)
        visit = self._console.end_visit(request)
        try:
            if visit is None or self._console.oidc is None:
                raise OidcRefused("this browser has begun no sign-in, or it took too long: begin again")
            person, subject = await self._console.oidc.finish(visit.attempt, dict(request.query_params))
        except AirlockError as error:
            return self._login(str(error), 403)
        # a page, no redirect: a browser that comes from another site sends no strict cookie with a redirect
        welcome = HTMLResponse(self._console.templates.render("welcome.html", person=person, wanted=visit.wanted))
        return self._welcome(welcome, person, "oidc", subject)

    def _welcome(self, response: Response, person: str, method: str, credential: str) -> Response:
        people = self._console.people
        problem = people.problem(person) or (people.disguised(person) if method == "oidc" else "")
        if problem:
            return self._login(f"{person}: {problem}", 403)
        self._console.begin(response, person, method, credential)
        return response

    async def logout(self, request: Request) -> Response:
        """End the session."""
        await self._console.posted(request)
        self._console.sessions.end(request.cookies.get(self._console.cookie))
        response = back("/login")
        response.delete_cookie(self._console.cookie, path="/", secure=self._console.config.secure, httponly=True)
        return response

    async def register(self, request: Request) -> Response:
        """Show the page on which a person makes a passkey."""
        text = self._console.templates.render(
            "register.html",
            takes_passkeys=self._console.config.takes_passkeys,
            url=self._console.config.url,
            longest=LONGEST_LABEL,
        )
        return HTMLResponse(text)

    async def register_options(self, request: Request) -> Response:
        """Begin the making of a passkey for a name. It is worth nothing before the operator has registered it."""
        self._limit(request)
        form = await read_form(request)
        person, label = one(form, "person").strip(), one(form, "label").strip()
        # not whether that person may sign in: a stranger who asks would learn the names of those who may
        if problem := self._console.people.unfit(person):
            return JSONResponse({"error": f"{person}: {problem}"}, 400)
        if problem := label_problem(label):
            return JSONResponse({"error": f"the name of the passkey {problem}"}, 400)

        async def answer(visit: Visit) -> Response:
            visit.person, visit.label = person, label
            return _as_json(passkeys.registration_options(self._console.config, person, visit.challenge, label))

        return await self._console.begin_visit(request, answer)

    async def registered(self, request: Request) -> Response:
        """Show what the person hands to the operator."""
        self._limit(request)
        visit = self._console.end_visit(request)
        credential = _json(one(await read_form(request), "credential"))
        if visit is None or not visit.person:
            raise Refusal("it took too long: begin again")
        passkey = passkeys.registered(self._console.config, visit.person, credential, visit.challenge, visit.label)
        lines = passkeys.toml_of(passkey)
        return HTMLResponse(self._console.templates.render("registered.html", person=visit.person, lines=lines))

    def _limit(self, request: Request) -> None:
        if not self._console.sign_ins.allows(request.client.host if request.client else ""):
            raise Refusal("too many sign-ins from your address: wait a little")


def _as_json(text: str) -> Response:
    return Response(text, media_type="application/json")


def _json(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text[:_ASSERTION])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
