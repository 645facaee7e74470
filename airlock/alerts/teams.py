"""Messages in the form of a Teams workflow's webhook: an adaptive card with one button that opens a link.

All text stands in runs of rich text blocks, in which no Markdown is read: it would make links of `[text](address)`.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from airlock.alerts.message import Entry, Message
from airlock.alerts.slack import unfit

MAX_BYTES: Final = 28_000
"""Bytes of one message that Teams takes."""
_KEPT_FREE = 1_000
"""Bytes for the note about what does not fit."""


def teams_body(message: Message) -> dict[str, Any]:
    """Return the JSON of a message."""
    body = [_block([_run(message.title, weight="Bolder", size="Medium")])]
    shown = 0
    for entry in message.entries:
        blocks = list(_blocks(entry, titled=len(message.entries) > 1))
        if _size(_card(message, [*body, *blocks])) > MAX_BYTES - _KEPT_FREE:
            break
        body += blocks
        shown += 1
    if note := unfit(message, shown):
        body.append(_block([_run(note)]))
    return _card(message, body)


def _card(message: Message, body: list[dict[str, Any]]) -> dict[str, Any]:
    card: dict[str, Any] = {
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    if message.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": message.link_text, "url": message.link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _blocks(entry: Entry, *, titled: bool) -> Iterator[dict[str, Any]]:
    if titled:
        yield _block([_run(entry.title, weight="Bolder")])
    for line in entry.lines:
        yield _block([_run(f"{line.label}: ", isSubtle=True), _run(line.text)])
    if entry.command:
        yield _block([_run("look: ", isSubtle=True), _run(entry.command, fontType="Monospace")])


def _block(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": runs, "spacing": "Small"}


def _run(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **style}


def _size(body: dict[str, Any]) -> int:
    return len(json.dumps(body).encode())
