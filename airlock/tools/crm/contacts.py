"""The common part of the CRM tools: the GoHighLevel v2 REST API for contacts, over HTTP."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from airlock.base.canonical import digest
from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.refs import UNKNOWN, contains_unknown
from airlock.plans.tool_call import ToolCall
from airlock.tools.common import Arguments, Email, Settings, require_mine, required
from airlock.tools.web import READ_METHODS, Reply, TargetRefused, client_of, exchange, is_gone

API_VERSION = "2021-07-28"
NAMES = ("name", "firstName", "lastName")
SHOWN = ("id", "email", *NAMES, "phone", "tags")
CONTENT = (
    *SHOWN, "companyName", "address1", "city", "state", "postalCode", "country", "timezone", "website", "source",
    "dateOfBirth", "gender", "assignedTo", "dnd", "customFields",
)  # fmt: skip
"""The fields that are the content of a contact; the date of the last change, for example, is not."""

Contact = dict[str, Any]


class GhlSettings(Settings):
    """The section `[settings.ghl]`."""

    section: ClassVar[str] = "ghl"
    base_url: str = "https://services.leadconnectorhq.com"
    location_id: str = ""
    """The account whose contacts the tools use."""
    token_secret: str = "GHL_TOKEN"
    """The name of the secret that holds the bearer token."""
    timeout: float = 10.0
    """Seconds for connecting, and for each wait for data."""
    trust_environment: bool = False
    """True to use proxy and certificate variables such as `HTTPS_PROXY`."""


Text = Annotated[str | None, Field(min_length=1, max_length=200)]


class ContactFields(Arguments):
    """The fields of a contact that the tools can set."""

    email: Annotated[Email | None, Field(description="unique in the CRM, whatever its case")] = None
    name: Annotated[Text, Field(description="the full name")] = None
    first_name: Annotated[Text, Field(description="the first name")] = None
    last_name: Annotated[Text, Field(description="the last name")] = None
    phone: Annotated[Text, Field(description="the phone number, best in international form")] = None
    tags: Annotated[tuple[str, ...] | None, Field(max_length=50, description="all tags of the contact")] = None


class ContactOutput(TypedDict):
    """The contact as the CRM has it: `id`, `email`, `name`, `firstName`, `lastName`, `phone`, `tags`."""

    contact: dict[str, JsonValue]


@dataclass(frozen=True)
class FoundContact:
    """A contact with its ETag, if the CRM sent one."""

    contact: Contact
    etag: str | None

    @property
    def state(self) -> JsonValue:
        """The state that a preview relies on: the hash of the contact's content."""
        return content_hash(self.contact)


class Crm:
    """The API, with the credentials of one call."""

    def __init__(self, call: ToolCall) -> None:
        settings: GhlSettings = call.settings
        self.location = required(settings.location_id, "settings.ghl.location_id")
        self._settings = settings
        self._call = call
        self._token = call.secret(settings.token_secret)

    async def find(self, email: str) -> FoundContact | None:
        """Return the contact with that email, or None."""
        query = {"locationId": self.location, "email": email}
        return _found(await self._send("GET", "/contacts/search/duplicate", query=query))

    async def get(self, contact_id: str) -> FoundContact | None:
        """Return the contact with that id, or None."""
        try:
            return _found(await self._send("GET", _path(contact_id)))
        except TargetRefused as refusal:
            if is_gone(refusal):
                return None
            raise

    async def search(self, query: str, limit: int) -> dict[str, Any]:
        """Return one page of the contacts that match a text."""
        body: JsonValue = {"locationId": self.location, "query": query, "page": 1, "pageLimit": limit}
        found = (await self._send("POST", "/contacts/search", body=body, changes=False)).body()
        if not isinstance(found, dict) or not isinstance(found.get("contacts"), list):
            raise ToolFailed("the CRM's answer to a search holds no contacts")
        return found

    async def create(self, fields: Contact, key: str) -> FoundContact:
        """Create a contact, once per key."""
        body = {"locationId": self.location, **fields}
        return _certain(_found(await self._send("POST", "/contacts/", body=body, key=key)))

    async def update(self, contact_id: str, fields: Contact, key: str, etag: str | None) -> FoundContact:
        """Change fields of a contact, once per key; with an ETag, only if the contact is in that state."""
        return _certain(_found(await self._send("PUT", _path(contact_id), body=fields, key=key, etag=etag)))

    async def delete(self, contact_id: str, etag: str | None) -> None:
        """Delete a contact if it exists; with an ETag, only if the contact is in that state."""
        try:
            await self._send("DELETE", _path(contact_id), etag=etag)
        except TargetRefused as refusal:
            if not is_gone(refusal):
                raise

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonValue = None,
        key: str | None = None,
        etag: str | None = None,
        changes: bool | None = None,
    ) -> Reply:
        import httpx

        headers = {"Authorization": f"Bearer {self._token}", "Version": API_VERSION, "Accept": "application/json"}
        headers |= {"Idempotency-Key": key} if key else {}
        headers |= {"If-Match": etag} if etag else {}
        settings = self._settings
        async with client_of(settings.timeout, environment=settings.trust_environment) as client:
            try:
                url = settings.base_url.rstrip("/") + path
                request = client.build_request(method, url, params=query, json=body, headers=headers)
            except (ValueError, httpx.InvalidURL) as error:
                raise ToolFailed(f"settings.ghl cannot be used: {type(error).__name__}") from error
            if method not in READ_METHODS and changes is not False:
                await require_mine(self._call)
            return await exchange(client, request, hide=[self._token], changes=changes)


