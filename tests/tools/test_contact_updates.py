"""Updates of contacts in a real CRM: previewed alone and behind others, undone exactly, stale when others wrote."""

from collections.abc import Callable
from typing import Any

import pytest

from airlock.base.errors import InDoubt, Stale, ToolFailed
from airlock.plans.left_states import completed
from airlock.plans.refs import UNKNOWN
from airlock.tools import ghl_create_contact, ghl_update_contact
from airlock.tools.crm.contacts import Crm, tell_left
from tests.tools.conftest import JO

Make = Callable[..., Any]


def content(contact: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in contact.items() if name != "dateUpdated"}


async def test_update_and_undo(runner: Make, crm: Any) -> None:
    jo = crm.add(**JO)
    tool = runner(ghl_update_contact, crm.settings)
    args = {"contact_id": jo["id"], "name": "JO DOE", "tags": ["vip", "new"], "phone": "+1 555"}
    preview = await tool.dry_run(**args)
    assert crm.contacts() == [jo]
    assert "phone from '+31105550100' to '+1 555'" in preview.effect
    call = tool.call(observed=preview.observed)
    output = await tool.live(call, **args)
    (now,) = crm.contacts()
    assert (now["name"], now["firstName"], now["tags"], now["phone"]) == ("JO DOE", "JO", ["vip", "new"], "+1 555")
    assert output["contact"]["name"] == "JO DOE"
    for _ in range(2):
        await tool.undo(call.undo, **args)
        assert [content(contact) for contact in crm.contacts()] == [content(jo)]


async def test_undo_of_update_clears_what_was_empty(runner: Make, crm: Any) -> None:
    jo = crm.add(email="jo@acme.test")
    tool = runner(ghl_update_contact, crm.settings)
    args = {"contact_id": jo["id"], "first_name": "Jo", "phone": "1", "tags": ["x"], "email": "new@acme.test"}
    call = tool.call()
    await tool.live(call, **args)
    assert crm.contacts()[0]["name"] == "Jo"
    await tool.undo(call.undo, **args)
    assert [content(contact) for contact in crm.contacts()] == [content(jo)]


async def test_update_twice_under_one_key(runner: Make, crm: Any) -> None:
    jo = crm.add(**JO)
    tool = runner(ghl_update_contact, crm.settings)
    args = {"contact_id": jo["id"], "phone": "+1"}
    observed = (await tool.dry_run(**args)).observed
    first, second = tool.call(observed=observed), tool.call(observed=observed, attempt=2)
    output = await tool.live(first, **args)
    assert await tool.live(second, **args) == output
    assert second.undo == first.undo
    assert len(crm.requests("PUT")) == 1
    blind = tool.call(attempt=2)
    with pytest.raises(InDoubt, match="its former ones are not known"):
        await tool.live(blind, **args)
    kept = tool.call(attempt=2, undo=first.undo)
    assert await tool.live(kept, **args) == output


async def test_an_update_that_only_changes_case_is_not_taken_for_done(runner: Make, crm: Any) -> None:
    jo = crm.add(**JO)
    tool = runner(ghl_update_contact, crm.settings)
    args = {"contact_id": jo["id"], "name": "jo doe"}
    observed = (await tool.dry_run(**args)).observed
    await tool.live(tool.call(observed=observed, attempt=2), **args)
    assert crm.contacts()[0]["name"] == "jo doe"


async def test_update_is_stale_when_the_contact_moved(runner: Make, crm: Any) -> None:
    jo = crm.add(**JO)
    tool = runner(ghl_update_contact, crm.settings)
    args = {"contact_id": jo["id"], "phone": "+1"}
    observed = (await tool.dry_run(**args)).observed
    crm.request("PUT", f"/contacts/{jo['id']}", json={"city": "Rotterdam"})
    call = tool.call(observed=observed)
    with pytest.raises(Stale):
        await tool.live(call, **args)
    assert call.undo is None
    crm.fault(method="PUT", status=412)
    with pytest.raises(Stale, match="just now"):
        await tool.live(call := tool.call(), **args)
    assert call.undo is None
    crm.request("DELETE", f"/contacts/{jo['id']}")
    with pytest.raises(Stale, match="no contact"):
        await tool.live(tool.call(observed=observed), **args)
    with pytest.raises(ToolFailed, match="no contact"):
        await tool.dry_run(**args)


async def test_undo_of_update_leaves_alone_what_somebody_changed(runner: Make, crm: Any) -> None:
    jo = crm.add(**JO)
    tool = runner(ghl_update_contact, crm.settings)
    args = {"contact_id": jo["id"], "phone": "+1"}
    call = tool.call()
    await tool.live(call, **args)
    crm.request("PUT", f"/contacts/{jo['id']}", json={"phone": "+2"})
    with pytest.raises(ToolFailed, match="changed by another user"):
        await tool.undo(call.undo, **args)
    assert crm.contacts()[0]["phone"] == "+2"
    crm.request("DELETE", f"/contacts/{jo['id']}")
    with pytest.raises(ToolFailed, match="is gone"):
        await tool.undo(call.undo, **args)


@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 500}, {"status": 504}])
async def test_update_of_unknown_outcome(runner: Make, crm: Any, happened: bool, fault: Any) -> None:
    jo = crm.add(**JO)
    tool = runner(ghl_update_contact, crm.settings)
    args = {"contact_id": jo["id"], "phone": "+1"}
    observed = (await tool.dry_run(**args)).observed
    crm.fault(method="PUT", **fault, after_effect=happened)
    call = tool.call(observed=observed)
    with pytest.raises(InDoubt):
        await tool.live(call, **args)
    assert (await tool.probe(tool.call(undo=call.undo), **args)).happened is happened
    for _ in range(2):
        await tool.undo(call.undo, **args)
        assert [content(contact) for contact in crm.contacts()] == [content(jo)]


