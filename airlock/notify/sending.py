"""One attempt to send a letter to its receiver, and the answer. No secret is in an answer, an error or a log."""

import asyncio
import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from airlock.activities.functions.secrets import Secrets
from airlock.admission.configuration.notify_config import Receiver, url_problem
from airlock.admission.configuration.tool_entries import SecretName
from airlock.alerts.slack import slack_body
from airlock.alerts.teams import teams_body
from airlock.alerts.webhook import body_of, signed_headers, signing_key
from airlock.base.canonical import canonical_json
from airlock.base.errors import AirlockError, InDoubt, SecretError, ToolFailed
from airlock.base.text import shorten
from airlock.base.visible import visible
from airlock.notify.letters import Letter
from airlock.notify.mailing import PartlyTaken, mail
from airlock.tools.mail import SmtpSettings
from airlock.tools.web import client_of, exchange, log_no_addresses

_SAID = 200
"""Characters of an answer or an error that are kept."""


class SendFailed(AirlockError):
    """A letter that its receiver has not taken, as far as its answer tells.

    Args:
        message: The reason, without secrets.
        retry: True if another attempt could succeed.
        after: Seconds that the receiver asked to wait.
        taken: The people, of those of a receiver of mail, who have it all the same.
    """

    def __init__(self, message: str, *, retry: bool, after: float = 0.0, taken: Iterable[str] = ()) -> None:
        self.retry = retry
        self.after = after
        self.taken = frozenset(taken)
        super().__init__(message)


class Sender:
    """Sender of letters.

    Args:
        smtp: The mail server, for receivers of mail.
    """

    def __init__(self, smtp: SmtpSettings) -> None:
        self._smtp = smtp
        log_no_addresses()  # the address of a chat is a secret

    async def send(self, letter: Letter, receiver: Receiver, has: Collection[str] = ()) -> str:
        """Make one attempt, and return what the receiver answered.

        Args:
            letter: The letter.
            receiver: Its receiver.
            has: The people of a receiver of mail who have it from an earlier attempt.

        Raises:
            SendFailed: If the receiver did not take it, or no answer tells.
        """
        secrets = Secrets()
        try:
            if receiver.kind == "email":
                return await self._mail(letter, receiver, secrets, has)
            async with asyncio.timeout(receiver.timeout):  # the library's own limits are for each wait
                return _clean(await self._post(letter, receiver, secrets), secrets)
        except SendFailed:
            raise
        except SecretError as error:
            raise SendFailed(str(error), retry=False) from None
        except TimeoutError:
            raise SendFailed(f"no answer within {receiver.timeout:g} seconds", retry=True) from None
        # without the cause: what a library says of an address may be a part of a secret
        except ToolFailed as error:
            raise SendFailed(_clean(str(error), secrets), retry=error.retry, after=error.after) from None
        except InDoubt as error:
            raise SendFailed(_clean(str(error), secrets), retry=True, after=error.after) from None
        except Exception as error:  # noqa: BLE001  of a library: its text must not reach a history as it is
            raise SendFailed(_clean(f"{type(error).__name__}: {error}", secrets), retry=True) from None

    async def _mail(self, letter: Letter, receiver: Receiver, secrets: Secrets, has: Collection[str]) -> str:
        """Send a letter by mail. Its answers name people as the file does: an address stays out of histories and logs."""
        done = {address for name, address in receiver.to.items() if name in has}
        to = [address for address in letter.to if address not in done]
        if done and not to:
            return "everyone who is asked has it"
        try:
            sending = asyncio.to_thread(mail, letter, self._smtp, secrets.resolve, receiver.timeout, to)
            return _clean(_named(await sending, receiver), secrets)
        except PartlyTaken as error:
            taken = [name for name, address in receiver.to.items() if address in error.taken]
            raise SendFailed(_clean(_named(str(error), receiver), secrets), retry=True, taken=taken) from None
        except ToolFailed as error:
            raise ToolFailed(_named(str(error), receiver), retry=error.retry, after=error.after) from None
        except InDoubt as error:
            raise InDoubt(_named(str(error), receiver), after=error.after) from None

    async def _post(self, letter: Letter, receiver: Receiver, secrets: Secrets) -> str:
        import httpx  # as everywhere: a program that sends nothing does not load it

        url = secrets.resolve(receiver.url.name) if isinstance(receiver.url, SecretName) else str(receiver.url)
        body, headers = _form(letter, receiver, secrets)
        async with client_of(receiver.timeout, environment=receiver.trust_environment) as client:
            if problem := url_problem(receiver, url):
                raise ToolFailed(problem)
            try:
                target = httpx.URL(url)
                request = client.build_request("POST", target, content=body, headers=headers)
            except (httpx.InvalidURL, ValueError):
                raise ToolFailed("its url is not a URL") from None
            try:
                reply = await exchange(client, request, hide=[url])
            except (ToolFailed, InDoubt) as error:
                where = f"POST {target.copy_with(query=None, fragment=None)}"
                said = str(error).replace(where, "the message").replace(url, "***")
                if isinstance(error, InDoubt):
                    raise InDoubt(said, after=error.after) from None
                raise ToolFailed(said, retry=error.retry, after=error.after) from None
        said = (reply.content or b"").decode(errors="replace")
        return f"{reply.status} {said}".strip()


def _form(letter: Letter, receiver: Receiver, secrets: Secrets) -> tuple[bytes, dict[str, str]]:
    headers = {"content-type": "application/json", "user-agent": "airlock", "accept-encoding": "identity"}
    if receiver.kind == "slack":
        return canonical_json(slack_body(letter.message)).encode(), headers
    if receiver.kind == "teams":
        return canonical_json(teams_body(letter.message)).encode(), headers
    body = body_of(letter.notification)
    keys = []
    for secret in receiver.secret:
        try:
            keys.append(signing_key(secrets.resolve(secret.name)))
        except ValueError as error:
            raise ToolFailed(f"the secret {secret.name!r} {error}") from None
    return body, headers | signed_headers(letter.id, datetime.now(UTC), body, keys)


def _named(text: str, receiver: Receiver) -> str:
    """Return an answer of a mail server with people in the place of their addresses."""
    for name, address in sorted(receiver.to.items(), key=lambda each: -len(each[1])):
        text = name.join(re.split(re.escape(address), text, flags=re.IGNORECASE))
    return text


def _clean(text: str, secrets: Secrets) -> str:
    return visible(shorten(str(secrets.redact(text)), _SAID))
