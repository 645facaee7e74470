"""`send_email` through a real SMTP server; what it delivered is read from its mailbox."""

import re
import socket
from collections.abc import Callable
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.tools import send_email
from airlock.tools.mail_message import build
from sandbox.processes import SandboxProcess
from sandbox.smtp import read_mailbox
from tests.tools.conftest import SECRETS
from tests.tools.scripted_smtp import scripted

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
        *({"subject": f"a{bad}b"} for bad in "\x00\t\x0b\x0c\x1b\x1c\x1d\x1e\x7f\x80\x85\x9f\u2028\u2029"),
        {"to": "jo(boss)@acme.test"}, {"to": "boss(1)@b.test"}, {"to": "jo@(x)acme.test"}, {"to": '"jo"@acme.test'},
        {"to": "team: jo@acme.test;"}, {"to": "jo\x00@acme.test"}, {"to": "jo@acme.test\x00"}, {"to": "jo @acme.test"},
        {"to": "jo@[127.0.0.1]"}, {"to": ".jo@acme.test"}, {"to": "jo..x@acme.test"}, {"to": "jo\\@acme.test"},
        {"to": "jo@acme.test."}, {"to": "jo@-acme.test"}, {"to": "j\u043e@acme.test"}, {"to": "jo\uff20acme.test"},
        {"to": "x" * 65 + "@acme.test"}, {"to": "jo@acme.test>"}, {"to": "jo%\u200b@acme.test"}, {"to": "a:b@acme.test"},
    ],
)  # fmt: skip
async def test_nothing_can_be_smuggled_into_the_headers(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        send_email.arguments.model_validate({**MAIL, **wrong})


@pytest.mark.parametrize("to", ["jo@acme.test", "Jo.O'Neil+a/b=c@Mail.acme-1.test", "#!$%&'*/=?^_`{|}~-@a.test", "a@b"])
async def test_the_address_shown_is_the_address_told(runner: Make, mailbox: Mailbox, to: str) -> None:
    tool = runner(send_email, mailbox.settings)
    mail = {**MAIL, "to": to}
    assert f"to {to}." in (await tool.dry_run(**mail)).effect
    assert (await tool.live(**mail))["to"] == to
    (found,) = mailbox.new()
    assert (found["to"], found["headers"]["To"]) == ([to], to)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("subject", "=?utf-8?q?Free_money?=", "would arrive as 'Free money'"),
        ("subject", "Re: =?iso-8859-1?b?SGVsbG8=?= you", "would arrive as"),
        ("body", "a\x00b", "U+0000"),
    ],
)
async def test_what_would_arrive_otherwise_fails_in_both_runs_and_certainly(
    runner: Make, mailbox: Mailbox, field: str, value: str, words: str
) -> None:
    tool = runner(send_email, mailbox.settings)
    for attempt in (tool.dry_run, tool.live):
        with pytest.raises(ToolFailed, match=re.escape(words)):
            await attempt(**{**MAIL, field: value})
    assert mailbox.new() == []


@pytest.mark.parametrize("sender", ["jo(x)@a.test", "A <a@b.test>, c@d.test", "A\u2028 <a@b.test>", "a", "A <a@b.test\x00>"])
async def test_a_sender_that_is_not_one_address_fails_before_a_server_is_asked(runner: Make, sender: str) -> None:
    tool = runner(send_email, {"host": "127.0.0.1", "port": 1, "sender": sender, "starttls": False})
    for attempt in (tool.dry_run, tool.live):
        with pytest.raises(ToolFailed, match=r"settings\.smtp\.sender is"):
            await attempt(**MAIL)


@settings(max_examples=150, deadline=None)
@example(subject="0", body="\x08", local="")
@example(subject="0", body="a\x1fb\x0cc\x7f", local="")
@given(
    subject=st.text(min_size=1, max_size=300),
    body=st.text(max_size=400),
    local=st.text('ab.@()"<>:;,\\ \x00\u2028[]', max_size=12),
)
def test_a_mail_is_built_whole_or_certainly_not_sent(subject: str, body: str, local: str) -> None:
    for to in ("jo@acme.test", f"{local}@acme.test"):
        try:
            mail = build("A <a@b.test>", to, subject, body, "key")
        except ToolFailed:
            continue
        assert mail.to == to
        assert re.fullmatch(rb"([^\r\n\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]{0,998}\r\n)+", mail.content)
        assert b"\r\n.\r\n" not in mail.content
        arrived = message_from_bytes(re.sub(rb"(?m)^\.", b"", mail.content), policy=default)
        assert (str(arrived["To"]), str(arrived["Subject"])) == (to, subject)
        text = arrived.get_content()
        assert text.splitlines() == body.splitlines() or text.split() == body.split()


