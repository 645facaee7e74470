"""One letter as mail: text and HTML, under a Message-ID that is the same in every attempt."""

import smtplib
from collections.abc import Callable, Iterable, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from airlock.alerts.mail import mail_texts
from airlock.base.errors import InDoubt, ToolFailed
from airlock.base.text import shorten
from airlock.notify.letters import Letter
from airlock.tools.common import is_plain_address, required
from airlock.tools.mail import SmtpSettings, session
from airlock.tools.mail_message import sender_of

_ACCEPTED = (250, 251)


class PartlyTaken(ToolFailed):
    """A mail that some recipients have, while the server asks to try another one later.

    Args:
        message: The reason.
        taken: The addresses of those who have it.
    """

    def __init__(self, message: str, taken: Sequence[str]) -> None:
        self.taken = tuple(taken)
        super().__init__(message, retry=True)


def mail(letter: Letter, settings: SmtpSettings, secret: Callable[[str], str], timeout: float, to: Sequence[str]) -> str:
    """Send a letter, and return what the server answered. It blocks.

    Args:
        letter: The letter.
        settings: The mail server.
        secret: Returns the value of a secret.
        timeout: Seconds for all of it.
        to: The addresses, of those of the letter, that do not have it yet.

    Raises:
        ToolFailed: If the server refuses it, or one of its recipients.
        PartlyTaken: If it is to be tried again for some recipients, and not for the others.
        InDoubt: If the connection is lost.
    """
    if not to:
        raise ToolFailed("none of its people is asked")
    name, sender = sender_of(required(settings.sender, "settings.smtp.sender"))
    content = _content(letter, Address(display_name=name, addr_spec=sender), to)
    limited = settings.model_copy(update={"timeout": min(timeout, settings.timeout)})
    with session(limited, secret, within=timeout) as server:
        _require(server.mail(sender), "the mail server refused the sender")
        taken, later, refused = _addressed(server, to)
        try:
            answer = server.data(content)
        except smtplib.SMTPDataError as error:
            answer = (error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b"")
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            raise InDoubt(f"the mail server gave no answer to the mail, and may have it: {type(error).__name__}") from error
        _require(answer, "the mail server refused the mail")
    has = f"{len(taken)} of {len(to)} recipients have it"
    no = f"; refused: {'; '.join(refused)}" if refused else ""
    if later:
        raise PartlyTaken(f"{has}; to be tried again: {'; '.join(later)}{no}", taken)
    if refused:
        raise ToolFailed(f"{has}{no}")
    return f"{_said(answer)} (to {len(taken)})"


def _addressed(server: smtplib.SMTP, to: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Name the recipients; return those that the server takes, does not take now, and refuses, the latter with its answer.

    Raises:
        ToolFailed: If it takes none of them: then none has the mail.
    """
    taken: list[str] = []
    later: list[str] = []
    refused: list[str] = []
    for address in to:
        code, said = server.rcpt(address)
        if code in _ACCEPTED:
            taken.append(address)
        else:
            (later if 400 <= code < 500 else refused).append(f"{address}: {_said((code, said))}")
    if not taken and later:
        raise ToolFailed(f"the mail server takes no recipient now: {'; '.join((*later, *refused))}", retry=True)
    if not taken:
        raise ToolFailed(f"the mail server refused every recipient: {'; '.join(refused)}")
    return taken, later, refused


def _content(letter: Letter, sender: Address, to: Iterable[str]) -> bytes:
    texts = mail_texts(letter.message)
    mail = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    mail["From"] = sender
    mail["To"] = [Address(addr_spec=address) for address in to if is_plain_address(address)]
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
