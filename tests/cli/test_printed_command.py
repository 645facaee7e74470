"""Commands printed for decisions that must be signed, pasted into a shell with a key file in its place: they count."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from airlock.base.person import KEY_FILE, OTHER_NAME, OWN_NAME
from airlock.cli import inbox as inbox_command
from airlock.client import Airlock
from airlock.client.errors import NoSuchPlan
from airlock.client.undo import previewed
from airlock.inbox import app as inbox_app
from airlock.inbox.person import Person
from airlock.plans.state import State
from devtools.environment import ROOT, Environment, environment
from tests.cli.conftest import Said, Starter, new_key, note_plan
from tests.cli.inbox_keys import confirmed, inbox, opened, told, waiting
from tests.workflows.conftest import binary

pytestmark = pytest.mark.slow
PEOPLE = ("alice", "bob")
RULES = """
[policy.roles]
approver = ["alice", "bob"]

[policy.decisions.approve]
evidence = "ssh"
roles = ["approver"]

[policy.decisions.deny]
evidence = "ssh"

[policy.decisions.unlock]
evidence = "ssh"

[policy.decisions.approve.by_risk.MEDIUM]
people = 2
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The key file of each person, with its public line beside it."""
    folder, found = tmp_path_factory.mktemp("keys"), dict[str, Path]()
    for name in PEOPLE:
        private, public = new_key()
        found[name] = folder / name
        found[name].write_bytes(private)
        Path(f"{found[name]}.pub").write_text(f"{public} {name}\n", encoding="utf-8")
    return found


@pytest.fixture(scope="module")
async def office(keys: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    """An environment whose policy demands signatures, as the guide about approving writes it."""
    folder = tmp_path_factory.mktemp("signed")
    lines = [Path(f"{key}.pub").read_text(encoding="utf-8").strip() for key in keys.values()]
    usual = (ROOT / "airlock.toml").read_text(encoding="utf-8")
    config = folder / "airlock.toml"
    config.write_text(usual.replace("authorized_keys = []", f"authorized_keys = {lines}") + RULES, encoding="utf-8")
    async with environment(folder / "env", config=config) as running:
        yield running


async def paste(env: Environment, line: str, by: str, keys: dict[str, Path]) -> Said:
    """Run a printed line in a shell, with a person's name and key file in their places."""
    for place in (OWN_NAME, OTHER_NAME):
        line = line.replace(place, by)
    process = await asyncio.create_subprocess_shell(
        line.replace(KEY_FILE, str(keys[by])).replace("...", "because"),
        cwd=ROOT, env=env.worker_environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


async def test_a_plan_is_approved_locked_and_undone_by_what_is_printed(
    office: Environment, keys: dict[str, Path], tmp_path: Path
) -> None:
    starter, airlock, handle = Starter(office), Airlock(office.client), Airlock(office.client).plan("printed-here")
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(note_plan("printed-here")), encoding="utf-8")
    started = await starter("start", str(file))
    assert started.code == 0, started.err
    assert f"approve printed-here --by {OWN_NAME} --sign-key {KEY_FILE}" in started.out
    await handle.wait_for(State.AWAITING_APPROVAL)

    assert (await starter("lock", "printed-here", "--by", "olga", "--reason", "look at it")).code == 0
    shown = await starter("show", "printed-here")
    unlock = re.search(r"unlock, rollback or abort: (.*?) \(", " ".join(shown.out.split()))
    assert unlock is not None, shown.out
    unlocked = await paste(office, f"{unlock[1]} --by alice", "alice", keys)
    assert (unlocked.code, "unlock accepted" in unlocked.out) == (0, True), unlocked
    await handle.wait_for(State.AWAITING_APPROVAL)

    shown = await starter("show", "printed-here")
    assert "Needs 2 approvals" in shown.out
    assert "temporal workflow signal" not in shown.out
    command = shown.out.partition("To approve exactly this:")[2].strip().splitlines()[0].strip()
    first = await paste(office, command, "alice", keys)
    assert (first.code, "approve accepted: approval 1 of 2 counted" in first.out) == (0, True), first
    again = await starter("show", "printed-here")
    assert "Waits for: 1 approval (by the role approver, signed with an SSH key" in " ".join(again.out.split())
    second = await paste(office, command, "bob", keys)
    assert (second.code, "approval 2 of 2 counted" in second.out) == (0, True), second
    assert (await handle.result()).outcome == "completed"

    asked = await starter("rollback", "printed-here", "--by", "carol", "--reason", "wrong folder")
    line = asked.out.partition("approve it:")[2].strip()
    assert line.endswith(f"approve undo-printed-here --by {OTHER_NAME} --sign-key {KEY_FILE}"), asked
    undo = airlock.plan("undo-printed-here")
    assert await previewed(undo) is State.AWAITING_APPROVAL
    shown = await starter("show", "undo-printed-here")
    command = shown.out.partition("To approve exactly this:")[2].strip().splitlines()[0].strip()
    for by in PEOPLE:
        pasted = await paste(office, command, by, keys)
        assert (pasted.code, "approve accepted" in pasted.out) == (0, True), pasted
    assert (await undo.result()).undone