@pytest.mark.parametrize(
    ("command", "answer", "error", "retry"),
    [
        ("GREET", b"421 busy\r\n", ToolFailed, True),
        ("GREET", b"554 not for you\r\n", ToolFailed, False),
        ("MAIL", b"451 try later\r\n", ToolFailed, True),
        ("MAIL", b"553 no\r\n", ToolFailed, False),
        ("RCPT", b"450 4.2.0 greylisted, try again in 2 seconds\r\n", ToolFailed, True),
        ("RCPT", b"550 no such user\r\n", ToolFailed, False),
        ("RCPT", b"", ToolFailed, True),
        ("DATA", b"451 not now\r\n", ToolFailed, True),
        ("DATA", b"554 never\r\n", ToolFailed, False),
        ("DATA", b"", ToolFailed, True),
        ("DOT", b"451 not now\r\n", ToolFailed, True),
        ("DOT", b"554 spam\r\n", ToolFailed, False),
        ("DOT", b"", InDoubt, None),
        ("DOT", b"hello?\r\n", InDoubt, None),
        ("DOT", b"999 hm\r\n", InDoubt, None),
        ("DOT", b"250 " + b"x" * 10_000 + b"\r\n", InDoubt, None),
    ],
)
async def test_what_a_reply_to_each_command_means(
    runner: Make, command: str, answer: bytes, error: type[Exception], retry: bool | None
) -> None:
    async with scripted({command: [answer]}, []) as settings:
        with pytest.raises(error) as raised:
            await runner(send_email, settings).live(**MAIL)
    assert type(raised.value) is error
    assert getattr(raised.value, "retry", None) is retry


async def test_a_server_that_leaves_before_the_first_byte_leaves_no_doubt(runner: Make) -> None:
    said: list[bytes] = []
    async with scripted({"DATA": [b""]}, said) as settings:
        tool = runner(send_email, settings)
        with pytest.raises(ToolFailed, match="closed the connection before the mail") as refusal:
            await tool.live(**MAIL)
    assert refusal.value.retry
    assert said[-1] == b"DATA\r\n"
    assert b"rcpt TO:<jo@acme.test>\r\n" in said


OFFERS = b"250-mail.test\r\n250-%s\r\n250 OK\r\n"


@pytest.mark.parametrize(
    ("script", "more", "said", "retry"),
    [
        ({}, {"host": "a..b"}, "is not the name of a host", False),
        ({}, {"host": "a" * 64 + ".test"}, "is not the name of a host", False),
        ({"EHLO": [OFFERS % b"AUTH PLAIN"]}, {"username": "jo", "password_secret": "UMLAUT"}, "must be ASCII", False),
        ({"EHLO": [OFFERS % b"AUTH CRAM-MD5"], "AUTH": [b"334 a\r\n"]}, {"username": "jo", "password_secret": "PW"},
         "cannot be sent", False),
        ({"EHLO": [OFFERS % b"AUTH GSSAPI"]}, {"username": "jo", "password_secret": "PW"}, "no way to log in", False),
        ({"EHLO": [OFFERS % b"AUTH PLAIN"], "AUTH": [b"454 later\r\n"]}, {"username": "jo", "password_secret": "PW"},
         "454 later", True),
        ({"EHLO": [OFFERS % b"AUTH PLAIN"], "AUTH": [b"535 no\r\n"]}, {"username": "jo", "password_secret": "PW"},
         "535 no", False),
        ({"EHLO": [OFFERS % b"STARTTLS"], "STAR": [b"454 no TLS now\r\n"]}, {"starttls": True}, "454 no TLS now", True),
        ({"EHLO": [OFFERS % b"STARTTLS"], "STAR": [b"220 go\r\nno TLS\r\n"]}, {"starttls": True}, "before the mail", True),
    ],
)  # fmt: skip
async def test_nothing_that_fails_before_a_mail_begins_leaves_a_doubt(
    runner: Make, monkeypatch: pytest.MonkeyPatch, script: Any, more: dict[str, Any], said: str, retry: bool
) -> None:
    monkeypatch.setitem(SECRETS, "PW", "secret-of-jo")
    monkeypatch.setitem(SECRETS, "UMLAUT", "s\xe4cret-of-jo")
    lines: list[bytes] = []
    async with scripted(script, lines) as server:
        with pytest.raises(ToolFailed, match=said) as refusal:
            await runner(send_email, {**server, **more}).live(**MAIL)
    assert refusal.value.retry is retry
    assert "cret-of-jo" not in f"{refusal.value} {refusal.value.__cause__}"
    assert not any(line.lower().startswith((b"mail", b"data")) for line in lines)


async def test_a_dry_run_has_looked_once_the_server_took_both_addresses(runner: Make) -> None:
    async with scripted({"RSET": [b""]}, []) as settings:
        preview = await runner(send_email, settings).dry_run(**MAIL)
    assert preview.effect.startswith("Would send")
