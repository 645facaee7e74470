"""`starter.py rollback` of a plan that has ended, with real files: asked for, read, approved, and only once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from airlock.client import Airlock
from airlock.plans.state import State
from tests.cli.conftest import Said, Starter, note_plan
from tests.signers import SshPerson

pytestmark = pytest.mark.slow


async def ended(airlock: Airlock, plan: dict[str, Any]) -> None:
    """Run a plan to its end."""
    handle = await airlock.submit(plan)
    status = await handle.wait_for(State.AWAITING_APPROVAL)
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert (await handle.result()).outcome == "completed"


async def test_a_plan_that_has_ended_is_undone_from_the_command_line(starter: Starter, airlock: Airlock) -> None:
    await ended(airlock, note_plan("past"))
    folder = starter.env.work_folder / "past"
    asked = await starter("rollback", "past", "--reason", "wrong folder", "--by", "carol")
    assert asked.code == 0, asked.err
    assert "starter.py approve undo-past" in asked.out
    again = await starter("rollback", "past", "--reason", "me too", "--by", "dave", "--json")
    assert again.code == 1
    assert again.json["error"].startswith("an undo of plan 'past' is open already: undo-past. See it: ")
    assert again.json["error"].endswith("starter.py show undo-past")

    shown = await starter("show", "undo-past")
    assert "Would remove past/two.md." in shown.out
    assert 'requested by "carol"' in shown.out
    assert "undo-past" in (await _listed(starter)).out
    digest = (await airlock.plan("undo-past").status()).digest
    rules = starter.env.work_folder / "rules.toml"
    rules.write_text('[[policy.rule]]\nid = "all"\nwhen = \'step.read_only\'\nthen = "deny"\n', encoding="utf-8")
    explained = await starter("policy", "explain", "undo-past", "--config", str(rules))
    assert (explained.code, "is an undo: no rule looks at one" in explained.err) == (1, True), explained
    own = await starter("approve", "undo-past", "--digest", str(digest), "--by", "carol")
    assert own.code == 1
    assert (folder / "two.md").exists()

    approved = await starter("approve", "undo-past", "--digest", str(digest)[:12], "--by", "alice")
    assert (approved.code, approved.err) == (0, "")
    watched = await starter("watch", "undo-past")
    assert "ABORTED (aborted)" in watched.out
    assert not folder.exists()

    twice = await starter("rollback", "past", "--reason", "once more", "--by", "carol")
    assert twice.code == 1
    assert "nothing is left to undo (undone already: one, two). Nothing was undone: undo-past is ABORTED" in twice.err
    wrong = await starter("rollback", "undo-past", "--reason", "r", "--by", "carol")
    assert "starter.py rollback past" in wrong.err
    nobody = await starter("rollback", "no-such-plan", "--reason", "r", "--by", "carol")
    assert (nobody.code, "there is no plan 'no-such-plan'" in nobody.err) == (1, True)


async def _listed(starter: Starter) -> Said:
    """Return the list of plans, once visibility has caught up."""
    async with asyncio.timeout(120):
        while True:
            said = await starter("list")
            if "undo-past" in said.out:
                return said


async def test_the_request_for_an_undo_is_signed_from_the_command_line(
    starter: Starter, airlock: Airlock, tmp_path: Path
) -> None:
    await ended(airlock, note_plan("signed-request"))
    (tmp_path / "key").write_bytes(SshPerson("carol").file)
    request = (
        "rollback",
        "signed-request",
        "--reason",
        "wrong folder",
        "--by",
        "carol",
        "--sign-key",
        str(tmp_path / "key"),
    )
    # no key is listed in this environment: a signature that cannot count is no request
    refused = await starter(*request)
    assert refused.code == 1
    told = refused.err.replace("\n", " ")
    assert "no authorized key is listed for 'carol'" in told
    assert "Nothing was undone" in told
    undoing = airlock.plan("undo-signed-request")
    assert (await undoing.result()).outcome == "aborted"
    (entry,) = [one for one in (await undoing.audit()).entries if one.what == "rollback"]
    assert (entry.kind, entry.by, entry.signed) == ("refused", "carol", None)
    assert (starter.env.work_folder / "signed-request" / "two.md").exists()
    assert (await starter(*request[:-2])).code == 0


async def test_a_file_that_somebody_changed_since_is_shown_and_settled_by_hand(starter: Starter, airlock: Airlock) -> None:
    await ended(airlock, note_plan("moved"))
    folder = starter.env.work_folder / "moved"
    (folder / "one.md").write_text("another person's")
    asked = await starter("rollback", "moved", "--reason", "wrong", "--by", "carol", "--json")
    assert (asked.json["plan_id"], asked.json["state"]) == ("undo-moved", "AWAITING_APPROVAL")
    text = (await starter("show", "undo-moved")).out
    assert "would FAIL as things are now" in text
    assert "'moved/one.md' was changed by another program since" in text
    assert (await starter("approve", "undo-moved", "--digest", asked.json["digest"], "--by", "alice")).code == 0
    handle = airlock.plan("undo-moved")
    assert (await handle.wait_for(State.LOCKED)).parked == ("one",)
    assert not (folder / "two.md").exists()
    settled = await starter("resolve", "undo-moved", "one", "skip", "--reason", "it is theirs now", "--by", "op")
    assert settled.code == 0, settled.err
    assert (await handle.result()).kept == ("one",)
    assert (folder / "one.md").read_text() == "another person's"
