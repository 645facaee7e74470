"""Contacts in the public shapes of the GoHighLevel v2 REST API (LeadConnector)."""

import hashlib
import json
import re
import secrets
import string
from typing import Any

from sandbox.contact_search import filter_of, matches_query
from sandbox.service import Answer, Call, Operation, Refused
from sandbox.store import JsonObject, Store, utc_now

VERSION = "2021-07-28"
DUPLICATE = "This location does not allow duplicated contacts."

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_NAME_FIELDS = ("firstName", "lastName", "name", "companyName")
_PLACE_FIELDS = ("address1", "city", "state", "postalCode", "country", "timezone")
_OTHER_FIELDS = ("email", "phone", "gender", "website", "source", "dateOfBirth", "assignedTo")
_TEXT_FIELDS = (*_NAME_FIELDS, *_PLACE_FIELDS, *_OTHER_FIELDS)
_DEFAULTS: JsonObject = {
    **dict.fromkeys(_TEXT_FIELDS),
    "dnd": False,
    "dndSettings": None,
    "inboundDndSettings": None,
    "tags": [],
    "customFields": [],
}
_KINDS: dict[str, type] = {
    **dict.fromkeys(_TEXT_FIELDS, str),
    "dnd": bool,
    "dndSettings": dict,
    "inboundDndSettings": dict,
    "tags": list,
    "customFields": list,
}
_KIND_NAMES = {str: "a string", bool: "a boolean value", dict: "an object", list: "an array"}
_MAX_PAGE = 500


def etag_of(contact: JsonObject) -> str:
    """Return a strong ETag: the same for the same contact, another one after every change."""
    canonical = json.dumps(contact, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(canonical.encode()).hexdigest()[:32]}"'


def new_id(length: int = 20) -> str:
    """Return a fresh id of letters and digits, as the real service makes them."""
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(length))


class Contacts:
    """The operations on contacts; each either takes its whole effect or raises `Refused`.

    Without a `token` any bearer token will do. An email is unique within a location, whatever its case.
    """

    def __init__(self, store: Store, token: str | None = None) -> None:
        self._store = store
        self._token = token

    def guarded(self, operation: Operation) -> Operation:
        """Return the operation, refused with 401 unless the two headers the real service insists on are right."""

        def checked(call: Call) -> Answer:
            scheme, _, token = call.headers.get("authorization", "").partition(" ")
            right = scheme.lower() == "bearer" and token.strip() != ""
            if not right or (self._token is not None and token.strip() != self._token):
                raise Refused(401, "Invalid JWT")
            version = call.headers.get("version")
            if version != VERSION:
                raise Refused(401, f"version header {'is invalid' if version else 'was not found'}.")
            return operation(call)

        return checked

    def create(self, call: Call) -> Answer:
        """POST /contacts/: 201 with the contact; 400 with the other one's id when the email is taken."""
        body = call.json()
        location = body.pop("locationId", None)
        if not isinstance(location, str) or not location:
            raise Refused(422, ["locationId should not be empty", "locationId must be a string"])
        _check_fields(body)
        self._refuse_duplicate(location, body.get("email"), own_id=None)
        now = utc_now()
        contact = {"id": new_id(), "locationId": location, "type": "lead", **_DEFAULTS, **_clean(body)}
        contact = {**contact, **_names(body, contact), "dateAdded": now, "dateUpdated": now}
        self._save(contact)
        return _contact_answer(201, contact)

    def read(self, call: Call) -> Answer:
        """GET /contacts/{id}: 200 with the contact and its ETag; 404."""
        return _contact_answer(200, self._known(call))

    def update(self, call: Call) -> Answer:
        """PUT /contacts/{id}: changes the fields given, null clears; 412 as `delete`."""
        contact = self._known(call)
        _check_match(call, contact)
        body = call.json()
        _check_fields(body)
        self._refuse_duplicate(contact["locationId"], body.get("email"), own_id=contact["id"])
        changed = {**contact, **_clean(body)}
        changed = {**changed, **_names(body, changed), "dateUpdated": utc_now()}
        self._save(changed)
        return _contact_answer(200, changed, succeded=True)

    def delete(self, call: Call) -> Answer:
        """DELETE /contacts/{id}: gone; 404 when it is not there, 412 when `If-Match` names another state."""
        contact = self._known(call)
        _check_match(call, contact)
        self._store.delete("contact", contact["id"])
        return Answer(200, {"succeded": True, "traceId": new_id()})

    def search(self, call: Call) -> Answer:
        """POST /contacts/search: one page of the contacts of a location that match, newest first."""
        body = call.json()
        location = body.get("locationId")
        if not isinstance(location, str) or not location:
            raise Refused(422, ["locationId should not be empty", "locationId must be a string"])
        limit = _positive(body, "pageLimit", 20)
        page = _positive(body, "page", 1)
        if limit > _MAX_PAGE:
            raise Refused(422, [f"pageLimit must not be greater than {_MAX_PAGE}"])
        passes = filter_of(body.get("filters"))
        found = [
            contact
            for contact in reversed(self._store.all("contact"))
            if contact["locationId"] == location and matches_query(contact, body.get("query")) and passes(contact)
        ]
        shown = found[(page - 1) * limit : page * limit]
        return Answer(200, {"contacts": shown, "total": len(found), "traceId": new_id()})

    def duplicate(self, call: Call) -> Answer:
        """GET /contacts/search/duplicate: the contact of that location with that email, or null."""
        location = call.query.get("locationId")
        if not location:
            raise Refused(422, ["locationId should not be empty", "locationId must be a string"])
        contact = self._store.find("contact", _lookup(location, call.query.get("email") or ""))
        headers = {"ETag": etag_of(contact)} if contact else {}
        return Answer(200, {"contact": contact, "traceId": new_id()}, headers)

    def _known(self, call: Call) -> JsonObject:
        contact = self._store.get("contact", call.params["id"])
        if contact is None:
            raise Refused(404, f"Contact with id {call.params['id']} not found")
        return contact

    def _save(self, contact: JsonObject) -> None:
        email = contact["email"]
        lookup = _lookup(contact["locationId"], email) if email else ""
        self._store.put("contact", contact["id"], contact, lookup)

    def _refuse_duplicate(self, location: str, email: str | None, own_id: str | None) -> None:
        other = self._store.find("contact", _lookup(location, email)) if email else None
        if other is not None and other["id"] != own_id:
            meta = {"contactId": other["id"], "contactName": other["name"], "matchingField": "email"}
            raise Refused(400, DUPLICATE, meta=meta)


