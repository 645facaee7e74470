"""`send_email`: one plain text mail, through the operator's mail server."""

import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from airlock.base.errors import InDoubt, ToolFailed
from airlock.base.text import shorten
from airlock.base.visible import visible
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, Email, Settings, json_of, not_in_headers, require_mine_sync, required
from airlock.tools.mail_message import Mail, build
from airlock.tools.mail_server import MailServer
from airlock.tools.outcomes import LOST, NOT_SENT, Asked, Effect, meaning

_MOCK_ADDRESS = "jo@mock.test"
"""Stands in for an address that is not known."""
_WAITS = 10
"""The waits of a session: for a connection, and for an answer to each command."""
_NO_TEXT = "The text is known after live."
"""Stands in for a text that is not known yet, so that the rest of the mail can be built."""


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


def _subject(value: str) -> str:
    if found := not_in_headers(value):
        raise ValueError(f"holds {found}, which no header of a mail may hold")
    return value


class SendEmail(Arguments):
    """The mail."""

    to: Annotated[Email, Field(description="one recipient")]
    subject: Annotated[
        str, Field(min_length=1, max_length=300, pattern=r"^[^\r\n]+$", description="one line"), AfterValidator(_subject)
    ]
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
    mail = _built(args, settings, call.idempotency_key)
    with session(call.settings, call.secret) as server:
        _address(server, mail)
        _ask_to_send(server)
        require_mine_sync(call)  # without the end of the mail the server discards it
        try:
            server.send(mail.content + b".\r\n")
            code, said = server.getreply()
        except (smtplib.SMTPException, OSError) as error:
            raise _failure(Asked.SMTP_MAIL, LOST, f"no answer to the mail: {type(error).__name__}") from error
        _require_success(Asked.SMTP_MAIL, code, said, "the mail server refused the mail")
    return {"to": args.to, "message_id": mail.message_id}


@send_email.dry_run(partial=True)
def look(args: SendEmail, call: ToolCall) -> Preview:
    """Check that the mail server accepts the sender and the recipient; no mail is sent."""
    effect = f"Would send {args.subject!r} ({len(args.body)} characters) to {args.to}."
    if UNKNOWN in (args.subject, args.body):
        effect = f"Would send a mail to {args.to} whose text is known after live."
    mail = _built(args, call.settings, call.idempotency_key)
    with session(call.settings, call.secret) as server:
        if args.to != UNKNOWN:
            _address(server, mail)
            with suppress(smtplib.SMTPException, OSError):  # both addresses were taken: that is all a dry run asks
                server.rset()
    return Preview(effect=effect, output=json_of({"to": args.to, "message_id": UNKNOWN}))


@send_email.mock
def mock(args: SendEmail, call: ToolCall) -> Sent:
    """Return a Message-ID as if the mail had been sent."""
    return {
        "to": str(args.to),
        "message_id": build(_MOCK_ADDRESS, _MOCK_ADDRESS, "mock", "", call.idempotency_key).message_id,
    }


