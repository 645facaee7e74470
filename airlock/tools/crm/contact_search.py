"""`ghl_search`: contacts of the CRM, by text."""

from typing import Annotated

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, fits, frozen_description, json_of
from airlock.tools.crm.contacts import Crm, GhlSettings, shown


class GhlSearch(Arguments):
    """A text to search contacts for."""

    model_config = frozen_description("What to look for.")

    query: Annotated[str, Field(min_length=1, max_length=200, description="part of a name, an email, a phone number, a tag")]
    limit: Annotated[int, Field(ge=1, le=50, description="the most contacts to return")] = 20


class ContactsFound(TypedDict):
    """The contacts found."""

    contacts: list[dict[str, JsonValue]]
    total: int
    """The number of all matches, returned or not."""


@tool(
    name="ghl_search",
    risk="LOW",
    reversibility="read_only",
    permissions={"contacts:read"},
    timeout=30,
    idempotent=True,
    settings=GhlSettings,
)
async def ghl_search(args: GhlSearch, call: ToolCall) -> ContactsFound:
    """Search the contacts of the CRM."""
    found = await Crm(call).search(args.query, args.limit)
    contacts = [shown(contact) for contact in found["contacts"]]
    return {"contacts": contacts, "total": int(found.get("total") or len(contacts))}


@ghl_search.dry_run
async def look(args: GhlSearch, call: ToolCall) -> Preview:
    """Search the contacts: this changes nothing."""
    found = await ghl_search.live(args, call)
    effect = f"Would find {found['total']} contacts for {args.query!r}."
    if call.follows_writes:  # what they write may be among what the live call finds
        effect = f"Would search for {args.query!r}, which finds {found['total']} contacts now."
    return Preview(effect=effect, output=json_of(found))


@ghl_search.mock
def mock(args: GhlSearch, _call: ToolCall) -> ContactsFound:
    """Return one contact that fits the query. Which others there are is not known."""
    email = args.query if fits(args) and "@" in args.query else "jo@example.test"
    contact = {"id": UNKNOWN, "email": email, "name": "Jo Mock", "firstName": "Jo", "lastName": "Mock"}
    return {"contacts": [{**contact, "phone": None, "tags": []}], "total": 1}