async def test_two_updates_of_one_contact_are_previewed_together_and_undone_in_reverse(runner: Make, crm: Any) -> None:
    jo = crm.add(**JO)
    first, second = runner(ghl_update_contact, crm.settings, key="1"), runner(ghl_update_contact, crm.settings, key="2")
    one, two = (
        {"contact_id": jo["id"], "tags": ["vip"]},
        {"contact_id": jo["id"], "tags": ["vip", "late"], "phone": "+31105550199"},
    )
    before = content(crm.contacts()[0])
    earlier = await first.dry_run(**one)
    later = await second.dry_run(after=earlier, **two)
    assert "tags from ['vip'] to ['vip', 'late']" in later.effect
    made, changed = first.call(observed=earlier.observed), second.call(observed=later.observed)
    await first.live(made, **one)
    between = content(crm.contacts()[0])
    assert (await second.live(changed, **two))["contact"] == later.output["contact"]
    await second.undo(changed.undo, **two)
    assert content(crm.contacts()[0]) == between
    await first.undo(made.undo, **one)
    assert content(crm.contacts()[0]) == before


async def test_another_program_between_two_updates_makes_the_second_stale(runner: Make, crm: Any) -> None:
    jo = crm.add(**JO)
    tool = runner(ghl_update_contact, crm.settings)
    one, two = {"contact_id": jo["id"], "tags": ["vip"]}, {"contact_id": jo["id"], "tags": ["late"]}
    later = await tool.dry_run(after=await tool.dry_run(**one), **two)
    await tool.live(**one)
    crm.request("PUT", f"/contacts/{jo['id']}", json={"phone": "+31105550111"})
    with pytest.raises(Stale, match="has changed since its preview"):
        await runner(ghl_update_contact, crm.settings, key="2").live(tool.call(observed=later.observed), **two)


@pytest.mark.parametrize("change", [{"name": "Jo Smith"}, {"phone": UNKNOWN}])
async def test_what_only_the_crm_knows_is_open_until_the_call_tells(runner: Make, crm: Any, change: dict[str, str]) -> None:
    jo = crm.add(**JO)
    tool, name = runner(ghl_update_contact, crm.settings), f"contact:{jo['id']}"
    earlier = await tool.dry_run(contact_id=jo["id"], **change)
    assert [left.seen for left in earlier.leaves.values()] == [{"content": UNKNOWN}]
    two = {"contact_id": jo["id"], "tags": ["vip"], "name": "Jo Third"}
    later = await runner(ghl_update_contact, crm.settings).dry_run(after=earlier, **two)
    assert later.observed["content"] == UNKNOWN
    made = tool.call(observed=earlier.observed, wanted=(name,))
    await tool.live(made, contact_id=jo["id"], **change | ({"phone": "+31105550123"} if "phone" in change else {}))
    observed = completed(later.observed, {name: "step-0"}, made.leaves)
    other = runner(ghl_update_contact, crm.settings, key="2")
    await other.live(other.call(observed=observed), **two)
    assert crm.contacts()[0]["tags"] == ["vip"]
    with pytest.raises(Stale, match="has changed since its preview"):
        await other.live(other.call(observed=made.leaves[name]), **two)


async def test_a_contact_that_the_plan_creates_is_compared_with_what_that_call_left(runner: Make, crm: Any) -> None:
    create, update = runner(ghl_create_contact, crm.settings, key="1"), runner(ghl_update_contact, crm.settings, key="2")
    earlier, name = await create.dry_run(**JO), "created:contact/step-1"
    two = {"contact_id": UNKNOWN, "phone": "+31105550199"}
    later = await update.dry_run(after=earlier, unknown=("contact_id",), refs={"contact_id": "step-1.contact.id"}, **two)
    assert later.effect == "Would change phone from '+31105550100' to '+31105550199' of contact (known after live)."
    assert (later.observed["content"], later.output["contact"]["email"]) == (UNKNOWN, "jo@acme.test")
    other = await update.dry_run(after=earlier, unknown=("contact_id",), refs={"contact_id": "step-1.contact.name"}, **two)
    assert other.observed is None, "only the id names the contact"
    made = create.call(observed=earlier.observed, wanted=(name,))
    two["contact_id"] = (await create.live(made, **JO))["contact"]["id"]
    observed = completed(later.observed, {name: "step-0"}, made.leaves)
    crm.request("PUT", f"/contacts/{two['contact_id']}", json={"tags": ["theirs"]})
    with pytest.raises(Stale, match="has changed since its preview"):
        await update.live(update.call(observed=observed), **two)
    crm.request("PUT", f"/contacts/{two['contact_id']}", json={"tags": JO["tags"]})
    assert (await update.live(update.call(observed=observed), **two))["contact"]["phone"] == "+31105550199"


async def test_a_state_that_cannot_be_read_after_the_call_is_left_out(runner: Make, crm: Any) -> None:
    call = runner(ghl_update_contact, crm.settings).call(wanted=("contact:x",))
    crm.fault(method="GET", path_prefix="/contacts/", status=500)
    await tell_left(Crm(call), call, crm.add(**JO)["id"])
    assert call.leaves == {}


async def test_create_then_update_undone_in_reverse(runner: Make, crm: Any) -> None:
    create, update = runner(ghl_create_contact, crm.settings, key="1"), runner(ghl_update_contact, crm.settings, key="2")
    made, changed = create.call(), update.call()
    contact_id = (await create.live(made, **JO))["contact"]["id"]
    args = {"contact_id": contact_id, "name": "Other"}
    await update.live(changed, **args)
    await update.undo(changed.undo, **args)
    await create.undo(made.undo, **JO)
    assert crm.contacts() == []