@pytest.mark.parametrize("signing", [True, False], ids=["signed", "unsigned"])
async def test_an_undo_is_requested_by_the_command_of_temporal_that_is_printed(
    office: Environment, keys: dict[str, Path], *, signing: bool
) -> None:
    """The command is the request itself: nothing is sent until it is pasted, and then it proves who asked."""
    name = f"printed-undo-{'signed' if signing else 'plain'}"
    starter, airlock = Starter(office), Airlock(office.client)
    handle = await waiting(airlock, note_plan(name))
    digest = str((await handle.status()).digest)
    for by in PEOPLE:
        approved = await starter("approve", name, "--by", by, "--digest", digest, "--sign-key", str(keys[by]))
        assert approved.code == 0, approved.err
    assert (await handle.result()).outcome == "completed"

    request = ("rollback", name, "--by", "alice", "--reason", "it's `wrong` $HOME", "--print-command")
    printed = await starter(*request, *(("--sign-key", str(keys["alice"])) if signing else ()))
    assert printed.code == 0, printed.err
    (line,) = [line for line in printed.out.splitlines() if not line.startswith("#")]
    with pytest.raises(NoSuchPlan):
        await airlock.plan(f"undo-{name}").facts()
    folder = Path(binary("temporal")).parent
    target = office.worker_environment["TEMPORAL_ADDRESS"]
    made = f"export PATH={folder}:$PATH TEMPORAL_ADDRESS={target}; {line}"
    pasted = await paste(office, made, "alice", keys)
    assert pasted.code == 0, pasted
    undo = airlock.plan(f"undo-{name}")
    assert await previewed(undo) is State.AWAITING_APPROVAL
    asked = [one for one in (await undo.audit()).entries if one.what == "rollback"]
    if signing:  # an unsigned request that no rule judges leaves no entry
        assert [(one.by, one.reason) for one in asked] == [("alice", "it's `wrong` $HOME")], line
        assert asked[0].signature.startswith("signed with the SSH key SHA256:"), asked
    twice = await paste(office, made, "alice", keys)
    assert twice.code != 0, "an undo that is open is asked for again"
    assert (await undo.decide("abort", by="alice", reason="over")).accepted
    assert (await undo.result()).outcome == "aborted"
    if signing:
        # what was signed counts for this undo alone: the one after it has another nonce
        replayed = await paste(office, made, "alice", keys)
        assert replayed.code == 0, replayed
        assert (await undo.result()).outcome == "aborted"
        assert not any(one.what == "rollback" and one.kind == "decision" for one in (await undo.audit()).entries)


async def test_an_unsigned_decision_is_refused_in_words_that_help(office: Environment) -> None:
    starter, airlock = Starter(office), Airlock(office.client)
    handle = await waiting(airlock, note_plan("unsigned"))
    digest = str((await handle.status()).digest)
    refused = await starter("approve", "unsigned", "--by", "alice", "--digest", digest)
    assert refused.err.startswith("approve refused: it must be signed with an SSH key with --sign-key or --ssh-agent"), (
        refused
    )


async def test_the_inbox_signs_with_a_key_file(
    office: Environment, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command makes the person, and the keys of its screen decide as that person."""
    made: list[Person] = []

    class Screen:
        def __init__(self, _: Airlock, person: Person) -> None:
            made.append(person)

        async def run_async(self, **_: object) -> None:
            """Draw nothing: the keys are pressed below."""

    for name, value in office.worker_environment.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as terminal:
        terminal.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
        terminal.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
        terminal.setattr(inbox_app, "InboxApp", Screen)
        with pytest.raises(typer.Exit) as ended:
            await asyncio.to_thread(inbox_command.inbox, by="alice", sign_key=keys["alice"])
    assert ended.value.exit_code == 0
    (person,) = made
    handle = await waiting(Airlock(office.client), note_plan("signed-in-the-inbox"))
    async with inbox(Airlock(office.client), person.name, person.sign) as pressed:
        screen = await opened(pressed, "signed-in-the-inbox")
        await confirmed(pressed, "d", "the wrong list")
        await told(pressed, lambda: screen.message.said.startswith("deny accepted"))
    assert (await handle.result()).outcome == "denied"
