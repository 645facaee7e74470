"""`ghl_create_contact`: a new contact in the CRM; its undo deletes it."""

from typing import Annotated, Any

from pydantic import Field, JsonValue

from airlock.base.errors import Stale, ToolFailed
from airlock.plans.own_steps import Left
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.tools.common import Email, fits, json_of
from airlock.tools.crm.contacts import (
    NAMES,
    SHOWN,
    Contact,
    ContactFields,
    ContactOutput,
    Crm,
    FoundContact,
    GhlSettings,
    content_hash,
    created_name,
    fields_of,
    holds,
    shown,
    state_left,
    tell_left,
)

NO_CONTACT = "no contact with that email"


class GhlCreateContact(ContactFields):
    """The new contact."""

    email: Annotated[Email, Field(description="must not be in the CRM yet, whatever its case")]


@tool(
    name="ghl_create_contact",
    risk="MEDIUM",
    reversibility="reversible",
    permissions={"contacts:write"},
    resources=["contact:{email}"],
    timeout=30,
    idempotent=True,
    settings=GhlSettings,
)
async def ghl_create_contact(args: GhlCreateContact, call: ToolCall) -> ContactOutput:
    """Create a contact in the CRM."""
    crm, fields = Crm(call), fields_of(args)
    found = await crm.find(args.email)
    if found is None:
        call.undo = {"id": None}
        try:
            found = await crm.create(fields, call.idempotency_key)
        except ToolFailed:
            call.undo = None
            raise
    elif call.attempt == 1 or not holds(found.contact, fields):
        raise (ToolFailed if call.observed is None else Stale)(_taken(args, found))
    call.undo = _token(found)
    await tell_left(crm, call, found.contact["id"])
    return {"contact": shown(found.contact)}


@ghl_create_contact.dry_run(partial=True)
async def look(args: GhlCreateContact, call: ToolCall) -> Preview:
    """Check that the CRM has no contact with that email."""
    undo = "Delete the contact, unless it was changed by then."
    if args.email == UNKNOWN:
        return Preview(effect="Would create a contact whose email is known after live.", undo=undo)
    found = await Crm(call).find(args.email)
    if found is not None:
        raise ToolFailed(_taken(args, found))
    fields = fields_of(args)
    what = ", ".join(f"{name} {value!r}" for name, value in fields.items())
    contact = _predicted(fields)
    return Preview(
        effect=f"Would create a contact with {what}.",
        output=json_of({"contact": contact}),
        observed=NO_CONTACT,
        undo=undo,
        leaves={created_name(call.step_id): Left(seen=state_left(FoundContact(contact, etag=None)), content=contact)},
    )


@ghl_create_contact.compensate
async def undo(args: GhlCreateContact, call: ToolCall) -> None:
    """Delete the contact that this call created.

    Raises:
        ToolFailed: If another user has changed it since; it is left alone.
    """
    found = await _still_ours(args, call)
    if found is not None:
        await Crm(call).delete(found.contact["id"], found.etag)


@ghl_create_contact.undo_check
async def look_at_undo(args: GhlCreateContact, call: ToolCall) -> Preview:
    """Check that the contact is still as this call created it."""
    found = await _still_ours(args, call)
    if found is None:
        return Preview(effect="Nothing to do: the contact is gone already.")
    return Preview(effect=f"Would delete contact {found.contact['id']}.", observed=found.state)


async def _still_ours(args: GhlCreateContact, call: ToolCall) -> FoundContact | None:
    """Return the contact that this call created, or None if it is gone.

    Raises:
        ToolFailed: If another user has changed it since.
    """
    token: Any = call.undo
    if not isinstance(token, dict) or "id" not in token:
        raise ToolFailed("the undo token is not one of ghl_create_contact")
    crm = Crm(call)
    if token["id"] is not None:
        found = await crm.get(token["id"])
        ours = found is not None and content_hash(found.contact) == token["content"]
    else:  # the answer was lost; there was no such contact just before the request
        found = await crm.find(args.email)
        ours = found is not None and holds(found.contact, fields_of(args))
    if found is not None and not ours:
        raise ToolFailed(f"contact {found.contact['id']} was changed by another user since: it is left alone")
    return found


@ghl_create_contact.probe
async def probe(args: GhlCreateContact, call: ToolCall) -> Probe:
    """Check whether the CRM has the contact with the values of this call."""
    found = await Crm(call).find(args.email)
    if found is None:
        return Probe(happened=False, why=NO_CONTACT)
    if not holds(found.contact, fields_of(args)):
        return Probe(happened=None, why="there is a contact with that email, but with other values than those of this call")
    call.undo = _token(found)
    output: JsonValue = {"contact": shown(found.contact)}
    return Probe(happened=True, output=output, why=f"the contact is there: {found.contact['id']}")


@ghl_create_contact.mock
def mock(args: GhlCreateContact, _call: ToolCall) -> ContactOutput:
    """Return the contact with an id and plausible names."""
    fields = fields_of(args) if fits(args) else {"email": str(args.email)}
    first, _, last = fields.get("name", "Jo Mock").partition(" ")
    names = {"name": f"{first} {last}".strip(), "firstName": first, "lastName": last or None}
    return {"contact": {"id": UNKNOWN, "phone": None, "tags": [], **names, **fields}}


def _token(found: FoundContact) -> JsonValue:
    return {"id": found.contact["id"], "content": content_hash(found.contact)}


def _taken(args: GhlCreateContact, found: FoundContact) -> str:
    return f"the CRM already has a contact with {args.email}: {found.contact['id']} (use ghl_update_contact)"


def _predicted(fields: Contact) -> dict[str, JsonValue]:
    """Return the contact as far as it is known; the CRM derives some names from others."""
    derived = UNKNOWN if any(name in fields for name in NAMES) else None
    empty: dict[str, JsonValue] = {"id": UNKNOWN, "phone": None, "tags": [], **dict.fromkeys(NAMES, derived)}
    return {name: fields.get(name, empty.get(name)) for name in SHOWN}
