"""`verify`: a check of an exported folder against itself, and against Temporal's histories."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from airlock.base.text import count
from airlock.cli.export import progress
from airlock.cli.output import OK, REFUSED, AsJson, Refusal, command, console, emit, safe, say, warn
from airlock.cli.records.openings import read_openings
from airlock.cli.records.verify_files import Checked, check_export, files_of
from airlock.cli.records.verify_temporal import Comparison, verify_against_temporal
from airlock.cli.report import write_report
from airlock.client import Airlock
from airlock.export.documents import OrchestrationSummary
from airlock.export.files import APPROVALS, EXECUTIONS, SUMMARY
from airlock.export.ledger import document_text
from airlock.export.seal_check import SealReport
from airlock.export.statement import statement as statement_about

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that export wrote.")]
Root = Annotated[
    str | None,
    typer.Option(
        "--root", metavar="DIGEST", help="The root digest that export printed, or its first 12 or more characters."
    ),
]
AgainstTemporal = Annotated[
    bool,
    typer.Option(
        "--against-temporal", help="Derive every plan's chain again from the server's histories, too; needs a worker."
    ),
]
OpeningsIn = Annotated[
    Path | None,
    typer.Option("--openings", metavar="FILE", help="What opens the hidden values of the export, or some of them."),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="PAGE",
        help="Write a page that shows the export and checks it again in a browser, without a network.",
    ),
]
Statement = Annotated[
    Path | None,
    typer.Option(
        "--statement",
        metavar="FILE",
        help="Write an in-toto statement of all digests and the root, to be signed. Only if nothing is wrong.",
    ),
]


@command
def verify(
    folder: Folder,
    root: Root = None,
    openings: OpeningsIn = None,
    against_temporal: AgainstTemporal = False,
    html: Html = None,
    statement: Statement = None,
    as_json: AsJson = False,
) -> int:
    """Check an export: schemas, chains, totals, digests, signatures.

    The check needs no server. It prints the first fault first, and exits 1 when there is one. Files that were all rewritten
    consistently are detected only with --root, or with --against-temporal as long as Temporal's retention keeps the plans.
    """
    checked = check_export(folder, root, None if openings is None else read_openings(openings))
    findings = checked.findings
    if html is not None:
        write_report(html, folder, files_of(folder), checked.summary.hash if checked.summary else None)
    compared = asyncio.run(_compare(folder, quiet=as_json)) if against_temporal and not findings else None
    findings = [*findings, *(compared.findings if compared else ())]
    if statement is not None and not findings and checked.summary is not None:
        _write_statement(statement, folder, checked.summary)
    summary = {} if findings else json.loads((folder / SUMMARY).read_bytes())
    notes = [] if findings else [*_left_out(checked), *checked.seals.notes, *(compared.notes if compared else ())]
    if as_json:
        document = {"verified": not findings, "root": summary.get("hash"), "findings": findings}
        more = {"seals": _seals(checked.seals), "notes": notes, **({"compared": compared.compared} if compared else {})}
        emit({**({"error": f"the export is not what was written: {findings[0]}"} if findings else {}), **document, **more})
        return REFUSED if findings else OK
    for note in notes:
        warn(safe(note))
    for finding in findings:
        console(stderr=True).print(safe(f"error: {finding}"), soft_wrap=True, style="red")
    if findings:
        return REFUSED
    lines = summary["files"][EXECUTIONS]["lines"]
    files = "eight" if APPROVALS in summary["files"] else "seven"
    say(f"{folder}: {files} files, {count(lines, 'plan')}, nothing is wrong")
    say(_seals_said(checked.seals))
    if compared:
        say(f"{compared.compared} of them are what Temporal's histories tell")
    say(f"root {summary['hash']}")
    for file, what in ((html, "the record as a page"), (statement, "the in-toto statement")):
        if file is not None:
            say(f"{file}: {what}")
    return OK


def _write_statement(file: Path, folder: Path, summary: OrchestrationSummary) -> None:
    if file.resolve().is_relative_to(folder.resolve()):
        raise Refusal(f"{file} is in the exported folder, which must hold nothing else: write the statement elsewhere")
    told = statement_about(summary, hashlib.sha256((folder / SUMMARY).read_bytes()).hexdigest())
    try:
        file.write_text(document_text(told), encoding="ascii")
    except OSError as error:
        raise Refusal(f"cannot write {file}: {error.strerror or error}") from error


def _seals(report: SealReport) -> dict[str, int]:
    return {name: getattr(report, name) for name in ("recomputed", "hidden", "missing", "signatures")}


def _seals_said(report: SealReport) -> str:
    said = f"{report.recomputed} digests of seals computed again, {report.signatures} signatures checked"
    said += f"; {report.hidden} digests need the openings of hidden values" if report.hidden else ""
    return said + (f"; {report.missing} seals have no content" if report.missing else "")


def _left_out(checked: Checked) -> list[str]:
    """Return what the export says that it lacks."""
    summary = checked.summary
    if summary is None:
        return []
    unreadable = [f"{plan.workflow_id} could not be read at the export: {plan.why}" for plan in summary.unreadable or ()]
    return [*unreadable, *(f"{name} was left out of the export" for name in summary.left_out or ())]


async def _compare(folder: Path, *, quiet: bool) -> Comparison:
    client = (await Airlock.connect()).client
    with progress("comparing plans", quiet=quiet) as tell:
        return await verify_against_temporal(folder, client, datetime.now(UTC), tell)
