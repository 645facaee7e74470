"""One plain text mail as bytes: the dry run and the live call build the same, before any server is asked."""

import hashlib
import re
from dataclasses import dataclass
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import formatdate

from airlock.base.errors import ToolFailed
from airlock.base.visible import visible
from airlock.tools.common import is_plain_address, not_in_headers

_NAMED = re.compile(r"\s*([^<>]*?)\s*<([^<>]*)>\s*")
_LINE = re.compile(rb"\r\n|\r|\n")
_CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters that a mail server may drop or refuse where they stand bare in a mail (RFC 5322, section 4.1)."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that is ready to be sent."""

    sender: str
    """The address told to the mail server, without a display name."""
    to: str
    """The address told to the mail server: the argument as it was shown."""
    message_id: str
    content: bytes
    """The whole message, with the line ends and the doubled dots of SMTP."""


def build(sender: str, to: str, subject: str, body: str, key: str) -> Mail:
    """Return the mail.

    Args:
        sender: The operator's sender: an address, or `Name <address>`.
        to: The recipient.
        subject: The subject.
        body: The text.
        key: The idempotency key; the Message-ID is made of it.

    Raises:
        ToolFailed: If this mail cannot be sent as it is written. Nothing was sent.
    """
    name, own = sender_of(sender)
    if not is_plain_address(to):
        raise ToolFailed(f"{visible(to)!r} is not one plain email address")
    if found := not_in_headers(subject):
        raise ToolFailed(f"the subject holds {found}, which no header of a mail may hold")
    if "\0" in body:
        raise ToolFailed("the text holds U+0000, which no mail may hold")
    message_id = f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{own.rpartition('@')[2]}>"
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))  # any server can carry it
    try:
        message["From"] = Address(display_name=name, addr_spec=own)
        message["To"] = Address(addr_spec=to)
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = message_id
        message.set_content(body, cte="base64" if _CONTROL.search(body) else None)
        content = message.as_bytes()
        read = message_from_bytes(content, policy=default)
        received = str(read["To"]), str(read["Subject"])
    # the library's own parsers raise IndexError, AttributeError and others on headers that they do not understand
    except Exception as error:
        raise ToolFailed(f"the mail cannot be written: {type(error).__name__}: {visible(str(error))}") from error
    if received != (to, subject):
        # such as =?utf-8?q?this?=, which every reader of mail would show as another text than the approver read
        raise ToolFailed(f"the subject would arrive as {visible(received[1])!r}, not as it was approved")
    lines = _LINE.split(content.removesuffix(b"\r\n"))
    dotted = b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)
    return Mail(sender=own, to=to, message_id=message_id, content=dotted)


def sender_of(text: str) -> tuple[str, str]:
    """Return the display name and the address of the operator's sender.

    Raises:
        ToolFailed: If it is neither an address nor `Name <address>`.
    """
    parts = _NAMED.fullmatch(text)
    name, address = (parts[1].strip('"'), parts[2]) if parts else ("", text.strip())
    if not is_plain_address(address) or not_in_headers(text):
        raise ToolFailed(f"settings.smtp.sender is {visible(text)!r}: write an address, or 'Name <address>'")
    return name, address
