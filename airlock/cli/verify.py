"""`verify`: a check of an exported folder against itself, and against Temporal's histories."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from airlock.base.text import count
from airlock.cli.export import progress
from airlock.cli.output import OK, REFUSED, AsJson, command, console, emit, safe, say, warn
from airlock.cli.verify_files import verify as verify_files
from airlock.cli.verify_temporal import Comparison, verify_against_temporal
from airlock.client import Airlock
from airlock.export.files import EXECUTIONS, SUMMARY

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


@command
def verify(folder: Folder, root: Root = None, against_temporal: AgainstTemporal = False, as_json: AsJson = False) -> int:
    """Check an export: schemas, hash chains, totals, digests.

    The check needs no server. It prints the first fault first, and exits 1 when there is one. Files that were all rewritten
    consistently are detected only with --root, or with --against-temporal as long as Temporal's retention keeps the plans.
    """
    findings = verify_files(folder, root)
    compared = asyncio.run(_compare(folder, quiet=as_json)) if against_temporal and not findings else None
    findings = [*findings, *(compared.findings if compared else ())]
    summary = {} if findings else json.loads((folder / SUMMARY).read_bytes())
    if as_json:
        document = {"verified": not findings, "root": summary.get("hash"), "findings": findings}
        more = {"compared": compared.compared, "notes": compared.notes} if compared else {}
        emit({**({"error": f"the export is not what was written: {findings[0]}"} if findings else {}), **document, **more})
        return REFUSED if findings else OK
    for note in compared.notes if compared else ():
        warn(safe(note))
    for finding in findings:
        console(stderr=True).print(safe(f"error: {finding}"), soft_wrap=True, style="red")
    if findings:
        return REFUSED
    lines = summary["files"][EXECUTIONS]["lines"]
    say(f"{folder}: seven files, {count(lines, 'plan')}, nothing is wrong")
    if compared:
        say(f"{compared.compared} of them are what Temporal's histories tell")
    say(f"root {summary['hash']}")
    return OK


async def _compare(folder: Path, *, quiet: bool) -> Comparison:
    client = (await Airlock.connect()).client
    with progress("comparing plans", quiet=quiet) as tell:
        return await verify_against_temporal(folder, client, datetime.now(UTC), tell)
