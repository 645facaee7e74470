"""`gate`: the decisions at the live gate. It works when no worker does."""

from typing import Annotated

import typer

from airlock.base.text import count
from airlock.cli.display.fitting_table import FittingTable
from airlock.cli.display.screens import moment
from airlock.cli.output import OK, AsJson, command, console, emit, safe, say, warn
from airlock.cli.settings import labelled_passkeys
from airlock.client.gate_decisions import MAX_DECISIONS, MAX_RUNS, GateDecisions, gate_decisions
from airlock.temporal.connection import connect


@command
async def gate(
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=MAX_DECISIONS, help="The most decisions to list.")
    ] = 50,
    runs: Annotated[
        int, typer.Option("--runs", metavar="N", min=1, max=MAX_RUNS, help="The most runs of the gate to read.")
    ] = 50,
    as_json: AsJson = False,
) -> int:
    """Show who locked and unlocked the live gate, newest first.

    That includes decisions that stopped no plan. Each has its scope, its reason, the gate's answer, and the key that signed
    it. The list comes from Temporal's histories of the gate, as far as Temporal retains them, and needs no worker.
    """
    found = await gate_decisions(await connect(), limit=limit, runs=runs, known=labelled_passkeys())
    if as_json:
        emit(found)
        return OK
    if found.decisions:
        console().print(_table(found))
    else:
        say("There are no decisions in what was read." if found.more else "The live gate was never locked or unlocked.")
    for line in notes(found):
        warn(line)
    return OK


def notes(found: GateDecisions) -> list[str]:
    """Return what a list of decisions does not hold, in words."""
    said = []
    if found.more:
        since = f" back to {moment(found.since)} UTC" if found.since else ""
        said.append(f"{count(found.runs, 'run')} of the gate{since}: there is more; see it with --limit and --runs")
    if found.unreadable:
        said.append(f"{count(len(found.unreadable), 'run')} of the gate could not be read")
    return said


def _table(found: GateDecisions) -> FittingTable:
    table = FittingTable(title="Decisions at the live gate", title_justify="left")
    for column in ("at (UTC)", "decision", "scope", "by", "reason", "answer", "signature"):
        table.add_column(column, overflow="fold")
    for line in found.decisions:
        table.add_row(
            moment(line.at), line.decision, safe(line.scope or "everything"), safe(line.by), safe(line.reason),
            safe(line.answer), safe(line.signature),
        )  # fmt: skip
    return table
