"""`export`: the files of the record, from Temporal alone."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from airlock.base.errors import Problem
from airlock.base.names import workflow_id_of
from airlock.base.text import count
from airlock.cli.output import OK, AsJson, Refusal, command, console, emit, safe, say, warn
from airlock.cli.records.export_files import carried_over, export_files
from airlock.cli.records.openings import OpeningsFile
from airlock.client import Airlock
from airlock.client.exporting import Plans, Tell, monitored, plans_of
from airlock.export.documents import OrchestrationSummary
from airlock.export.files import SUMMARY
from airlock.export.plan_lines import PlanRecord

LAST = "last"
_VISIBILITY_LAG = timedelta(minutes=5)
"""The longest delay of visibility. `--since last` goes back so much further."""

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go; an earlier export there is replaced.")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Take plans that ended before this time from the earlier export in DIR, and read only the others. "
        "ISO 8601, in UTC unless it names a zone, or `last` for the end of that export.",
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="PLAN", help="Leave a plan out that no worker can answer for; may be repeated."),
]
OpeningsOut = Annotated[
    Path | None,
    typer.Option(
        "--openings",
        metavar="FILE",
        help="Write arguments and previews as salted hashes, and what opens them into FILE, which stays with you.",
    ),
]


@command
async def export(
    folder: Folder,
    since: Since = None,
    without: Without = None,
    openings: OpeningsOut = None,
    as_json: AsJson = False,
) -> int:
    """Export all plans into eight files, from Temporal alone.

    Either all files are written or none. The same plans give the same bytes. Workers must be running, because each run is
    queried for its records. A plan that cannot be read does not stop the export: the summary lists it, with the reason. The
    command prints the root digest; keep it elsewhere.
    """
    if openings is not None and since is not None:
        raise Refusal(
            "--openings needs a whole export: leave out --since, whose earlier lines may show what is to be hidden"
        )
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"{folder} is a file: name a folder, or one that is not there yet")
    begin = _since(folder, since) if since is not None else None
    left_out = [workflow_id_of(name) for name in without or ()]
    client = (await Airlock.connect()).client
    with progress("reading plans", quiet=as_json) as tell:
        async with plans_of(client, since=begin, without=left_out, tell=tell) as plans:
            _check_any_read(plans)
            health, signals = await monitored(client)
            records = _records(folder, plans, begin)
            with contextlib.ExitStack() as stack:
                file = None
                if openings is not None:
                    file = stack.enter_context(contextlib.closing(OpeningsFile(openings, folder)))
                summary = await export_files(
                    folder,
                    records,
                    pipeline_id=client.namespace,
                    signals=signals,
                    health=health,
                    unreadable=plans.unread,
                    left_out=left_out,
                    openings=file,
                )
    if as_json:
        unreadable = list(summary.unreadable or ())
        emit(
            {
                "folder": str(folder),
                "root": summary.hash,
                "left_out": left_out,
                "unreadable": unreadable,
                "summary": summary,
            }
        )
        return OK
    for plan in summary.unreadable or ():
        warn(safe(f"{plan.workflow_id} could not be read and is listed as unreadable: {plan.why}"))
    said = f"{count(summary.plans_processed, 'plan')} ({summary.plans_open} open)"
    say(f"{folder}: eight files, {said} and {count(summary.undos_processed, 'undo')}")
    say(f"root {summary.hash}")
    return OK


def _records(folder: Path, plans: Plans, since: datetime | None) -> AsyncIterator[PlanRecord]:
    if since is None:
        return plans.records()
    return carried_over(folder, since, plans.records(), {plan.workflow_id for plan in plans.unread})


def _check_any_read(plans: Plans) -> None:
    """Refuse to export when no plan could be read, or no worker is there: that export would only list what it lacks."""
    unread = plans.unread
    if not unread or (plans.kept and not plans.gave_up):
        return
    problems = [
        Problem(
            where=plan.workflow_id, message=plan.why, fix=f"start a worker, or leave it out: --without {plan.workflow_id}"
        )
        for plan in unread
    ]
    raise Refusal(f"{count(len(unread), 'plan')} could not be read, so nothing was written", problems)


def _since(folder: Path, said: str) -> datetime:
    """Return the time that `--since` names.

    Raises:
        Refusal: If it is later than the end of the earlier export: plans in between would be missed.
    """
    try:
        earlier = OrchestrationSummary.model_validate_json((folder / SUMMARY).read_bytes())
    except (OSError, ValueError) as error:
        raise Refusal(f"there is no earlier export in {folder} to go on from: export everything, without --since") from error
    if said == LAST:
        return (earlier.end_time or datetime.min.replace(year=1970, tzinfo=UTC)) - _VISIBILITY_LAG
    try:
        since = datetime.fromisoformat(said)
    except ValueError:
        raise typer.BadParameter(f"{said!r} is not a time: write it like 2026-05-04T13:00:00Z, or `last`") from None
    since = since if since.tzinfo is not None else since.replace(tzinfo=UTC)
    if earlier.end_time is None or since > earlier.end_time:
        known = f"{earlier.end_time:%Y-%m-%dT%H:%M:%SZ}" if earlier.end_time else "nothing"
        raise Refusal(
            f"the earlier export knows of {known} at the latest: --since must not be later, or plans would be missed"
        )
    return since.astimezone(UTC)


@contextlib.contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Tell | None]:
    """Show a bar on a terminal, and nothing elsewhere."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