def _lookup(location: str, email: str) -> str:
    return f"{location}\n{email.casefold()}"


def _contact_answer(status: int, contact: JsonObject, **more: Any) -> Answer:
    body = {**more, "contact": contact, "traceId": new_id()}
    return Answer(status, body, {"ETag": etag_of(contact)})


def _check_match(call: Call, contact: JsonObject) -> None:
    wanted = call.headers.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return
    if etag_of(contact) not in [each.strip() for each in wanted.split(",")]:
        raise Refused(412, f"Contact with id {contact['id']} has changed since")


def _check_fields(body: JsonObject) -> None:
    """Refuse, all at once, what the real service refuses: unknown properties and wrong types."""
    wrong = [f"property {name} should not exist" for name in body if name not in _KINDS]
    for name, kind in _KINDS.items():
        value = body.get(name)
        if value is not None and not isinstance(value, kind):
            wrong.append(f"{name} must be {_KIND_NAMES[kind]}")
    email = body.get("email")
    if isinstance(email, str) and email and not _EMAIL.fullmatch(email):
        wrong.append("email must be an email")
    if any(not isinstance(tag, str) for tag in body.get("tags") or [] if isinstance(body["tags"], list)):
        wrong.append("each value in tags must be a string")
    if wrong:
        raise Refused(422, wrong)


def _clean(body: JsonObject) -> JsonObject:
    """Return the body with null replaced by the value of a field that is not set."""
    return {name: _DEFAULTS[name] if value is None else value for name, value in body.items()}


def _names(body: JsonObject, contact: JsonObject) -> JsonObject:
    """`name`, `firstName` and `lastName`, each derived from the other where only one side is given."""
    if "firstName" in body or "lastName" in body:
        if body.get("name"):
            return {}
        both = " ".join(part for part in (contact["firstName"], contact["lastName"]) if part)
        return {"name": both or None}
    if "name" in body:
        first, _, last = (contact["name"] or "").strip().partition(" ")
        return {"firstName": first or None, "lastName": last.strip() or None}
    return {}


def _positive(body: JsonObject, name: str, default: int) -> int:
    value = body.get(name, default)
    if type(value) is not int or value < 1:
        raise Refused(422, [f"{name} must not be less than 1", f"{name} must be a number"])
    return value
