"""An SMTP sink: keeps every mail it accepts as a JSON line, refuses some recipients on purpose."""

import asyncio
import json
import os
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from sandbox.store import utc_now

MAILBOX_FILE = "mailbox.jsonl"

REFUSED_LOCAL_PART = "nobody"
REFUSED_DOMAIN = "refused.test"
DROPPED_DOMAIN = "dropped.test"
SLOW_DOMAIN = "slow.test"


def read_mailbox(folder: Path | str) -> list[dict[str, Any]]:
    """Return every mail accepted so far, oldest first; an empty or missing folder is an empty mailbox."""
    path = Path(folder) / MAILBOX_FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]  # what follows the last newline is being written


@dataclass(frozen=True, slots=True)
class Sink:
    """Stores mail; what it answered 250 to is on disk, one line a mail, the same mail twice if sent twice.

    Mail to `REFUSED_LOCAL_PART` at any domain, or to `refused.test`, is refused at RCPT TO. To provoke a call
    whose outcome is unknown: mail to `dropped.test` is stored and the connection broken instead of answered;
    mail to `slow.test` is stored at once and answered after `slow_seconds`.
    """

    folder: Path
    slow_seconds: float = 5.0

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]) -> str:
        """Accept or refuse one recipient."""
        local, _, domain = address.rpartition("@")
        if local.lower() == REFUSED_LOCAL_PART or domain.lower() == REFUSED_DOMAIN:
            return f"550 5.1.1 <{address}>: no such mailbox here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:
        """Store the mail, then answer as its recipients' domains ask for."""
        self.store(envelope.mail_from, envelope.rcpt_tos, envelope.content)
        domains = {address.rpartition("@")[2].lower() for address in envelope.rcpt_tos}
        if DROPPED_DOMAIN in domains:
            server.transport.abort()
        if SLOW_DOMAIN in domains:
            await asyncio.sleep(self.slow_seconds)
        return "250 OK"

    def store(self, sender: str, recipients: list[str], content: bytes) -> None:
        """Append one mail to the mailbox, its text with plain line ends."""
        message = message_from_bytes(content, policy=policy.default)
        body = message.get_body(("plain", "html"))
        mail = {
            "from": sender,
            "to": recipients,
            "subject": str(message.get("Subject", "")),
            "body": body.get_content().replace("\r\n", "\n") if isinstance(body, EmailMessage) else "",
            "message_id": str(message.get("Message-ID", "")),
            "headers": {name: "\n".join(map(str, message.get_all(name, []))) for name in message},
            "received_at": utc_now(),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / MAILBOX_FILE
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, json.dumps(mail).encode() + b"\n")  # one write: never half a line
        finally:
            os.close(file)


def smtp_protocol(folder: Path, slow_seconds: float) -> asyncio.Protocol:
    """Return the server's side of one SMTP connection; the loop must be running."""
    protocol: asyncio.Protocol = SMTP(
        Sink(folder, slow_seconds),
        hostname="localhost",
        ident="sandbox",
        enable_SMTPUTF8=True,
        loop=asyncio.get_running_loop(),
    )
    return protocol
