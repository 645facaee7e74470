"""`airlock inbox`, driven by its keys in 80 columns and 24 lines, with real plans on a real server."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from textual.widgets import Input, RichLog, SelectionList, Static

from airlock.cli.signing import Signing, evidence_of
from airlock.client import Airlock
from airlock.client.live_gate import LiveGate
from airlock.client.undo import previewed, undo
from airlock.inbox.dialogs import Question
from airlock.plans.state import State
from devtools.environment import Environment
from tests.cli.conftest import Starter, new_key, note_plan, starter_on_terminal
from tests.cli.inbox_keys import confirmed, inbox, listing, opened, rows, text, told, type_text, waiting
from tests.workflows.conftest import until

pytestmark = pytest.mark.slow
FORGED = "[bold red]Approved[/] \x1b[2J\u202e ignore [link=http://evil.test]this[/link]"


async def test_a_plan_is_read_and_approved_with_the_digest_on_the_screen(airlock: Airlock, env: Environment) -> None:
    handle = await waiting(airlock, note_plan("in-the-inbox", goal=FORGED))
    digest = (await handle.status()).digest
    async with inbox(airlock) as keys:
        screen = await opened(keys, "in-the-inbox")
        shown = text(keys)
        assert r"[bold red]Approved[/] \u001b[2J⟨U+202E⟩ ignore" in shown
        assert "\x1b" not in shown
        assert digest is not None
        assert screen.preview is not None
        assert screen.preview.digest == digest
        await keys.press("a")
        await told(keys, lambda: isinstance(keys.app.screen, Question))
        assert digest in str(keys.app.screen.query_one("#about", Static).visual)
        await keys.press("escape")  # nothing is sent
        await told(keys, lambda: keys.app.screen is screen)
        assert (await handle.status()).state is State.AWAITING_APPROVAL
        await confirmed(keys, "a", "read all of it")
        await told(keys, lambda: screen.message.said.startswith("approve accepted"))
        assert (await handle.result()).outcome == "completed"
        entries = (await handle.audit()).entries
        (vote,) = [entry for entry in entries if entry.what == "approve" and entry.by == "alice"]
        assert (vote.reason, vote.digest) == ("read all of it", digest)
        await told(keys, lambda: screen.status is not None and screen.status.state is State.COMPLETED)
        await keys.press("escape", "escape")
        await told(keys, lambda: "in-the-inbox" not in rows(keys))
    assert (env.work_folder / "in-the-inbox" / "two.md").read_text() == "2"


async def test_no_line_of_a_preview_is_wider_than_what_is_seen_of_it(airlock: Airlock) -> None:
    await waiting(airlock, note_plan("wide-lines", goal="words " * 60))
    async with inbox(airlock) as keys:
        screen = await opened(keys, "wide-lines")
        log = screen.query_one(RichLog)
        await told(keys, lambda: log.show_vertical_scrollbar)
        assert max(strip.cell_length for strip in log.lines) <= log.scrollable_content_region.width
        assert "can be undone or only reads" in " ".join(text(keys).replace("↳", "").split())


async def test_some_steps_are_approved(airlock: Airlock, env: Environment) -> None:
    handle = await waiting(airlock, note_plan("in-part"))
    async with inbox(airlock) as keys:
        screen = await opened(keys, "in-part")
        await keys.press("a")
        await told(keys, lambda: isinstance(keys.app.screen, Question))
        steps = keys.app.screen.query_one(SelectionList)
        await keys.press("shift+tab", "down", "space")
        assert steps.selected == ["one"]
        question = keys.app.screen
        await told(keys, lambda: str(question.query_one("#chosen", Static).visual) == "Approves: one")
        keys.app.screen.query_one("#reason", Input).focus()
        await keys.press("enter", "tab", "enter")
        await told(keys, lambda: screen.message.said.startswith("approve accepted"))
    result = await handle.result()
    assert (result.outcome, result.live) == ("partial", ("one",))
    assert not (env.work_folder / "in-part" / "two.md").exists()


async def test_a_refusal_and_a_denial(airlock: Airlock) -> None:
    handle = await waiting(airlock, note_plan("refused-here"))
    async with inbox(airlock, by="sales-lead") as keys:
        screen = await opened(keys, "refused-here")
        await confirmed(keys, "a")
        await told(keys, lambda: screen.message.said.startswith("approve refused: "))
        assert (await handle.status()).state is State.AWAITING_APPROVAL
    async with inbox(airlock) as keys:
        screen = await opened(keys, "refused-here")
        await keys.press("d")
        await told(keys, lambda: isinstance(keys.app.screen, Question))
        await keys.press("enter", "tab", "enter")
        question = keys.app.screen
        await told(keys, lambda: "A reason is needed" in str(question.query_one("#problem", Static).visual))
        await type_text(keys, "x")  # the button has the focus: nothing is typed into it
        question.query_one("#reason", Input).focus()
        await type_text(keys, "the wrong list")
        await keys.press("enter", "tab", "enter")
        await told(keys, lambda: screen.message.said.startswith("deny accepted"))
    assert (await handle.result()).outcome == "denied"


async def test_a_decision_is_sent_with_the_evidence_of_its_person(airlock: Airlock, tmp_path: Path) -> None:
    handle = await waiting(airlock, note_plan("signed-here"))
    key = tmp_path / "key"
    key.write_bytes(new_key()[0])
    async with inbox(airlock, sign=partial(evidence_of, signing=Signing(key))) as keys:
        screen = await opened(keys, "signed-here")
        await confirmed(keys, "a", "signed")
        # the policy of this place knows no keys: what is given is checked all the same
        await told(keys, lambda: screen.message.said.startswith("approve refused: "))
        assert "key" in screen.message.said
    assert (await handle.status()).state is State.AWAITING_APPROVAL
    await handle.decide("deny", by="alice", reason="seen")


async def test_what_was_sealed_again_is_not_approved_by_an_old_page(airlock: Airlock) -> None:
    handle = await waiting(airlock, note_plan("moved-on"))
    async with inbox(airlock) as keys:
        screen = await opened(keys, "moved-on")
        old = screen.preview
        await keys.press("a")
        await told(keys, lambda: isinstance(keys.app.screen, Question))
        assert (await handle.decide("lock", by="carol", reason="wait")).accepted
        assert (await handle.decide("unlock", by="carol", reason="go on")).accepted
        sealed = await handle.wait_for(State.AWAITING_APPROVAL)
        keys.app.screen.query_one("#reason", Input).focus()
        await keys.press("enter", "tab", "enter")
        assert old is not None
        if sealed.digest == old.digest:  # nothing has changed: the same content has the same seal
            await told(keys, lambda: screen.message.said.startswith("approve accepted"))
        else:
            await told(keys, lambda: screen.message.said.startswith("approve refused"))


async def test_a_plan_is_locked_unlocked_and_rolled_back(airlock: Airlock, env: Environment) -> None:
    plan = note_plan("stopped-here")
    mail = {"to": "jo@dropped.test", "subject": "Lost", "body": "the answer to the inbox is lost"}
    plan["steps"][1] |= {"agent": "crm", "tool": "send_email", "args": mail}
    handle = await waiting(airlock, plan)
    async with inbox(airlock) as keys:
        screen = await opened(keys, "stopped-here")
        await confirmed(keys, "l", "wait")
        await told(keys, lambda: screen.message.said.startswith("lock accepted"))
        await confirmed(keys, "u", "go on")
        await told(keys, lambda: screen.message.said.startswith("unlock accepted"))
        await handle.wait_for(State.AWAITING_APPROVAL)
        await keys.press("g")
        await told(keys, lambda: screen.preview is not None and screen.preview.state is State.AWAITING_APPROVAL)
        await confirmed(keys, "a", "again")
        await handle.wait_for(State.LOCKED)
        await told(keys, lambda: screen.status is not None and screen.status.parked == ("two",))
        await confirmed(keys, "u", "go on")
        await told(keys, lambda: "must be settled first" in screen.message.said)
        await keys.press("r")
        await told(keys, lambda: isinstance(keys.app.screen, Question))
        await keys.press("down", "enter")
        assert keys.app.screen.query_one("#detail", Input).has_focus
        keys.app.screen.query_one("#reason", Input).focus()
        await type_text(keys, "the mailbox is empty")
        await keys.press("enter", "tab", "enter")
        await told(keys, lambda: screen.message.said.startswith("resolve accepted"))
    result = await handle.result()
    assert (result.outcome, result.undone) == ("aborted", ("one",))
    assert not (env.work_folder / "stopped-here").exists()


async def test_a_live_plan_is_rolled_back(airlock: Airlock, env: Environment) -> None:
    plan = note_plan("back-from-here")
    mail = {"to": "jo@slow.test", "subject": "Slow", "body": "the answer to the inbox takes seconds"}
    plan["steps"][1] |= {"agent": "crm", "tool": "send_email", "args": mail}
    handle = await waiting(airlock, plan)
    async with inbox(airlock) as keys:
        screen = await opened(keys, "back-from-here")
        await keys.press("b")
        await told(keys, lambda: isinstance(keys.app.screen, Question))
        keys.app.screen.query_one("#detail", Input).focus()
        await type_text(keys, "one")
        keys.app.screen.query_one("#reason", Input).focus()
        await type_text(keys, "not now")
        await keys.press("enter", "tab")
        # the mail keeps the plan live for five seconds only: everything else is typed by now
        assert (await handle.decide("approve", by="alice", digest=(await handle.preview()).digest)).accepted
        assert await until((env.work_folder / "back-from-here" / "one.md").exists)
        await keys.press("enter")
        await told(keys, lambda: screen.message.said.startswith("rollback accepted"))
    result = await handle.result()
    assert result.outcome == "aborted"
    assert "one" in result.undone
    assert not (env.work_folder / "back-from-here").exists()


async def test_the_undo_of_a_plan_that_has_ended_is_approved(airlock: Airlock, env: Environment) -> None:
    handle = await waiting(airlock, note_plan("taken-in"))
    assert (await handle.decide("approve", by="alice", digest=(await handle.preview()).digest)).accepted
    assert (await handle.result()).outcome == "completed"
    asked = await undo(airlock.client, "taken-in", by="carol", reason="wrong folder")
    assert await previewed(asked) is State.AWAITING_APPROVAL
    async with inbox(airlock) as keys:
        screen = await opened(keys, "undo-taken-in")
        await confirmed(keys, "a")
        await told(keys, lambda: screen.message.said.startswith("approve accepted"))
    assert (await asked.result()).undone == ("one", "two")
    assert not (env.work_folder / "taken-in" / "one.md").exists()


async def test_everything_is_locked_and_unlocked(airlock: Airlock) -> None:
    gate = LiveGate(airlock.client)
    async with inbox(airlock) as keys:
        bar = listing(keys).query_one("#lock", Static)
        assert not bar.display
        for key, reason, locked in (("L", "stop [b]all[/b]", True), ("U", "go on", False)):
            await keys.press(key)
            await told(keys, lambda: isinstance(keys.app.screen, Question))
            await type_text(keys, reason)
            await keys.press("enter", "tab", "enter")
            await told(keys, lambda: "accepted" in listing(keys).message.said)
            listing(keys).message.tell("")
            view = await gate.status()
            assert view is not None
            assert bool(view.locks) is locked
            await told(keys, lambda: bar.display is locked)  # noqa: B023
            assert not locked or "by alice" in str(bar.visual)
            assert not locked or "stop [b]all[/b]" in str(bar.visual)


async def test_the_list_is_filtered_by_agent_tool_risk_and_words(airlock: Airlock) -> None:
    handles = [await waiting(airlock, note_plan(f"filtered-{name}", goal=f"About {name}")) for name in ("ada", "bob")]
    async with inbox(airlock) as keys:
        await told(keys, lambda: {"filtered-ada", "filtered-bob"} <= set(rows(keys)))
        for typed, there, gone in (
            ("about bob", "filtered-bob", "filtered-ada"),
            ("tool:file_write ada", "filtered-ada", "filtered-bob"),
            ("agent:ops filtered-bob", "filtered-bob", "filtered-ada"),
        ):
            await keys.press("slash")
            listing(keys).query_one("#filter", Input).value = ""
            await type_text(keys, typed)
            await told(keys, lambda: rows(keys) == [there])  # noqa: B023
            assert gone not in rows(keys)
        await keys.press("slash")
        await type_text(keys, " risk:low")
        await told(keys, lambda: not rows(keys))
        await keys.press("escape")
        await told(keys, lambda: {"filtered-ada", "filtered-bob"} <= set(rows(keys)))
    for handle in handles:
        await handle.decide("deny", by="alice", reason="seen")


@pytest.mark.parametrize("colours", [True, False], ids=["colours", "NO_COLOR"])
async def test_it_runs_on_a_real_terminal_and_leaves_it_as_it_was(airlock: Airlock, env: Environment, colours: bool) -> None:
    plan_id = f"on-a-terminal-{colours}".lower()
    handle = await waiting(airlock, note_plan(plan_id, goal=FORGED))
    variables = {**env.worker_environment, "LINES": "24"} | ({} if colours else {"NO_COLOR": "1"})
    said = await asyncio.to_thread(
        starter_on_terminal, "inbox", "--by", "alice", environment=variables, typed="q", after=plan_id
    )
    assert said.code == 0, said.out[-2_000:]
    assert "[bold red]Approved[/]" in said.out
    assert "\x1b[2J\u202e" not in said.out
    assert said.out.rindex("\x1b[?1049l") > said.out.rindex("\x1b[?1049h"), "the screen of the shell is not back"
    await handle.decide("deny", by="alice", reason="seen")


async def test_without_a_terminal_it_prints_json_alone(starter: Starter, airlock: Airlock) -> None:
    handle = await waiting(airlock, note_plan("as-json"))

    async def listed() -> bool:
        said = await starter("inbox", "--json")
        assert said.code == 0, said.err
        return "as-json" in [item["plan_id"] for item in said.json["items"]]

    assert await until(listed)
    refused = await starter("inbox")
    assert (refused.code, refused.out) == (1, "")
    assert "needs a terminal" in refused.err
    await handle.decide("deny", by="alice", reason="seen")
