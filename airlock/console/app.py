"""The application: every address of the console, and what it answers when something goes wrong."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from temporalio.service import RPCError

from airlock.base.errors import AirlockError
from airlock.client.errors import NoSuchPlan
from airlock.console.amend_pages import AmendPages
from airlock.console.context import Console, Refusal, SignedOut, signed_out
from airlock.console.decisions import Decisions
from airlock.console.guard import Guard
from airlock.console.health_pages import HealthPages
from airlock.console.pages import Pages
from airlock.console.plan_pages import PlanPages
from airlock.console.sign_in import SignIn

_STATIC = Path(__file__).parent / "static"
_PLAN = "/plans/{plan}"


def application(console: Console) -> ASGIApp:
    """Return a console as an application."""
    sign_in, pages, plans = SignIn(console), Pages(console), PlanPages(console)
    decisions, health = Decisions(console), HealthPages(console)
    amendments = AmendPages(console, decisions)

    async def wrong(request: Request, error: Exception) -> Response:
        return _wrong(console, request, error)

    async def leave(request: Request, error: Exception) -> Response:
        return await signed_out(console, request)

    post = ["POST"]
    routes = [
        Mount("/static", StaticFiles(directory=_STATIC)),
        Route("/login", sign_in.login),
        Route("/login/passkey/options", sign_in.passkey_options, methods=post),
        Route("/login/passkey", sign_in.passkey, methods=post),
        Route("/login/oidc", sign_in.oidc),
        Route("/login/oidc/callback", sign_in.oidc_callback),
        Route("/logout", sign_in.logout, methods=post),
        Route("/register", sign_in.register),
        Route("/register/options", sign_in.register_options, methods=post),
        Route("/register", sign_in.registered, methods=post),
        Route("/", pages.inbox),
        Route("/choose", pages.choose, methods=post),
        Route("/approve", decisions.several, methods=post),
        Route("/approve/{plan}", decisions.one_of_several, methods=post),
        Route("/search", pages.search),
        Route("/search", pages.search_for, methods=post),
        Route("/lock", pages.lock),
        Route("/lock/bar", pages.lock_bar),
        Route("/lock/decisions", pages.gate_decisions),
        Route("/lock/{decision}", decisions.gate, methods=post),
        Route("/health", health.health),
        Route("/health/plot.svg", health.plot),
        Route("/events", pages.events),
        Route("/sign", decisions.to_sign, methods=post),
        Route(_PLAN, plans.plan),
        Route(f"{_PLAN}/status", plans.status),
        Route(f"{_PLAN}/audit", plans.audit),
        Route(f"{_PLAN}/steps/{{step}}", plans.step),
        Route(f"{_PLAN}/amend", amendments.form),
        Route(f"{_PLAN}/amend", amendments.amend, methods=post),
        Route(f"{_PLAN}/undo", decisions.undo, methods=post),
        Route(f"{_PLAN}/{{decision}}", decisions.plan, methods=post),
    ]
    handlers = {SignedOut: leave, AirlockError: wrong, RPCError: wrong, TimeoutError: wrong, Exception: wrong}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), console.config)


def _wrong(console: Console, request: Request, error: Exception) -> Response:
    """Return the page of an error. The log has its kind alone: a text may quote what a plan says."""
    match error:
        case NoSuchPlan():
            status, why = 404, str(error)
        case Refusal():
            status, why = 403, str(error)
        case AirlockError():
            status, why = 503, str(error)
        case TimeoutError():
            status, why = 503, "no worker has answered in time: try again"
        case RPCError():
            status, why = 503, "Temporal does not answer, or not as it should: try again"
        case _:
            status, why = 500, "something is wrong in the console itself; its log says what kind of error it was"
    if "hx-request" in request.headers:
        return Response(status_code=204)  # the page that is open keeps what it shows
    return HTMLResponse(console.templates.render("error.html", why=why, status=status), status)
