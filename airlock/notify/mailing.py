"""One letter as mail: text and HTML, under a Message-ID that is the same in every attempt."""

import smtplib
from collections.abc import Callable, Iterable
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from airlock.alerts.mail import mail_texts
from airlock.base.errors import ToolFailed
from airlock.base.text import shorten
from airlock.notify.letters import Letter
from airlock.tools.common import is_plain_address, required
from airlock.tools.mail import SmtpSettings, session
from airlock.tools.mail_message import sender_of

_ACCEPTED = (250, 251)


def mail(letter: Letter, settings: SmtpSettings, secret: Callable[[str], str], timeout: float) -> str:
    """Send a letter, and return what the server answered. It blocks.

    Raises:
        ToolFailed: If the server refuses it, or one of its recipients.
        InDoubt: If the connection is lost.
    """
    if not letter.to:
        raise ToolFailed("none of its people is asked")
    name, sender = sender_of(required(settings.sender, "settings.smtp.sender"))
    content = _content(letter, Address(display_name=name, addr_spec=sender))
    limited = settings.model_copy(update={"timeout": min(timeout, settings.timeout)})
    with session(limited, secret, within=timeout) as server:
        _require(server.mail(sender), "the mail server refused the sender")
        refused = _addressed(server, letter.to)
        try:
            answer = server.data(content)
        except smtplib.SMTPDataError as error:
            answer = (error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b"")
        _require(answer, "the mail server refused the mail")
    taken = len(letter.to) - len(refused)
    if refused:
        raise ToolFailed(f"{taken} of {len(letter.to)} recipients have it; refused: {'; '.join(refused)}")
    return f"{_said(answer)} (to {taken})"


def _addressed(server: smtplib.SMTP, to: Iterable[str]) -> list[str]:
    """Name the recipients, and return those that the server refuses for good.

    Raises:
        ToolFailed: If it takes none of them, or asks to try one of them later: then none has the mail.
    """
    refused: list[str] = []
    accepted = 0
    for address in to:
        code, said = server.rcpt(address)
        if code in _ACCEPTED:
            accepted += 1
        elif 400 <= code < 500:
            raise ToolFailed(f"the mail server does not take {address} now: {_said((code, said))}", retry=True)
        else:
            refused.append(f"{address}: {_said((code, said))}")
    if not accepted:
        raise ToolFailed(f"the mail server refused every recipient: {'; '.join(refused)}")
    return refused


def _content(letter: Letter, sender: Address) -> bytes:
    texts = mail_texts(letter.message)
    mail = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    mail["From"] = sender
    mail["To"] = [Address(addr_spec=address) for address in letter.to if is_plain_address(address)]
    mail["Subject"] = texts.subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{letter.id}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(texts.text)
    mail.add_alternative(texts.html, subtype="html")
    return mail.as_bytes()


def _require(answer: tuple[int, bytes], refusal: str) -> None:
    code, _ = answer
    if not 200 <= code < 300:
        raise ToolFailed(f"{refusal}: {_said(answer)}", retry=400 <= code < 500)


def _said(answer: tuple[int, bytes]) -> str:
    return shorten(f"{answer[0]} {answer[1].decode(errors='replace')}", 120)
