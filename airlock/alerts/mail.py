"""Messages as mail: a subject, a text, and the same in HTML, which loads nothing and runs nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from airlock.alerts.message import Entry, Message
from airlock.alerts.slack import unfit

MAX_ENTRIES: Final = 200
"""Entries of one mail."""
_DOT = re.compile(r"\.(?=[A-Za-z])")


@dataclass(frozen=True)
class MailTexts:
    """The parts of a mail."""

    subject: str
    text: str
    html: str


def mail_texts(message: Message) -> MailTexts:
    """Return a message as mail."""
    shown = message.entries[:MAX_ENTRIES]
    note = unfit(message, len(shown))
    text = "\n".join(_text(message, shown, note))
    return MailTexts(f"Airlock: {message.title}", text, "\n".join(_html(message, shown, note)))


def _text(message: Message, shown: tuple[Entry, ...], note: str) -> Iterator[str]:
    yield from (message.title, "")
    for entry in shown:
        if len(message.entries) > 1:
            yield entry.title
        yield from (f"  {line.label}: {line.text}" for line in entry.lines)
        if entry.command:
            yield f"  look: {entry.command}"
        if entry.link and entry.link != message.link:
            yield f"  {entry.link}"
        yield ""
    if note:
        yield from (note, "")
    if message.link:
        yield from (f"{message.link_text}: {message.link}", "")
    yield f"-- \nAirlock. This mail decides nothing, and neither does an answer to it. {message.id}"


def _html(message: Message, shown: tuple[Entry, ...], note: str) -> Iterator[str]:
    yield '<!doctype html><html><head><meta charset="utf-8"></head><body style="font-family: sans-serif">'
    yield f"<h2>{_inert(message.title)}</h2>"
    for entry in shown:
        if len(message.entries) > 1:
            yield f"<h3>{_linked(entry)}</h3>"
        yield "<table>"
        for line in entry.lines:
            yield f'<tr><th align="left" valign="top">{escape(line.label)}</th><td>{_inert(line.text)}</td></tr>'
        if entry.command:
            yield f'<tr><th align="left">look</th><td><code>{_inert(entry.command)}</code></td></tr>'
        yield "</table>"
    if note:
        yield f"<p>{escape(note)}</p>"
    if message.link:
        yield f'<p><a href="{escape(message.link)}">{escape(message.link_text)}</a></p>'
    yield f"<p><small>Airlock. This mail decides nothing, and neither does an answer to it. {escape(message.id)}</small></p>"
    yield "</body></html>"


def _linked(entry: Entry) -> str:
    title = _inert(entry.title)
    return f'<a href="{escape(entry.link)}">{title}</a>' if entry.link else title


def _inert(text: str) -> str:
    """Return a text as HTML of which a reader of mail makes no link by itself: ids of plans hold dots too."""
    return _DOT.sub("<span>.</span>", escape(text))
