"""The tools of the chaos run: they really hold a shelf for a while, write down what they do, and can be killed meanwhile.

A catalogue that names this module offers them. They differ in what a killed call leaves behind: `book` may be repeated,
`stack` has a probe, `pin` has none so that only a human can tell, `notify` can never be taken back.
"""

import smtplib
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.message import EmailMessage
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from sandbox.chaos_store import Caller, ChaosStore

KEY_HEADER = "X-Airlock-Key"
"""The header of a mail that holds the idempotency key of its call."""
_TIMEOUT = 3.0


class ChaosSettings(BaseModel):
    """`[settings.chaos]`: the shared store, and where the mail sink listens on this machine."""

    section: ClassVar[str] = "chaos"
    store: str = Field(min_length=1)
    smtp_port: int = 0


class AtShelf(BaseModel):
    """A call that needs a shelf for itself for `hold` seconds."""

    model_config = ConfigDict(extra="forbid")
    shelf: str
    hold: float = Field(default=0.05, ge=0, le=60)


class Booking(AtShelf):
    """`refuse` makes the live call fail, certainly without an effect."""

    refuse: bool = False


class Notice(AtShelf):
    """One mail."""

    to: str
    subject: str


def _store(call: ToolCall) -> ChaosStore:
    return ChaosStore(call.settings.store)


@contextmanager
def _at_shelf(args: AtShelf, call: ToolCall, kind: str) -> Iterator[tuple[ChaosStore, str, Caller]]:
    """Hold the shelf for as long as the arguments say; the caller ends the visit together with its effect."""
    who = Caller(kind, call.plan_id, call.step_id, args.shelf, call.idempotency_key, call.fence)
    with closing(_store(call)) as store:
        visit = store.begin(who)
        time.sleep(args.hold)
        yield store, visit, who


def _put(args: Booking, call: ToolCall, *, once: bool) -> dict[str, Any]:
    with _at_shelf(args, call, "live") as (store, visit, who):
        if args.refuse:
            store.end(visit, who)
            raise ToolFailed(f"shelf {args.shelf} takes nothing")
        store.put(visit, who, once=once)
    return {"shelf": args.shelf}


@tool(
    name="book", risk="MEDIUM", reversibility="reversible", idempotent=True, timeout=_TIMEOUT, resources=["shelf:{shelf}"],
    settings=ChaosSettings,
)  # fmt: skip
def book(args: Booking, call: ToolCall) -> dict[str, Any]:
    """Put something on a shelf; a repeated call finds it there."""
    return _put(args, call, once=True)


@tool(
    name="stack", risk="MEDIUM", reversibility="compensable", timeout=_TIMEOUT, resources=["shelf:{shelf}"],
    settings=ChaosSettings,
)  # fmt: skip
def stack(args: Booking, call: ToolCall) -> dict[str, Any]:
    """Put something on a shelf; a repeated call puts it there twice."""
    return _put(args, call, once=False)


@tool(
    name="pin", risk="MEDIUM", reversibility="compensable", timeout=_TIMEOUT, resources=["shelf:{shelf}"],
    settings=ChaosSettings,
)  # fmt: skip
def pin(args: Booking, call: ToolCall) -> dict[str, Any]:
    """Like `stack`, but nothing can tell afterwards whether it happened."""
    return _put(args, call, once=False)


@tool(
    name="notify", risk="HIGH", reversibility="irreversible", timeout=_TIMEOUT, resources=["shelf:{shelf}"],
    settings=ChaosSettings,
)  # fmt: skip
def notify(args: Notice, call: ToolCall) -> dict[str, Any]:
    """Send a mail while holding a shelf."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "airlock@chaos.test", args.to, args.subject
    message[KEY_HEADER] = call.idempotency_key
    message.set_content(args.subject)
    with _at_shelf(args, call, "live") as (store, visit, who):
        try:
            with smtplib.SMTP("127.0.0.1", call.settings.smtp_port, timeout=_TIMEOUT - 1) as server:
                server.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            raise InDoubt(f"the mail may have been sent: {type(error).__name__}") from error
        finally:
            store.end(visit, who)
    return {"to": args.to}


@notify.dry_run
def _look_at_notice(args: Notice, _call: ToolCall) -> Preview:
    return Preview(effect=f"Would send {args.subject!r} to {args.to}.", output={"to": args.to})


@notify.mock
def _mock_notice(args: Notice, _call: ToolCall) -> dict[str, Any]:
    return {"to": args.to}


def _look(args: Booking, call: ToolCall) -> Preview:
    with closing(_store(call)) as store:
        there = sum(row.shelf == args.shelf for row in store.rows())
    effect = f"Would add one thing to shelf {args.shelf}, which holds {there}."
    return Preview(effect=effect, output={"shelf": args.shelf}, undo="take it away again")


def _mock(args: Booking, _call: ToolCall) -> dict[str, Any]:
    return {"shelf": args.shelf}


def _take_back(args: Booking, call: ToolCall) -> None:
    with _at_shelf(args, call, "undo") as (store, visit, who):
        store.take_back(visit, who)


def _probe(args: Booking, call: ToolCall) -> Probe:
    with closing(_store(call)) as store:
        happened = store.has(call.idempotency_key)
    return Probe(happened=happened, output={"shelf": args.shelf}, why="the shelf was looked at")


def _complete(made: Tool, *, probe: bool) -> None:
    made.dry_run(_look)
    made.mock(_mock)
    made.compensate(_take_back)
    if probe:
        made.probe(_probe)


_complete(book, probe=True)
_complete(stack, probe=True)
_complete(pin, probe=False)
