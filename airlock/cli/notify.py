"""`notify`: messages about plans: the process that sends them, a test of the receivers, and what could not be delivered."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from temporalio.client import Client

from airlock.admission.configuration.config import Config
from airlock.admission.configuration.notify_config import AlertKind, Receiver
from airlock.alerts.alert import FOR_APPROVERS
from airlock.alerts.asked import Asked, asked
from airlock.alerts.routing import Delivery
from airlock.base import names
from airlock.base.errors import ConfigError, Problem
from airlock.base.likely import likely_fix
from airlock.base.text import count, listed
from airlock.cli.output import OK, REFUSED, AsJson, command, emit, emit_line, safe, say
from airlock.cli.servers.stopping import until_stopped
from airlock.cli.settings import ConfigOption
from airlock.plans.plan import seconds
from airlock.tools.operator_file import DEFAULT_CONFIG, find_config, read_config

notify = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Send messages when a plan waits for a person, and look after them. A message has a link; it decides nothing.",
)

SomeReceiver = Annotated[
    str | None, typer.Argument(metavar="[RECEIVER]", help="The name of one receiver; all of them unless given.")
]


def _read(given: Path | None) -> Config:
    path = find_config(given)
    if path is None:
        fix = f"name it with --config, or write {DEFAULT_CONFIG}"
        raise ConfigError([Problem(where=str(DEFAULT_CONFIG), message="there is no such file", fix=fix)])
    return read_config(path)


def _duration(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--every'") from error


@notify.command("run")
@command
def run(
    every: Annotated[
        str, typer.Option("--every", metavar="DURATION", help="The time between two looks at what waits.")
    ] = "10s",
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> int:
    """Look at what waits for a person, and send the messages that are due, until stopped.

    Several such processes may run: a message has the id of its workflow, and Temporal starts none twice.
    """
    from airlock.notify.service import require_usable, serve
    from airlock.temporal.connection import connect_patiently

    pause, chosen = _duration(every), _read(config)
    require_usable(chosen)

    def told(delivery: Delivery, how: str) -> None:
        what = f"{delivery.kind} {delivery.plan_id}".strip()
        if as_json:
            emit_line({"id": delivery.id, "receiver": delivery.receiver, "kind": delivery.kind, "answer": how})
        else:
            say(f"{datetime.now(UTC):%H:%M:%S} {delivery.receiver}: {what}: {how}")

    async def work(is_up: Callable[[], None]) -> None:
        client = await connect_patiently()

        def up() -> None:
            is_up()
            names = listed(list(chosen.notify))
            emit_line({"receivers": list(chosen.notify)}) if as_json else say(f"airlock notify sends to {names}")

        await serve(client, chosen, pause, told, up)

    return asyncio.run(until_stopped(work, as_json=as_json))


@notify.command("test")
@command
async def try_receivers(receiver: SomeReceiver = None, config: ConfigOption = None, as_json: AsJson = False) -> int:
    """Send a marked test message to each receiver, and show what it answered. Needs no Temporal.

    Exits 1 if one of them did not take it.
    """
    from airlock.notify.letters import trial_letter
    from airlock.notify.sending import Sender, SendFailed
    from airlock.notify.service import require_usable, smtp_settings

    chosen = _read(config)
    require_usable(chosen)
    if receiver is not None and receiver not in chosen.notify:
        said = f"there is no receiver {receiver!r}: {likely_fix(receiver, chosen.notify)}"
        raise typer.BadParameter(said, param_hint="'RECEIVER'")
    sender, now = Sender(smtp_settings(chosen)), datetime.now(UTC)

    async def one(name: str) -> dict[str, Any]:
        target = chosen.notify[name]
        letter = trial_letter(f"{names.NOTIFY_PREFIX}{name}-test-{now:%Y%m%dT%H%M%S%fZ}", name, target, now)
        try:
            taken, answer = True, await sender.send(letter, target)
        except SendFailed as error:
            taken, answer = False, str(error)
        asks = asked(target, chosen.policy)
        return {
            "receiver": name,
            "kind": target.kind,
            "taken": taken,
            "answer": answer,
            "asked": list(asks.names),
            "note": asked_note(target, asks),
        }

    rows = await asyncio.gather(*(one(name) for name in chosen.notify if receiver in (None, name)))
    failed = [row for row in rows if not row["taken"]]
    if as_json:
        failure = {"error": f"{count(len(failed), 'receiver')} did not take the message"} if failed else {}
        emit({**failure, "receivers": list(rows)})
    else:
        for row in rows:
            mark = "taken" if row["taken"] else "NOT TAKEN"
            say(f"{row['receiver']} ({row['kind']}): {mark}: {row['answer']}")
            say(safe(f"  {row['note']}"), style="dim")
    return REFUSED if failed else OK


@notify.command("failed")
@command
async def failed(
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="The largest number of messages.")] = 100,
    as_json: AsJson = False,
) -> int:
    """List the messages that were given up, newest first, with the last answer of their receivers."""
    from airlock.notify.dead_letters import dead_letters

    letters = await dead_letters(await _client(), limit)
    if as_json:
        emit({"failed": list(letters)})
        return OK
    for each in letters:
        about = f"{each.kind} {each.plan_id}".strip()
        say(f"{each.failed_at:%Y-%m-%d %H:%M:%S} UTC  {each.id}  {safe(about)}: {each.why}")
    say(f"{count(len(letters), 'message')} given up")
    return OK


@notify.command("resend")
@command
async def resend(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of a message that was given up.")],
    as_json: AsJson = False,
) -> int:
    """Send a message that was given up again, if it still holds. A process of `airlock notify run` does it."""
    from airlock.notify.dead_letters import resend as send_again

    delivery = await send_again(await _client(), id)
    emit({"id": delivery.id, "receiver": delivery.receiver}) if as_json else say(f"{delivery.id} is sent again")
    return OK


async def _client() -> Client:
    from airlock.temporal.connection import connect

    return await connect()


def asked_note(receiver: Receiver, asks: Asked) -> str:
    """Return one sentence about the people that a receiver asks for approvals."""
    kinds = [kind for kind in FOR_APPROVERS if kind in receiver.events]
    if not kinds:
        return f"told of {listed([kind.value for kind in receiver.events]) or 'what is escalated to it'}"
    if asks.everyone:
        return "asks everyone but the requester and the agents of a plan"
    if asks.names:
        return f"asks {listed(asks.names)}, without the requester of a plan"
    others = [kind.value for kind in AlertKind if kind in receiver.events and kind not in FOR_APPROVERS]
    rest = f"; it is told of {listed(others)} only" if others else ""
    return f"is never asked for an approval: none of its people may approve{rest}"
