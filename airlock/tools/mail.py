"""`send_email`: one plain text mail, through the operator's mail server."""

import hashlib
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import TypedDict

from airlock.base.errors import InDoubt, ToolFailed
from airlock.base.text import shorten
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import Preview, ToolCall, tool
from airlock.tools.common import Arguments, Email, Settings, json_of, require_mine_sync, required

OK = 250


class SmtpSettings(Settings):
    """The section `[settings.smtp]`: the mail server and the sender."""

    section: ClassVar[str] = "smtp"
    host: str = ""
    port: int = Field(default=25, ge=1, le=65_535)
    sender: str = ""
    """The sender's address."""
    starttls: bool = True
    """False for clear text, for a server on the same machine."""
    username: str = ""
    password_secret: str = ""
    """The name of the secret that holds the password."""
    timeout: float = Field(default=10.0, gt=0)
    """Seconds for connecting, and for each answer."""


class SendEmail(Arguments):
    """The mail."""

    to: Annotated[Email, Field(description="one recipient")]
    subject: Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\r\n]+$", description="one line")]
    body: Annotated[str, Field(max_length=100_000, description="plain text")]


class Sent(TypedDict):
    """A mail that the mail server has accepted."""

    to: str
    message_id: str


@tool(
    name="send_email",
    risk="HIGH",
    reversibility="irreversible",
    permissions={"email:send"},
    resources=["mailbox:{to}"],
    timeout=20,
    settings=SmtpSettings,
)
def send_email(args: SendEmail, call: ToolCall) -> Sent:
    """Send a mail; a repeat under the same idempotency key carries the same Message-ID."""
    settings: SmtpSettings = call.settings
    message = _message(args, settings, call.idempotency_key)
    with _session(call) as server:
        _address(server, settings, args)
        require_mine_sync(call)
        try:
            code, said = server.data(message.as_bytes())
        except smtplib.SMTPDataError as error:
            raise ToolFailed(f"the mail server takes no mail now: {_text(error.smtp_error)}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise InDoubt(f"the connection was lost while the mail was sent: {type(error).__name__}") from error
        if code != OK:
            raise ToolFailed(f"the mail server refused the mail: {code} {_text(said)}")
    return {"to": args.to, "message_id": str(message["Message-ID"])}


@send_email.dry_run(partial=True)
def look(args: SendEmail, call: ToolCall) -> Preview:
    """Check that the mail server accepts the sender and the recipient; no mail is sent."""
    effect = f"Would send {args.subject!r} ({len(args.body)} characters) to {args.to}."
    if UNKNOWN in (args.subject, args.body):
        effect = f"Would send a mail to {args.to} whose text is known after live."
    with _session(call) as server:
        if args.to != UNKNOWN:
            _address(server, call.settings, args)
            server.rset()
    return Preview(effect=effect, output=json_of({"to": args.to, "message_id": UNKNOWN}))


@send_email.mock
def mock(args: SendEmail, call: ToolCall) -> Sent:
    """Return a Message-ID as if the mail had been sent."""
    return {"to": str(args.to), "message_id": _message_id(call.idempotency_key, "mock.test")}


@contextmanager
def _session(call: ToolCall) -> Iterator[smtplib.SMTP]:
    """Open a session that is ready for mail, and close it afterwards; no failure in it has any effect."""
    settings: SmtpSettings = call.settings
    host = required(settings.host, "settings.smtp.host")
    password = call.secret(settings.password_secret) if settings.password_secret else ""
    try:
        server = smtplib.SMTP(host, settings.port, timeout=settings.timeout)
    except (smtplib.SMTPException, OSError) as error:
        raise ToolFailed(
            f"mail server {host}:{settings.port} cannot be reached: {type(error).__name__}", retry=True
        ) from error
    try:
        _open(server, settings, password)
        yield server
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
    except (smtplib.SMTPException, OSError) as error:
        raise ToolFailed(
            f"the mail server closed the connection before the mail: {type(error).__name__}", retry=True
        ) from error
    finally:
        server.close()


def _open(server: smtplib.SMTP, settings: SmtpSettings, password: str) -> None:
    server.ehlo_or_helo_if_needed()
    if settings.starttls:
        try:
            server.starttls(context=ssl.create_default_context())
        except smtplib.SMTPNotSupportedError as error:
            raise ToolFailed(
                "the mail server offers no STARTTLS: settings.smtp.starttls = false if that is right"
            ) from error
        except ssl.SSLError as error:
            raise ToolFailed(f"the mail server's certificate is not trusted: {error.reason}") from error
    if settings.username:
        try:
            server.login(settings.username, password)
        except smtplib.SMTPNotSupportedError as error:
            raise ToolFailed("the mail server asks for no login: remove settings.smtp.username?") from error
        except smtplib.SMTPAuthenticationError as error:
            raise ToolFailed("the mail server refused settings.smtp.username and its password") from error


def _address(server: smtplib.SMTP, settings: SmtpSettings, args: SendEmail) -> None:
    """Name the sender and the recipient.

    Raises:
        ToolFailed: If the server refuses one of them.
    """
    sender = required(settings.sender, "settings.smtp.sender")
    for what, (code, said) in (("sender", server.mail(sender)), ("recipient", server.rcpt(args.to))):
        if code not in (OK, 251):
            temporary = 400 <= code < 500
            address = sender if what == "sender" else args.to
            raise ToolFailed(f"the mail server refused {what} {address}: {code} {_text(said)}", retry=temporary)


def _message(args: SendEmail, settings: SmtpSettings, key: str) -> EmailMessage:
    sender = required(settings.sender, "settings.smtp.sender")
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))  # any server can carry it
    message["From"] = sender
    message["To"] = args.to
    message["Subject"] = args.subject
    message["Date"] = formatdate()
    message["Message-ID"] = _message_id(key, parseaddr(sender)[1].rpartition("@")[2])
    message.set_content(args.body)
    return message


def _message_id(key: str, domain: str) -> str:
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"


def _text(said: bytes | str) -> str:
    return shorten(said.decode(errors="replace") if isinstance(said, bytes) else said, 200)
