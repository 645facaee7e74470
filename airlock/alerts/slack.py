"""Messages in the form of Slack's incoming webhooks: plain text and one button that opens a link.

Foreign text stands in `plain_text` only, in which Slack reads no mark-up. The line for notifications is read as mark-up, so
its three control characters are escaped.
"""

from collections.abc import Iterator
from typing import Any, Final

from airlock.alerts.message import Entry, Message

MAX_BLOCKS: Final = 50
MAX_SECTION: Final = 3_000
"""Characters of one block of text."""
MAX_HEADER: Final = 150
_KEPT_FREE = 3
"""Blocks for the header, the button, and the note about what does not fit."""


def slack_body(message: Message) -> dict[str, Any]:
    """Return the JSON of a message."""
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(_cut(message.title, MAX_HEADER))}]
    shown = 0
    for entry in message.entries:
        sections = list(_sections(entry, titled=len(message.entries) > 1))
        if len(blocks) + len(sections) > MAX_BLOCKS - _KEPT_FREE + 1:
            break
        blocks += sections
        shown += 1
    if note := unfit(message, shown):
        blocks.append({"type": "section", "text": _plain(note)})
    if message.link:
        button = {"type": "button", "action_id": "open", "text": _plain(message.link_text), "url": message.link}
        blocks.append({"type": "actions", "elements": [button]})
    return {"text": _escaped(message.title), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def unfit(message: Message, shown: int) -> str:
    """Return a note about the entries that do not fit; empty if all of them do."""
    more = len(message.entries) - shown
    return f"{more} more do not fit into this message: airlock list" if more else ""


def _sections(entry: Entry, *, titled: bool) -> Iterator[dict[str, Any]]:
    lines = [entry.title] if titled else []
    lines += [f"{line.label}: {line.text}" for line in entry.lines]
    lines += [f"look: {entry.command}"] if entry.command else []
    text = ""
    for line in lines:
        line = _cut(line, MAX_SECTION)
        if text and len(text) + 1 + len(line) > MAX_SECTION:
            yield {"type": "section", "text": _plain(text)}
            text = ""
        text = f"{text}\n{line}" if text else line
    if text:
        yield {"type": "section", "text": _plain(text)}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _cut(text: str, most: int) -> str:
    end = " … (shortened)"
    return text if len(text) <= most else text[: most - len(end)] + end


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
