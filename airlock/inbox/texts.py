"""Texts of the inbox: every foreign one is written out here, and none is ever read as markup or as an escape sequence."""

from datetime import datetime

from rich.console import Console
from rich.text import Text

from airlock.base.text import count, shorten
from airlock.base.visible import CLOSE, OPEN, printable, visible
from airlock.client.inbox import Inbox, InboxItem, SystemLock, WaitKind
from airlock.plans.state import State
from airlock.program import as_started
from airlock.run.presentation.undo_preview import quoted
from airlock.run.presentation.views import StatusView
from airlock.run.presentation.whose_words import spoken

COLUMNS = ("expires", "waits for", "risk", "plan", "goal")
"""The columns of the list."""
_RISKS = {"HIGH": "bold red", "MEDIUM": "yellow"}
_KINDS = {
    WaitKind.IN_DOUBT: "bold red",
    WaitKind.UNDO_FAILED: "bold red",
    WaitKind.LOCKED: "red",
    WaitKind.LOCKED_BY_GATE: "red",
}
_LINES = {"!": "red", "~": "yellow", "CAUTION": "bold red", "Digest:": "bold", "Point of no return": "bold"}
_CHANGES = {"+ ": "green", "- ": "red"}
"""Of a line in the difference to the seal before; its lines stand where no others of a preview do."""
_NAME_WIDTH, _GOAL_WIDTH, _REASON = 22, 100, 120
_GOES_ON, _LEAST_WIDTH = "↳ ", 12
_PLAIN = Console(width=80)
"""A console that is only asked how words are laid out."""


def line(text: str, style: str = "") -> Text:
    """Return a foreign text on one line in which everything can be seen."""
    return Text(visible(text.replace("\r\n", " ").replace("\n", " ")), style=style, no_wrap=True)


def lines(text: str) -> Text:
    """Return a text of lines that Airlock made of visible parts, such as a preview or a refusal."""
    return Text("\n".join(printable(each) for each in text.split("\n")))


def preview_lines(text: str) -> list[Text]:
    """Return a preview line by line, its signs coloured, and the marks of what cannot be seen in reverse."""
    shown: list[Text] = []
    for each in text.split("\n"):
        row = Text(printable(each), overflow="fold")
        signs = _LINES if each[:4].strip() or each[4:5] == " " else _CHANGES | _LINES
        style = next((style for sign, style in signs.items() if each.strip().startswith(sign)), "")
        row.stylize(style)
        row.highlight_regex(f"{OPEN}[^{CLOSE}]*{CLOSE}", "reverse")
        shown.append(row)
    return shown


def folded_rows(row: Text, width: int) -> list[Text]:
    """Return the rows on which one line of a preview is shown; each after the first begins with an arrow.

    Without it the words of a plan could be as long as a terminal is wide, and go on as a line of the preview's own.

    Args:
        row: The line.
        width: The cells of a row; the line stays whole where it is not known.
    """
    if width < _LEAST_WIDTH or row.cell_len <= width:
        return [row]
    indent = min(len(row.plain) - len(row.plain.lstrip(" ")), width // 4)
    before = f"{' ' * indent}{_GOES_ON}"
    first, *more = row.wrap(_PLAIN, width - len(before), overflow="fold")
    return [first, *(Text.assemble((before, "dim"), each) for each in more)]


def left(until: datetime, now: datetime) -> str:
    """Return the time until an expiry, in its two largest units."""
    minutes = int((until - now).total_seconds() // 60)
    if minutes < 0:
        return "expired"
    days, rest = divmod(minutes, 1_440)
    return f"{days}d {rest // 60}h" if days else f"{rest // 60}h {rest % 60:02}m" if rest >= 60 else f"{rest}m"


def cells(item: InboxItem, now: datetime) -> tuple[Text, ...]:
    """Return one row of the list."""
    goal = item.problem or item.goal
    plan, about = line(item.plan_id, "bold"), line(goal, "red" if item.problem else "")
    plan.truncate(_NAME_WIDTH, overflow="ellipsis")
    about.truncate(_GOAL_WIDTH, overflow="ellipsis")
    return (
        Text(left(item.expires_at, now) if item.expires_at else "-", style="bold" if item.expires_at else "dim"),
        Text(item.kind.value, style=_KINDS.get(item.kind, "")),
        Text(item.risk or "?", style=_RISKS.get(item.risk or "", "")),
        plan,
        about,
    )


def summary(inbox: Inbox, chosen: int, by: str) -> Text:
    """Return the line above the list: how many wait, by kind and risk, and who decides."""
    parts = [f"{count(len(inbox.items), 'plan')} {'waits' if len(inbox.items) == 1 else 'wait'}"]
    if chosen != len(inbox.items):
        parts.append(f"{chosen} shown")
    counted = inbox.counts()
    parts += [f"{number} {value}" for value, number in (*counted.kinds, *counted.risks)]
    if inbox.not_listed:
        parts.append(f"{inbox.not_listed} more not listed")
    return Text.assemble((" | ".join(parts), "bold"), f" | you are {visible(by)} | {inbox.at:%H:%M:%S} UTC")


def lock_text(lock: SystemLock) -> Text:
    """Return the bar of the system lock; empty while nothing is locked."""
    if lock.problem:
        return Text(f"THE LIVE GATE DOES NOT ANSWER, no plan goes live: {printable(visible(as_started(lock.problem)))}")
    shown = [
        f"SYSTEM LOCK of {visible(each.scope or 'everything')} by {visible(each.by)} since {each.at:%Y-%m-%d %H:%M} UTC: "
        f"{quoted(each.reason)}"
        for each in lock.locks
    ]
    return Text("\n".join(shown))


def heading(status: StatusView, now: datetime, *, changed: bool) -> Text:
    """Return the lines above a preview: the plan's state, its votes, its expiry, what it waits for.

    Args:
        status: The state of the plan.
        now: UTC.
        changed: True if the plan has another preview by now than the page.
    """
    parts = [f"{visible(status.plan_id)}  {status.state.value}"]
    if status.expires_at is not None and status.state is State.AWAITING_APPROVAL:
        parts.append(f"expires in {left(status.expires_at, now)}")
    if status.approvals_required:
        voted = ", ".join(visible(each) for each in status.approvals)
        of = f"{len(status.approvals)} of {count(status.approvals_required, 'approval')}"
        parts.append(f"{of} ({voted})" if voted else of)
    head = Text(" | ".join(parts), style="bold")
    head.append(f"\nWaits for: {visible(as_started(status.waits_for)) or 'nothing'}", style="not bold")
    if changed:
        head.append("\nThe preview has changed since: press g and read it again.", style="bold red")
    if status.why_by:  # last: the lines above must be seen, however long a reason is
        head.append(f"\n{visible(spoken(shorten(status.why, _REASON), status.why_by))}", style="not bold")
    return head