def content_hash(contact: Contact) -> str:
    """Return the hash of a contact's content; an empty field counts as absent."""
    return digest({name: contact[name] for name in CONTENT if contact.get(name)})


def shown(contact: Contact) -> dict[str, JsonValue]:
    """Return the fields of a contact that tools return."""
    return {name: contact.get(name) for name in SHOWN}


def fields_of(args: "ContactFields") -> Contact:
    """Return the fields that the arguments give, by their names in the API."""
    given = {
        "email": args.email,
        "name": args.name,
        "firstName": args.first_name,
        "lastName": args.last_name,
        "phone": args.phone,
        "tags": None if args.tags is None else list(args.tags),
    }
    return {name: value for name, value in given.items() if value is not None}


def holds(contact: Contact, fields: Contact) -> bool:
    """Return True if a contact has these values, ignoring the case and phone spacing that the CRM changes."""
    return all(_same(contact.get(name), value, name) for name, value in fields.items())


def unchanged(contact: Contact, before: Contact) -> bool:
    """Return True if a contact has exactly these values; an empty field counts as absent."""
    return all((contact.get(name) or None) == (value or None) for name, value in before.items())


def _same(have: Any, want: Any, name: str) -> bool:
    if name == "tags":
        return sorted(tag.casefold() for tag in have or ()) == sorted(tag.casefold() for tag in want or ())
    if name == "phone":
        return [character for character in have or "" if character.isdigit()] == [
            character for character in want or "" if character.isdigit()
        ]
    return str(have or "").casefold() == str(want or "").casefold()


def created_name(step: str) -> str:
    """Return the name of the contact that a step creates: its id is known after live."""
    return f"created:contact/{step}"


def state_left(found: FoundContact) -> dict[str, JsonValue]:
    """Return the state in which a call leaves a contact, in the form that an update observes."""
    return {"content": UNKNOWN if contains_unknown(found.contact) else found.state}


async def tell_left(crm: Crm, call: ToolCall, contact_id: str) -> None:
    """Tell later steps in which state a call left its contact, if they need it; they may know it by either name.

    It is read again, because the answer to a change may hold fewer fields. If it cannot be read, they are stale.
    """
    if not call.wanted:
        return
    import httpx

    with suppress(ToolFailed, InDoubt, httpx.HTTPError):  # the change took effect, whatever becomes of this question
        if (found := await crm.get(contact_id)) is not None:
            call.leaves |= dict.fromkeys(call.wanted, state_left(found))


def _path(contact_id: str) -> str:
    return f"/contacts/{quote(contact_id, safe='')}"


def _found(reply: Reply) -> FoundContact | None:
    body = reply.body()
    contact = body.get("contact") if isinstance(body, dict) else None
    return FoundContact(contact, reply.headers.get("etag")) if isinstance(contact, dict) and contact.get("id") else None


def _certain(found: FoundContact | None) -> FoundContact:
    if found is None:
        raise InDoubt("the CRM accepted the change, but its answer holds no contact")
    return found
