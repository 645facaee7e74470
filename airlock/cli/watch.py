"""`watch`: many plans at once."""

from typing import Annotated

import typer

from airlock.cli.display.follow import follow, open_screen
from airlock.cli.output import OK, AsJson, command, emit_line, say
from airlock.client import Airlock


@command
async def watch(
    plans: Annotated[
        list[str] | None, typer.Argument(metavar="[PLAN]...", help="Plans; without any, all open ones.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Follow plans until all have ended.

    Prints a bar for each plan on a terminal, and a line for each change elsewhere. With --json each line is one document.
    """
    airlock = await Airlock.connect()
    handles = [airlock.plan(name) for name in dict.fromkeys(plans or ())]
    if not plans:
        handles = [airlock.plan(found.plan_id) for found in await airlock.plans(open_only=True, limit=1_000)]
    if not handles:
        emit_line({"plans": []}) if as_json else say("There are no open plans.")
        return OK
    with open_screen(as_json=as_json) as screen:
        await follow(handles, screen)
    return OK
