"""`ghl_update_contact`: new values for fields of a contact in the CRM; its undo restores the former ones."""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from airlock.base.errors import InDoubt, Stale, ToolFailed
from airlock.plans.own_steps import Left
from airlock.plans.refs import UNKNOWN, contains_unknown
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.tools.common import fits, frozen_description, json_of
from airlock.tools.crm.contacts import (
    NAMES,
    SHOWN,
    Contact,
    ContactFields,
    ContactOutput,
    Crm,
    FoundContact,
    GhlSettings,
    created_name,
    fields_of,
    holds,
    shown,
    state_left,
    tell_left,
    unchanged,
)
from airlock.tools.web import TargetRefused

PRECONDITION_FAILED = 412

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


def _id(value: str) -> str:
    if value != UNKNOWN and not _ID.fullmatch(value):
        raise ValueError("is not the id of a contact")
    return value


class GhlUpdateContact(ContactFields):
    """The contact to change, and its new values."""

    model_config = frozen_description("Which contact to change, and the fields to change.")

    contact_id: Annotated[str, AfterValidator(_id), Field(description="the contact's id in the CRM")]

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not fields_of(self):
            raise ValueError("give at least one of email, name, first_name, last_name, phone, tags")
        return self


@tool(
    name="ghl_update_contact",
    risk="MEDIUM",
    reversibility="reversible",
    permissions={"contacts:write"},
    resources=["contact:{contact_id}"],
    timeout=30,
    idempotent=True,
    settings=GhlSettings,
)
async def ghl_update_contact(args: GhlUpdateContact, call: ToolCall) -> ContactOutput:
    """Change fields of a contact in the CRM."""
    crm, fields = Crm(call), fields_of(args)
    found = await crm.get(args.contact_id)
    if found is None:
        raise (ToolFailed if call.observed is None else Stale)(f"there is no contact {args.contact_id}")
    if call.attempt > 1 and _done_before(args, call, found):
        await tell_left(crm, call, args.contact_id)
        return {"contact": shown(found.contact)}
    if isinstance(call.observed, dict) and call.observed.get("content") != found.state:
        raise Stale(f"contact {args.contact_id} has changed since its preview")
    call.undo = {"id": args.contact_id, "before": _touched(found, fields)}
    try:
        changed = await crm.update(args.contact_id, fields, call.idempotency_key, found.etag)
    except ToolFailed as error:
        call.undo = None
        if isinstance(error, TargetRefused) and error.status == PRECONDITION_FAILED:
            raise Stale(f"contact {args.contact_id} was changed by another user just now") from error
        raise
    await tell_left(crm, call, args.contact_id)
    return {"contact": shown(changed.contact)}


@ghl_update_contact.dry_run(partial=True)
async def look(args: GhlUpdateContact, call: ToolCall) -> Preview:
    """Read the contact as it is now, and predict the change."""
    fields = fields_of(args)
    undo = "Restore its former values, unless they were changed by then."
    name = _name(args, call)
    if name is None:
        effect = f"Would change {', '.join(fields)} of a contact that is known after live."
        return Preview(effect=effect, undo=undo)
    found = await _before(args, call, name)
    changes = ", ".join(f"{name} from {found.contact.get(name)!r} to {value!r}" for name, value in fields.items())
    derived = dict.fromkeys(NAMES, UNKNOWN) if any(name in NAMES for name in fields) else {}
    return Preview(
        effect=f"Would change {changes} of contact {args.contact_id}.",
        output=json_of({"contact": {**shown(found.contact), **derived, **fields}}),
        observed=_observed(found, fields),
        undo=undo,
        leaves={name: _left({**found.contact, **derived, **fields})},
    )


async def _before(args: GhlUpdateContact, call: ToolCall, name: str) -> FoundContact:
    """Return the contact as an earlier step of the plan leaves it, or as it is.

    Raises:
        ToolFailed: If there is none.
    """
    earlier = call.earlier(name)
    found = await Crm(call).get(args.contact_id) if earlier is None else FoundContact(dict(earlier.content), etag=None)
    if found is None:
        raise ToolFailed(f"the CRM has no contact {args.contact_id}")
    return found


def _left(contact: Contact) -> Left:
    """Return the state after a change; how the CRM derives names from names only the live call will know."""
    return Left(seen=state_left(FoundContact(contact, etag=None)), content=contact)


def _observed(found: FoundContact, fields: Contact) -> dict[str, JsonValue]:
    before = _touched(found, fields)
    return state_left(found) if contains_unknown(before) else {**state_left(found), "before": before}


