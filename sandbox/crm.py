"""The CRM of the sandbox as one HTTP application: contacts, billing, a page, and the control surface."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.billing import Billing
from sandbox.contacts import Contacts
from sandbox.control import control_routes
from sandbox.faults import Faults
from sandbox.service import Answer, Call, Refused, Service
from sandbox.store import Store

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>ACME Robotics</title></head>
<body>
<h1>ACME Robotics</h1>
<p>We build robots for warehouses. Founded in 2011, 240 people, head office in Rotterdam.</p>
<ul><li>Sales: <a href="mailto:sales@acme.test">sales@acme.test</a></li><li>Phone: +31 10 555 0100</li></ul>
</body>
</html>
"""


def create_crm(state: Path | None = None, token: str | None = None) -> Starlette:
    """Return the application; with `state` its data are in that SQLite file and survive the process.

    Without `token` every bearer token opens the contacts. The other paths ask for none.
    """
    service = Service(Store(state), Faults())
    contacts = Contacts(service.store, token)
    routes = [*_contact_routes(service, contacts), *_billing_routes(service, Billing(service.store))]
    routes += [
        service.route("GET", "/page", lambda _call: Answer(200, PAGE)),
        Route("/health", _health),
        *control_routes(service),
        service.route("*", "/{path:path}", _nothing_here),
    ]
    return Starlette(routes=routes)


def _contact_routes(service: Service, contacts: Contacts) -> list[Route]:
    create, guarded = contacts.guarded(contacts.create), contacts.guarded
    return [
        service.route("POST", "/contacts/", create, keyed=True),
        service.route("POST", "/contacts", create, keyed=True),
        service.route("POST", "/contacts/search", guarded(contacts.search)),
        service.route("GET", "/contacts/search/duplicate", guarded(contacts.duplicate)),
        service.route("GET", "/contacts/{id}", guarded(contacts.read)),
        service.route("PUT", "/contacts/{id}", guarded(contacts.update), keyed=True),
        service.route("DELETE", "/contacts/{id}", guarded(contacts.delete), keyed=True),
    ]


def _billing_routes(service: Service, billing: Billing) -> list[Route]:
    return [
        service.route("POST", "/billing/accounts", billing.create, keyed=True),
        service.route("GET", "/billing/accounts", billing.list),
        service.route("GET", "/billing/accounts/{id}", billing.read),
        service.route("DELETE", "/billing/accounts/{id}", billing.delete, keyed=True),
        service.route("POST", "/billing/charge", billing.charge, keyed=True),
    ]


async def _health(_request: Request) -> Response:
    """Answers as soon as the service is up; not logged, so that polling leaves the log readable."""
    return JSONResponse({"ok": True})


def _nothing_here(call: Call) -> Answer:
    raise Refused(404, f"Cannot {call.method} {call.path}")
