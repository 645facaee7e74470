"""Decisions of people by the command line, against a real server: seen, signed, refused or counted, and settled."""

import asyncio
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from airlock.client import Airlock
from airlock.plans.state import State
from tests.cli.conftest import CTRL_C, Starter, eventually, new_key, note_plan, starter_on_terminal, waiting

pytestmark = pytest.mark.slow
PlanFile = Callable[..., str]


async def test_refused_decisions_exit_1_with_the_reason(starter: Starter, airlock: Airlock) -> None:
    digest = await waiting(airlock, note_plan("decided"))
    wrong = await starter("approve", "decided", "--digest", "0" * 16, "--by", "alice")
    assert (wrong.code, wrong.out) == (1, "")
    assert "approve refused: this is not the digest of the current preview; look at it again: " in wrong.err
    assert wrong.err.rstrip().endswith("starter.py show decided")
    for arguments, reason in [
        (("approve", "decided", "--digest", digest, "--by", "sales-lead"), "requested this plan"),
        (("approve", "decided", "--digest", digest, "--by", "mallory"), "is not among the approvers (alice, bob)"),
        (("approve", "decided", "--digest", digest, "--by", "alice", "--steps", "two"), "depends on one"),
        (("approve", "decided", "--digest", digest[:4], "--by", "alice"), "at least its first 12"),
        (("unlock", "decided", "--reason", "r"), "unlock is not possible in AWAITING_APPROVAL"),
        (("rollback", "decided", "--reason", "r"), "nothing is live"),
        (("resolve", "decided", "one", "retry", "--reason", "r"), "does not wait to be settled"),
    ]:
        said = await starter(*arguments, "--json")
        assert said.code == 1, arguments
        assert reason in said.json["error"], arguments
        assert said.json["accepted"] is False
    status = await airlock.plan("decided").status()
    assert (status.state, status.refused) == (State.AWAITING_APPROVAL, 8)


async def test_nothing_is_approved_unseen(starter: Starter, airlock: Airlock) -> None:
    await waiting(airlock, note_plan("unseen"))
    for arguments in (("approve", "unseen", "--by", "alice"), ("approve", "unseen", "--by", "alice", "--yes")):
        said = await starter(*arguments, stdin="y\n")
        assert said.code == 1
        assert "nothing is approved unseen" in said.err
        assert "starter.py show unseen" in said.err
    unknown = await starter("approve", "no-such-plan", "--by", "alice")
    assert unknown.code == 1
    assert "there is no plan 'no-such-plan'" in unknown.err
    assert "--digest" not in unknown.err


async def test_part_of_a_plan_can_be_approved(starter: Starter, airlock: Airlock) -> None:
    digest = await waiting(airlock, note_plan("partly"))
    said = await starter("approve", "partly", "--digest", digest, "--by", "alice", "--steps", "one", "--json")
    assert (said.code, said.json["accepted"]) == (0, True)
    assert (await airlock.plan("partly").result()).outcome.value == "partial"


async def test_lock_unlock_and_abort(starter: Starter, airlock: Airlock) -> None:
    await waiting(airlock, note_plan("held"))
    assert (await starter("lock", "held", "--reason", "audit")).code == 0
    assert (await airlock.plan("held").status()).state is State.LOCKED
    assert (await starter("unlock", "held", "--reason", "done")).code == 0
    await airlock.plan("held").wait_for(State.AWAITING_APPROVAL)
    aborted = await starter("abort", "held", "--reason", "not needed", "--by", "carol", "--json")
    assert (aborted.code, aborted.json["decision"]) == (0, "abort")
    await airlock.plan("held").result()  # a run that still gives back its slots refuses by itself
    late = await starter("abort", "held", "--reason", "again")
    assert late.code == 1
    assert "plan 'held' has ended: aborted (not needed)" in late.err
    unseen = await starter("approve", "held", "--by", "alice", "--json")
    assert (unseen.code, unseen.json["error"]) == (1, "plan 'held' has ended: aborted (not needed)")


