"""`send_email` through a real SMTP server; what it delivered is read from its mailbox."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.tools import send_email
from sandbox.processes import SandboxProcess
from sandbox.smtp import read_mailbox

Make = Callable[..., Any]
MAIL = {"to": "jo@acme.test", "subject": "Welcome, Jó", "body": "Hi Jó\n.\nthat was a dot\n"}


class Mailbox:
    def __init__(self, server: SandboxProcess, folder: Path) -> None:
        self.settings = {
            "host": "127.0.0.1",
            "port": server.port,
            "sender": "Airlock <airlock@sender.test>",
            "starttls": False,
        }
        self._folder = folder
        self._before = len(read_mailbox(folder))

    def new(self) -> list[dict[str, Any]]:
        return read_mailbox(self._folder)[self._before :]


@pytest.fixture
def mailbox(mail_server: tuple[SandboxProcess, Path]) -> Mailbox:
    return Mailbox(*mail_server)


async def test_the_mail_arrives_as_previewed(runner: Make, mailbox: Mailbox) -> None:
    tool = runner(send_email, mailbox.settings)
    preview = await tool.dry_run(**MAIL)
    assert mailbox.new() == []
    assert preview.effect == "Would send 'Welcome, Jó' (23 characters) to jo@acme.test."
    assert preview.undo is None
    output = await tool.live(**MAIL)
    (mail,) = mailbox.new()
    assert (mail["from"], mail["to"]) == ("airlock@sender.test", ["jo@acme.test"])
    assert (mail["subject"], mail["body"]) == (MAIL["subject"], MAIL["body"])
    assert output == {"to": "jo@acme.test", "message_id": mail["message_id"]}
    assert mail["message_id"].endswith("@sender.test>")


async def test_a_repeat_can_be_recognised_by_its_message_id(runner: Make, mailbox: Mailbox) -> None:
    tool, other = runner(send_email, mailbox.settings), runner(send_email, mailbox.settings, key="other")
    for sender in (tool, tool, other):
        await sender.live(**MAIL)
    one, two, three = [mail["message_id"] for mail in mailbox.new()]
    assert one == two != three


@pytest.mark.parametrize("to", ["nobody@acme.test", "jo@refused.test"])
async def test_a_refused_recipient_is_found_by_the_dry_run_too(runner: Make, mailbox: Mailbox, to: str) -> None:
    tool = runner(send_email, mailbox.settings)
    for attempt in (tool.dry_run, tool.live):
        with pytest.raises(ToolFailed, match=f"refused recipient {to}: 550"):
            await attempt(**{**MAIL, "to": to})
    assert mailbox.new() == []


@pytest.mark.parametrize("to", ["jo@dropped.test", "jo@slow.test"])
async def test_a_lost_answer_is_in_doubt(runner: Make, mailbox: Mailbox, to: str) -> None:
    tool = runner(send_email, {**mailbox.settings, "timeout": 3})
    with pytest.raises(InDoubt):
        await tool.live(**{**MAIL, "to": to})
    assert len(mailbox.new()) == 1


async def test_a_dry_run_of_a_text_that_is_known_after_live(runner: Make, mailbox: Mailbox) -> None:
    tool = runner(send_email, mailbox.settings)
    assert "known after live" in (await tool.dry_run(**{**MAIL, "body": UNKNOWN}, unknown=("body",))).effect
    assert (await tool.dry_run(**{**MAIL, "to": UNKNOWN}, unknown=("to",))).output["to"] == UNKNOWN
    assert (await tool.mock(**MAIL))["message_id"] == (await tool.mock(**MAIL))["message_id"]
    assert mailbox.new() == []


async def test_what_is_not_set_up_is_named(runner: Make, mailbox: Mailbox) -> None:
    with pytest.raises(ToolFailed, match=r"settings\.smtp\.host is not set"):
        await runner(send_email, {"sender": "a@b"}).live(**MAIL)
    with pytest.raises(ToolFailed, match=r"settings\.smtp\.sender is not set"):
        await runner(send_email, {**mailbox.settings, "sender": ""}).live(**MAIL)
    with pytest.raises(ToolFailed, match="no STARTTLS"):
        await runner(send_email, {**mailbox.settings, "starttls": "true"}).live(**MAIL)
    with pytest.raises(ToolFailed, match="asks for no login"):
        await runner(send_email, {**mailbox.settings, "username": "u", "password_secret": "GHL_TOKEN"}).live(**MAIL)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ToolFailed, match="cannot be reached") as refusal:
            await runner(send_email, {**mailbox.settings, "port": unused.getsockname()[1]}).live(**MAIL)
    assert refusal.value.retry
    assert mailbox.new() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "jo@acme.test\r\nRCPT TO:<x@y.test>"}, {"to": "a@x.test, b@x.test"}, {"to": "Jo <jo@acme.test>"},
        {"subject": "a\nBcc: x@y.test"}, {"subject": ""}, {"cc": "x@y.test"},
    ],
)  # fmt: skip
async def test_nothing_can_be_smuggled_into_the_headers(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        send_email.arguments.model_validate({**MAIL, **wrong})