@contextmanager
def session(settings: SmtpSettings, secret: Callable[[str], str], within: float | None = None) -> Iterator[smtplib.SMTP]:
    """Open a session that is ready for mail, and close it afterwards; no failure in it has any effect.

    Args:
        settings: The mail server.
        secret: Returns the value of a secret.
        within: Seconds after which it is cut off; None gives time for each answer of a mail.

    Raises:
        ToolFailed: If the session cannot be had, or fails.
        InDoubt: If the connection is lost.
    """
    host = required(settings.host, "settings.smtp.host")
    password = secret(settings.password_secret) if settings.password_secret else ""
    try:
        server = MailServer(host, settings.port, timeout=settings.timeout, within=within or _WAITS * settings.timeout)
    except (smtplib.SMTPException, OSError) as error:
        raise _failure(
            Asked.SMTP_SESSION,
            _code(error) or NOT_SENT,
            f"mail server {host}:{settings.port} cannot be reached: {_named(error)}",
        ) from error
    except ValueError as error:
        raise ToolFailed(f"settings.smtp.host {visible(host)!r} is not the name of a host") from error
    try:
        _open(server, settings, password)
        yield server
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
    except (smtplib.SMTPException, OSError) as error:
        code, text = _code(error), "the mail server closed the connection before the mail"
        if code:
            text = "the mail server refused the session"
        raise _failure(Asked.SMTP_SESSION, code or LOST, f"{text}: {_named(error)}") from error
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
        except ssl.SSLCertVerificationError as error:
            raise ToolFailed(f"the mail server's certificate is not trusted: {error.verify_message}") from error
    if settings.username:
        try:
            server.login(settings.username, password)
        except smtplib.SMTPNotSupportedError as error:
            raise ToolFailed("the mail server asks for no login: remove settings.smtp.username?") from error
        except smtplib.SMTPAuthenticationError as error:
            text = f"the mail server refused settings.smtp.username and its password: {_named(error)}"
            raise _failure(Asked.SMTP_SESSION, error.smtp_code, text) from error
        except ValueError as error:  # the library writes both as ASCII, and reads a challenge as base64
            what = "settings.smtp.username and its password cannot be sent, they must be ASCII"
            raise ToolFailed(f"{what}: {type(error).__name__}") from None
        except smtplib.SMTPException as error:
            if type(error) is not smtplib.SMTPException:  # a reply, or a lost connection
                raise
            known = "PLAIN, LOGIN and CRAM-MD5"
            raise ToolFailed(f"the mail server offers no way to log in that is known here: {known}") from error


def _built(args: SendEmail, settings: SmtpSettings, key: str) -> Mail:
    """Return the mail, with a stand-in for each value that only the live run will know.

    Raises:
        ToolFailed: If it cannot be sent as it is written, which the dry run finds as the live call would.
    """
    sender = required(settings.sender, "settings.smtp.sender")
    to = _MOCK_ADDRESS if args.to == UNKNOWN else args.to
    return build(sender, to, args.subject, _NO_TEXT if args.body == UNKNOWN else args.body, key)


def _address(server: smtplib.SMTP, mail: Mail) -> None:
    """Name the sender and the recipient.

    Raises:
        ToolFailed: If the server refuses one of them.
    """
    for what, address, tell in (("sender", mail.sender, server.mail), ("recipient", mail.to, server.rcpt)):
        code, said = tell(address)
        _require_success(Asked.SMTP_ADDRESS, code, said, f"the mail server refused {what} {address}")


def _ask_to_send(server: smtplib.SMTP) -> None:
    """Ask the server to take the mail. No byte of it has been sent before the answer, so a lost one is no doubt.

    Raises:
        ToolFailed: If the server takes no mail.
    """
    code, said = server.docmd("DATA")
    _require_success(Asked.SMTP_DATA, code, said, "the mail server takes no mail now")


def _require_success(asked: Asked, code: int, said: bytes | str, refusal: str) -> None:
    """Check the reply to a command.

    Raises:
        ToolFailed: If it says that no mail was taken.
        InDoubt: If it does not say whether the mail was taken.
    """
    if meaning(asked, code).effect is not Effect.SUCCESS:
        raise _failure(asked, code, f"{refusal}: {code} {_text(said)}")


def _failure(asked: Asked, answer: str | int, text: str) -> ToolFailed | InDoubt:
    found = meaning(asked, answer)
    return InDoubt(f"{text} ({found.why})") if found.effect is Effect.DOUBT else ToolFailed(text, retry=found.again)


def _code(error: Exception) -> int | None:
    """Return the reply code behind an error of the library; None if the server gave none."""
    return error.smtp_code if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code > 0 else None


def _named(error: Exception) -> str:
    """Return the reply behind an error of the library, or the error's name."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return type(error).__name__


def _text(said: bytes | str) -> str:
    return shorten(said.decode(errors="replace") if isinstance(said, bytes) else said, 200)
