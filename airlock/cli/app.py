"""The command line: every command by name."""

import typer

from airlock.cli import (
    approve,
    check,
    decisions,
    dev,
    export,
    health,
    keys,
    lock,
    plans,
    signals,
    start,
    undo,
    verify,
    watch,
)
from airlock.cli.output import Family

app = typer.Typer(
    cls=Family,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Airlock: run agents' tool calls the way Terraform runs changes: propose, rehearse, approve, go live, undo.",
    epilog="Every command takes --json. Exit codes: 0 success, 1 refusal, 2 bad usage. "
    "The connection is Temporal's own: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE.",
)

app.command("dev")(dev.dev)
app.command("start")(start.start)
app.command("list")(plans.list_)
app.command("show")(plans.show)
app.command("watch")(watch.watch)
app.command("approve")(approve.approve)
app.command("deny")(decisions.deny)
app.command("rollback")(undo.rollback)
app.command("abort")(decisions.abort)
app.command("resolve")(decisions.resolve)
app.command("lock")(lock.lock)
app.command("unlock")(lock.unlock)
app.command("health")(health.health)
app.command("signals")(signals.signals)
app.command("tools")(check.tools)
app.command("check")(check.check)
app.command("export")(export.export)
app.command("verify")(verify.verify)
app.add_typer(keys.keys, name="keys")
