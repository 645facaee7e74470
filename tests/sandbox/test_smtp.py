"""The mail server keeps what it accepts and refuses the right recipients."""

import smtplib
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from sandbox.processes import SandboxProcess
from sandbox.smtp import MAILBOX_FILE, read_mailbox


def mail(to: str, message_id: str = "<1@airlock.test>") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Airlock <noreply@airlock.test>"
    message["To"] = to
    message["Subject"] = "Welcome, Zoë"
    message["Message-ID"] = message_id
    message.set_content("Good to have you.\nZoë\n")
    return message


def send(server: SandboxProcess, message: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
        client.send_message(message)


def test_an_accepted_mail_is_in_the_mailbox(mail_server: SandboxProcess, tmp_path: Path) -> None:
    assert read_mailbox(tmp_path / "mailbox") == []
    send(mail_server, mail("jo@acme.test"))
    [stored] = read_mailbox(tmp_path / "mailbox")
    assert stored["from"] == "noreply@airlock.test"
    assert stored["to"] == ["jo@acme.test"]
    assert stored["subject"] == "Welcome, Zoë"
    assert stored["body"] == "Good to have you.\nZoë\n"
    assert stored["message_id"] == "<1@airlock.test>"
    assert stored["headers"]["From"] == "Airlock <noreply@airlock.test>"
    assert stored["received_at"].endswith("Z")


def test_the_same_mail_twice_is_stored_twice(mail_server: SandboxProcess, tmp_path: Path) -> None:
    for _ in range(2):
        send(mail_server, mail("jo@acme.test"))
    stored = read_mailbox(tmp_path / "mailbox")
    assert [each["message_id"] for each in stored] == ["<1@airlock.test>"] * 2


@pytest.mark.parametrize("address", ["nobody@acme.test", "Nobody@x.test", "jo@refused.test"])
def test_some_recipients_are_refused(mail_server: SandboxProcess, tmp_path: Path, address: str) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(mail_server, mail(address))
    assert refused.value.recipients[address][0] == 550
    assert read_mailbox(tmp_path / "mailbox") == []


def test_a_recipient_can_be_checked_without_sending(mail_server: SandboxProcess, tmp_path: Path) -> None:
    with smtplib.SMTP("127.0.0.1", mail_server.port, timeout=60) as client:
        client.ehlo()
        client.mail("noreply@airlock.test")
        assert client.rcpt("jo@acme.test")[0] == 250
        assert client.rcpt("nobody@acme.test")[0] == 550
        assert client.rset()[0] == 250
    assert read_mailbox(tmp_path / "mailbox") == []


def test_a_mail_can_be_stored_and_its_answer_lost(mail_server: SandboxProcess, tmp_path: Path) -> None:
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(mail_server, mail("jo@dropped.test"))
    assert len(read_mailbox(tmp_path / "mailbox")) == 1


def test_a_mail_can_be_stored_and_its_answer_be_late(mail_server: SandboxProcess, tmp_path: Path) -> None:
    with smtplib.SMTP("127.0.0.1", mail_server.port, timeout=60) as client:
        client.ehlo()
        client.mail("airlock@acme.test")
        client.rcpt("jo@slow.test")
        assert client.docmd("data")[0] == 354
        assert client.sock is not None
        client.sock.settimeout(0.2)  # from here on, so that only the last answer is late
        client.send(mail("jo@slow.test").as_bytes(policy=SMTP) + b".\r\n")
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            client.getreply()
    assert len(read_mailbox(tmp_path / "mailbox")) == 1
    send(mail_server, mail("jo@slow.test"))
    assert len(read_mailbox(tmp_path / "mailbox")) == 2


def test_a_line_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    (tmp_path / MAILBOX_FILE).write_text('{"subject": "a"}\n{"subj')
    assert read_mailbox(tmp_path) == [{"subject": "a"}]