def _name(args: GhlUpdateContact, call: ToolCall) -> str | None:
    """Return the name of the contact; None if neither its id nor the step that creates it can be told."""
    if args.contact_id != UNKNOWN:
        return f"contact:{args.contact_id}"
    step, parts = call.source("contact_id") or ("", ())
    created = parts == ("contact", "id") and call.look_before(created_name(step)) is not None
    return created_name(step) if created else None


@ghl_update_contact.compensate
async def undo(args: GhlUpdateContact, call: ToolCall) -> None:
    """Restore the former values of the fields that this call changed.

    Raises:
        ToolFailed: If another user has changed them since, or the contact is gone; nothing is changed.
    """
    token, found = await _still_changed(args, call)
    if found is not None:
        await Crm(call).update(token["id"], token["before"], f"{call.idempotency_key}/undo", found.etag)


@ghl_update_contact.undo_check
async def look_at_undo(args: GhlUpdateContact, call: ToolCall) -> Preview:
    """Check that the contact still has the values of this call."""
    token, found = await _still_changed(args, call)
    if found is None:
        return Preview(effect="Nothing to do: the contact has its former values.")
    values = ", ".join(f"{name} to {value!r}" for name, value in token["before"].items())
    return Preview(effect=f"Would restore {values} of contact {token['id']}.", observed=found.state)


async def _still_changed(args: GhlUpdateContact, call: ToolCall) -> tuple[Any, FoundContact | None]:
    """Return the undo token, and the contact with the values of this call; None if it has its former values again.

    Raises:
        ToolFailed: If another user has changed the values since, or the contact is gone.
    """
    token: Any = call.undo
    if not isinstance(token, dict) or not isinstance(token.get("before"), dict):
        raise ToolFailed("the undo token is not one of ghl_update_contact")
    found = await Crm(call).get(token["id"])
    if found is None:
        raise ToolFailed(f"contact {token['id']} is gone: its former values cannot be restored")
    if unchanged(found.contact, token["before"]):
        return token, None
    if not holds(found.contact, fields_of(args)):
        raise ToolFailed(f"contact {token['id']} was changed by another user since: it is left alone")
    return token, found


@ghl_update_contact.probe
async def probe(args: GhlUpdateContact, call: ToolCall) -> Probe:
    """Check whether the contact has the new values or still the former ones."""
    found = await Crm(call).get(args.contact_id)
    token: Any = _known_token(args, call)
    if found is None or token is None:
        return Probe(happened=None, why="the contact is gone, or its former values are not known")
    if unchanged(found.contact, token["before"]):
        return Probe(happened=False, why="the contact has its former values")
    if holds(found.contact, fields_of(args)):
        call.undo = token
        return Probe(happened=True, output={"contact": shown(found.contact)}, why="the contact has the new values")
    return Probe(happened=None, why="the contact has neither its former values nor those of this call")


@ghl_update_contact.mock
def mock(args: GhlUpdateContact, _call: ToolCall) -> ContactOutput:
    """Return the contact with its new values. Only the CRM knows the others."""
    contact: Contact = dict.fromkeys(SHOWN, UNKNOWN)
    fields = fields_of(args) if fits(args) else {}
    return {"contact": {**contact, "id": str(args.contact_id), **fields}}


def _done_before(args: GhlUpdateContact, call: ToolCall, found: FoundContact) -> bool:
    """Return True if an earlier attempt made the change, and set its undo token.

    Raises:
        InDoubt: If the contact has the new values and its former ones are not known.
    """
    if not holds(found.contact, fields_of(args)):
        return False
    token: Any = _known_token(args, call)
    if token is None:
        raise InDoubt("the contact has the new values already, and its former ones are not known")
    if unchanged(found.contact, token["before"]):
        return False
    call.undo = token
    return True


def _touched(found: FoundContact, fields: Contact) -> dict[str, JsonValue]:
    """Return the former values of every field that may change; the CRM derives some names from others."""
    names = {*fields, *(NAMES if any(name in NAMES for name in fields) else ())}
    return {name: found.contact.get(name) for name in sorted(names)}


def _known_token(args: GhlUpdateContact, call: ToolCall) -> JsonValue:
    """Return the undo token of an earlier attempt: kept with the call, or built from the preview."""
    if call.undo is not None:
        return call.undo
    before = call.observed.get("before") if isinstance(call.observed, dict) else None
    return {"id": args.contact_id, "before": before} if isinstance(before, dict) and not contains_unknown(before) else None
