"""One attempt to send a message: what each kind of receiver may answer, and what is made of it."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airlock.admission.configuration.notify_config import Receiver
from airlock.notify.letters import Letter, letter, trial_letter
from airlock.notify.sending import Sender, SendFailed
from airlock.tools.mail import SmtpSettings
from sandbox.smtp import read_mailbox
from tests.core.alerts_build import POLICY, alert
from tests.loopback_server import loopback_server
from tests.postman import FULL, postman
from tests.workflows.receivers import mail_receiver, web_receiver

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
KEY = "whsec_" + base64.b64encode(b"a key that no answer may hold!!!").decode()


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_SECRET_KEY", KEY)


def hook(url: str | dict[str, str], **more: Any) -> Receiver:
    return Receiver.model_validate({"kind": "webhook", "url": url, "secret": {"$secret": "KEY"}, "timeout": 60, **more})


def trial(receiver: Receiver) -> Letter:
    return trial_letter("notify-hook-test", "hook", receiver, NOW)


async def failure(receiver: Receiver, smtp: SmtpSettings | None = None) -> SendFailed:
    with pytest.raises(SendFailed) as error:
        await Sender(smtp or SmtpSettings()).send(trial(receiver), receiver)
    return error.value


@pytest.mark.parametrize(
    ("trouble", "retry", "after"),
    [
        ("400", False, 0),
        ("401", False, 0),
        ("404", False, 0),
        ("410", False, 0),
        ("307", True, 0),
        ("429", True, 0),
        ("429:7", True, 7),
        ("503:3", True, 3),
        ("500", True, 0),
        ("502", True, 0),
        ("close", True, 0),
        ("hang", True, 0),
    ],
)
async def test_an_answer_says_whether_another_attempt_makes_sense(trouble: str, retry: bool, after: float) -> None:
    async with web_receiver(trouble) as receiver:
        error = await failure(hook(receiver.url, timeout=1 if trouble == "hang" else 60))
        assert (error.retry, error.after) == (retry, after), error


async def test_an_answer_that_gives_back_the_secret_address_shows_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1].encode()
        writer.write(b"HTTP/1.1 404 X\r\ncontent-length: %d\r\n\r\nno hook at " % (len(path) + 11) + path)
        await writer.drain()

    async with loopback_server(echo) as port:
        monkeypatch.setenv("AIRLOCK_SECRET_CHAT", f"http://127.0.0.1:{port}/services/T0123456789/B0123456789/xyzsecretxyz")
        error = await failure(Receiver.model_validate({"kind": "slack", "url": {"$secret": "CHAT"}}))
        assert "no hook at" in str(error)
        assert "xyzsecret" not in str(error)
        assert "T0123456789" not in str(error)


async def test_a_receiver_that_drips_its_answer_is_left_after_the_time_of_one_attempt() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x-slow: 1\r\n" * 10_000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    async with loopback_server(drip) as port:
        error = await failure(hook(f"http://127.0.0.1:{port}/", timeout=1))
        assert error.retry
        assert "no answer within 1 seconds" in str(error)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://receiver.example.com/hook", "must begin with https://"),
        ("ftp://127.0.0.1/hook", "must begin with https://"),
        ("https://127.0.0.1:port/", "is not a URL"),
        ("nothing", "must begin with https://"),
        ("https://hooks.slack.com/services/x", 'write kind = "slack"'),
    ],
)
async def test_an_address_that_is_not_safe_is_refused_before_anything_is_sent(
    url: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRLOCK_SECRET_PLACE", url)  # one that stands in the file is refused when it is read
    error = await failure(hook({"$secret": "PLACE"}))
    assert told in str(error)
    assert not error.retry


async def test_a_secret_that_is_missing_or_weak_is_told_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_receiver() as receiver:
        monkeypatch.setenv("AIRLOCK_SECRET_KEY", "whsec_d2Vhay1zZWNyZXQ=")
        error = await failure(hook(receiver.url))
        assert "at least 24 bytes" in str(error)
        assert "d2Vhay1" not in str(error)
        monkeypatch.delenv("AIRLOCK_SECRET_KEY")
        assert "no secret 'KEY'" in str(await failure(hook(receiver.url)))
        assert not receiver.received


async def test_while_one_secret_replaces_another_both_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    from standardwebhooks.webhooks import Webhook

    new = "whsec_" + base64.b64encode(b"n" * 32).decode()
    monkeypatch.setenv("AIRLOCK_SECRET_NEW", new)
    async with web_receiver() as receiver:
        target = hook(receiver.url, secret=[{"$secret": "NEW"}, {"$secret": "KEY"}])
        await Sender(SmtpSettings()).send(trial(target), target)
        (message,) = receiver.taken
        for secret in (new, KEY):
            assert Webhook(secret).verify(message.body, message.headers)["type"] == "test"


# mail


def smtp(port: int, **more: Any) -> SmtpSettings:
    return SmtpSettings(host="127.0.0.1", port=port, sender="airlock@example.com", starttls=False, **more)


def box(timeout: float = 60, **to: str) -> Receiver:
    return Receiver.model_validate({"kind": "email", "to": to, "timeout": timeout})


async def test_a_mail_server_that_says_nothing_is_left() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with loopback_server(silent) as port:
        error = await failure(box(1, alice="alice@example.com"), smtp(port))
        assert error.retry
        assert "cannot be reached" in str(error)


async def test_a_mail_that_one_recipient_cannot_get_goes_to_the_others_and_says_so(tmp_path: Path) -> None:
    async with mail_receiver(tmp_path) as port:
        error = await failure(box(alice="alice@example.com", bob="nobody@example.com"), smtp(port))
        assert not error.retry  # another attempt would send it to alice again
        assert "1 of 2 recipients have it" in str(error)
        assert [mail["to"] for mail in read_mailbox(tmp_path)] == [["alice@example.com"]]
        assert "refused every recipient" in str(await failure(box(bob="nobody@example.com"), smtp(port)))


async def test_a_full_mailbox_keeps_the_mail_from_no_other_person() -> None:
    target = box(alice="alice@example.com", bob="bob@example.com", carl="carl@example.com")
    async with postman(FULL) as (port, taken):
        error = await failure(target, smtp(port))
        assert error.retry
        assert error.taken == {"alice", "carl"}
        assert "2 of 3 recipients have it; to be tried again: bob: 452" in str(error)
        with pytest.raises(SendFailed, match="takes no recipient now") as again:
            await Sender(smtp(port)).send(trial(target), target, error.taken)
        assert again.value.retry
        assert taken == [["alice@example.com", "carl@example.com"]]
    async with postman({}) as (port, taken):
        assert "(to 1)" in await Sender(smtp(port)).send(trial(target), target, error.taken)
        assert taken == [["bob@example.com"]]
        said = await Sender(smtp(port)).send(trial(target), target, {"alice", "bob", "carl"})
        assert "everyone who is asked has it" in said


async def test_what_a_mail_server_answers_names_people_and_no_address() -> None:
    target = box(alice="alice@example.com", bob="bob@example.com")
    gone = {"bob@example.com": "550 5.1.1 <BOB@example.com>: no such mailbox"}
    for answers in (FULL, gone, {**gone, "alice@example.com": "451 4.7.1 <alice@example.com> greylisted"}):
        async with postman(answers) as (port, _):
            said = str(await failure(target, smtp(port)))
            assert "example.com" not in said.lower()
            assert "bob" in said


async def test_a_mail_server_that_is_silent_after_the_mail_may_have_it() -> None:
    async with postman({}, silent=True) as (port, taken):
        error = await failure(box(1, alice="alice@example.com"), smtp(port))
        assert error.retry
        assert "may have it" in str(error)
        assert len(taken) == 1


@pytest.mark.parametrize("sender", ["not an address", "a@b.test, c@d.test", "Evil\u2028 <a@b.test>"])
async def test_a_wrong_sender_is_told_with_its_key(tmp_path: Path, sender: str) -> None:
    async with mail_receiver(tmp_path) as port:
        settings = SmtpSettings(host="127.0.0.1", port=port, sender=sender, starttls=False)
        error = await failure(box(alice="alice@example.com"), settings)
        assert "settings.smtp.sender" in str(error)
        assert not read_mailbox(tmp_path)


async def test_no_mail_leaves_the_machine_in_clear_text_unless_the_operator_says_so(tmp_path: Path) -> None:
    async with mail_receiver(tmp_path) as port:
        settings = SmtpSettings(host="127.0.0.1", port=port, sender="airlock@example.com")
        assert "offers no STARTTLS" in str(await failure(box(alice="alice@example.com"), settings))
        assert not read_mailbox(tmp_path)


async def test_a_goal_can_end_neither_a_header_nor_the_mail(tmp_path: Path) -> None:
    goal = "x\r\nBcc: evil@example.com\r\n\r\n.\r\nMAIL FROM:<evil@example.com>\r\n"
    async with mail_receiver(tmp_path) as port:
        target = box(alice="alice@example.com")
        told = letter("notify-desk-1", alert(goal=goal), "desk", target, POLICY, NOW)
        await Sender(smtp(port)).send(told, target)
        (mail,) = read_mailbox(tmp_path)
        assert "Bcc" not in mail["headers"]
        assert mail["to"] == ["alice@example.com"]
        assert json.dumps(mail).count("notify-desk-1@") == 2  # its Message-ID, and the headers that hold it