async def test_a_signature_is_sent_and_judged(starter: Starter, airlock: Airlock, tmp_path: Path) -> None:
    digest = await waiting(airlock, note_plan("signed"))
    approve = ("approve", "signed", "--by", "alice", "--sign-key", str(tmp_path / "key"), "--digest")
    said = await starter(*approve, digest)
    assert said.code == 1
    assert f"--sign-key: {tmp_path / 'key'}: No such file or directory" in said.err
    (tmp_path / "key").write_text("no key")
    assert "the decision cannot be signed: the key file cannot be read" in (await starter(*approve, digest)).err
    (tmp_path / "key").write_bytes(new_key()[0])
    assert "no authorized key is listed for 'alice'" in (await starter(*approve, digest[:32])).err
    assert "this is not the digest of the current preview" in (await starter(*approve, "0" * 32)).err
    # another preview with these 12 characters can be found by trying, and be shown before this one is signed
    assert "--digest: names too little to be signed" in (await starter(*approve, digest[:31])).err


async def test_a_decision_is_printed_with_its_signature_instead_of_sent(
    starter: Starter, airlock: Airlock, tmp_path: Path
) -> None:
    await waiting(airlock, note_plan("printed"))
    (tmp_path / "key").write_bytes(new_key()[0])
    printed = await starter(
        "deny", "printed", "--by", "alice", "--reason", "it's wrong", "--sign-key", str(tmp_path / "key"), "--print-command",
        "--json",
    )  # fmt: skip
    assert printed.code == 0
    signal, update = shlex.split(printed.json["signal"]), shlex.split(printed.json["update"])
    assert signal[:7] == ["temporal", "workflow", "signal", "--workflow-id", "plan-printed", "--name", "deny"]
    sent = json.loads(signal[-1])
    assert (sent["by"], sent["reason"], sent["evidence"]["kind"]) == ("alice", "it's wrong", "ssh")
    assert json.loads(update[-1]) == {"decision": "deny", **sent}
    locked = await starter("lock", "--by", "alice", "--reason", "drill", "--print-command")
    assert "temporal workflow signal --workflow-id gate-live --name lock" in locked.out
    assert (await airlock.plan("printed").status()).state is State.AWAITING_APPROVAL
    verdict = await airlock.plan("printed").decide("deny", **sent)
    assert "no authorized key is listed" in verdict.reason


async def test_what_an_approver_reads_is_whole_and_can_be_seen(
    starter: Starter, airlock: Airlock, plan_file: PlanFile
) -> None:
    hidden = "pay\u200bme\ufe0f \u0430t acme\u2028now"
    content = "Dear Jo,\n" + "thank you for your order. " * 40 + f"\n{hidden}\n" + "Kind regards. " * 40
    plan = note_plan("hidden", goal="A" + " " * 80 + "-> LIVE\u202e", requested_by="Jos\u00e9")
    plan["steps"][0]["args"]["content"] = content
    checked = await starter("check", plan_file(plan))
    assert "U+200B; U+FE0F; mixed: Cyrillic \u0430 U+0430; U+2028" in checked.out + checked.err
    digest = await waiting(airlock, plan)
    first = plan["steps"][0]["id"]
    shown, step = await starter("show", "hidden"), await starter("show", "hidden", "--step", first)
    mixed = "\u27e8mixed: Cyrillic \u0430 U+0430\u27e9"
    marked = f"pay\u27e8U+200B\u27e9me\u27e8U+FE0F\u27e9 \u0430t{mixed} acme\u27e8U+2028\u27e9now"
    for said in (shown, step):
        assert marked in said.out
        unwrapped = re.sub(r"\n +\u2502", "", said.out)
        assert "thank you for your order. " * 39 in unwrapped
        assert "Kind regards. " * 39 in unwrapped
    assert "A\u27e880 spaces\u27e9-> LIVE\u27e8U+202E\u27e9" in shown.out
    assert (digest[:12] in shown.out, digest[:12] in step.out) == (True, False)
    for said in (shown, step, await starter("list"), await starter("show", "hidden", "--audit")):
        assert not any(character in said.out for character in "\u200b\ufe0f\u2028\u202e")
    document = await starter("show", "hidden", "--step", first, "--json")
    assert document.json["step"]["args"]["content"] == content
    assert "\u200b" not in document.out  # written as JSON writes it
    unknown = await starter("show", "hidden", "--step", "no\u200bne")
    assert (unknown.code, "there is no step 'no\\u200bne'" in unknown.err) == (1, True)
    refused = await starter("approve", "hidden", "--digest", digest, "--by", "\u0430lice")
    assert (refused.code, "Cyrillic \u0430 U+0430" in refused.err) == (1, True)
    assert "requested this plan" in (await starter("approve", "hidden", "--digest", digest, "--by", "JOSE\u0301")).err


