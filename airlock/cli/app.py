"""The command line: every command by name, with the module that holds it. Importing this imports none of them."""

from typing import Annotated, ClassVar

import typer

from airlock.cli.group import Home, LazyGroup
from airlock.program import installed_as, version


class Commands(LazyGroup):
    """The commands of `airlock`, in the order of a first day with it."""

    table: ClassVar = {
        "init": Home("airlock.cli.init", "init", "Write an example: airlock.toml, a tool of your own, a plan."),
        "dev": Home("airlock.cli.dev", "dev", "Start a Temporal development server and a worker."),
        "start": Home("airlock.cli.start", "start", "Submit a plan."),
        "list": Home("airlock.cli.listing", "list_", "List plans, newest first."),
        "show": Home("airlock.cli.show", "show", "Show a plan: its preview, its steps, what it waits for."),
        "watch": Home("airlock.cli.watch", "watch", "Follow plans until all have ended."),
        "inbox": Home("airlock.cli.inbox", "inbox", "Read and decide what waits for a person, on a terminal."),
        "approve": Home("airlock.cli.approve", "approve", "Approve exactly the preview you have seen."),
        "deny": Home("airlock.cli.decisions", "deny", "Deny a plan that waits for approval."),
        "amend": Home("airlock.cli.amend", "amend", "Change steps of a plan that waits for approval."),
        "rollback": Home("airlock.cli.undo", "rollback", "Undo what is live, whole or back to a step, in reverse order."),
        "abort": Home("airlock.cli.decisions", "abort", "End a plan without undoing anything."),
        "resolve": Home("airlock.cli.decisions", "resolve", "Settle a step that waits for a human."),
        "lock": Home("airlock.cli.lock", "lock", "Stop one plan, or everything."),
        "unlock": Home("airlock.cli.lock", "unlock", "Let a locked plan go on, or everything."),
        "gate": Home("airlock.cli.gate", "gate", "Show who locked and unlocked the live gate, newest first."),
        "health": Home("airlock.cli.health", "health", "Show health: score, metrics, anomalies, the worst tools."),
        "signals": Home("airlock.cli.signals", "signals", "Show learning signals, calibration, fidelity of dry runs."),
        "tools": Home("airlock.cli.tools_import", "tools", "Show the catalogue: every tool with its contract."),
        "check": Home("airlock.cli.check", "check", "Lint a plan offline."),
        "policy": Home("airlock.cli.policy", "policy", "Test the rules of the policy, and explain what they do to a plan."),
        "mcp": Home("airlock.cli.mcp", "mcp", "Serve agents over MCP: they propose plans, people approve."),
        "console": Home("airlock.cli.console", "console", "Serve the console: what waits, and the decision about it."),
        "notify": Home("airlock.cli.notify", "notify", "Send messages when a plan waits for a person, and look after them."),
        "keys": Home("airlock.cli.keys", "keys", "Make, show, rotate and retire the keys of workers."),
        "export": Home("airlock.cli.export", "export", "Export all plans into eight files, from Temporal alone."),
        "verify": Home("airlock.cli.verify", "verify", "Check an export: schemas, chains, totals, digests, signatures."),
    }


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    # the completion script calls the program by one word; `python starter.py` has none
    add_completion=installed_as("airlock"),
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Airlock: run agents' tool calls the way Terraform runs changes: propose, rehearse, approve, go live, undo.",
    epilog="Every command takes --json. Exit codes: 0 success, 1 refusal, 2 bad usage. "
    "The connection is Temporal's own: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"airlock {version()}")
        raise typer.Exit


@app.callback()
def _every_command(
    version_wanted: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that belong to no command."""