async def test_on_a_terminal_approve_shows_the_preview_and_asks(starter: Starter, airlock: Airlock) -> None:
    await waiting(airlock, note_plan("asked"))
    arguments = ("approve", "asked", "--by", "alice")
    refused = await asyncio.to_thread(starter_on_terminal, *arguments, environment=starter.env.worker_environment, typed="n")
    assert (refused.code, "not approved" in refused.out) == (1, True)
    said = await asyncio.to_thread(starter_on_terminal, *arguments, environment=starter.env.worker_environment, typed="y")
    assert said.code == 0, said.out
    assert "To approve exactly this:" in said.out
    assert "approve accepted" in said.out
    assert (await airlock.plan("asked").result()).outcome.value == "completed"


async def test_ctrl_c_ends_a_question_at_once(starter: Starter, airlock: Airlock, tmp_path: Path) -> None:
    """While its task waits for the keyboard, the event loop would only note the first Ctrl-C."""
    await waiting(airlock, note_plan("left"))
    key = tmp_path / "key"
    private = Ed25519PrivateKey.generate()
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"secret")))
    deny = ("deny", "left", "--by", "alice", "--reason", "no", "--sign-key", str(key))
    for arguments, asked in ((("approve", "left", "--by", "alice"), "[y/N]: "), (deny, f"Password of {key}: ")):
        said = await asyncio.to_thread(
            starter_on_terminal, *arguments, environment=starter.env.worker_environment, typed=CTRL_C, after=asked
        )
        assert (said.code, "Traceback" in said.out) == (130, False), said.out
    assert (await airlock.plan("left").status()).state is State.AWAITING_APPROVAL


async def test_a_call_in_doubt_is_settled_by_a_human(starter: Starter, airlock: Airlock) -> None:
    plan = note_plan("doubtful")
    mail = {"to": "jo@dropped.test", "subject": "Hello", "body": "the answer to this mail is lost"}
    plan["steps"][1] |= {"agent": "crm", "tool": "send_email", "args": mail}
    digest = await waiting(airlock, plan)
    assert (await starter("approve", "doubtful", "--digest", digest, "--by", "alice")).code == 0
    status = await airlock.plan("doubtful").wait_for(State.LOCKED)
    assert status.parked == ("two",)
    assert "a human to settle two" in (await starter("show", "doubtful")).out
    unlocked = await starter("unlock", "doubtful", "--reason", "go on")
    assert unlocked.code == 1
    assert "must be settled first" in unlocked.err
    wrong = await starter("resolve", "doubtful", "two", "retry", "--reason", "r")
    assert wrong.code == 1
    assert "say happened or did_not_happen" in wrong.err
    not_json = await starter("resolve", "doubtful", "two", "happened", "--reason", "r", "--output", "{")
    assert "--output: is not JSON" in not_json.err
    settled = await starter(
        "resolve", "doubtful", "two", "happened", "--reason", "it is in the mailbox", "--output", '{"to": "jo"}', "--json"
    )
    assert (settled.code, settled.json["accepted"]) == (0, True)
    assert (await airlock.plan("doubtful").result()).outcome.value == "completed"


async def test_a_locked_plan_can_be_rolled_back(starter: Starter, airlock: Airlock) -> None:
    plan = note_plan("taken-back")
    mail = {"to": "jo@slow.test", "subject": "Taken back", "body": "the answer to this mail takes seconds"}
    plan["steps"][1] |= {"agent": "crm", "tool": "send_email", "args": mail}
    digest = await waiting(airlock, plan)
    await airlock.plan("taken-back").decide("approve", by="alice", digest=digest)
    eventually(lambda: (starter.env.work_folder / "taken-back" / "one.md").exists())
    assert (await starter("lock", "taken-back", "--reason", "wait", "--by", "carol")).code == 0
    rolled = await starter("rollback", "taken-back", "--reason", "not now", "--to-step", "one", "--by", "carol")
    assert rolled.code == 0, rolled.err
    result = await airlock.plan("taken-back").result()
    assert result.outcome.value == "aborted"
    assert "one" in result.undone
    assert not (starter.env.work_folder / "taken-back").exists()
