"""`verify`: whether the files of an export are what was written."""

import json
from pathlib import Path
from typing import Annotated

import typer

from airlock.exported import EXECUTIONS, SUMMARY
from cli.output import OK, REFUSED, AsJson, command, console, emit, safe, say
from cli.verify_files import verify as verify_files

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that export wrote.")]
Root = Annotated[
    str | None,
    typer.Option(
        "--root", metavar="DIGEST", help="The root digest that export printed, or its first 12 or more characters."
    ),
]


@command
def verify(folder: Folder, root: Root = None, as_json: AsJson = False) -> int:
    """Check an export offline: schemas, hash chains, totals and digests; the first thing that is wrong comes first.

    Exits 1 when anything is wrong. Files that were all rewritten consistently are found out only with --root.
    """
    findings = verify_files(folder, root)
    summary = {} if findings else json.loads((folder / SUMMARY).read_bytes())
    if as_json:
        document = {"verified": not findings, "root": summary.get("hash"), "findings": findings}
        emit({**({"error": f"the export is not what was written: {findings[0]}"} if findings else {}), **document})
        return REFUSED if findings else OK
    for finding in findings:
        console(stderr=True).print(safe(f"error: {finding}"), soft_wrap=True, style="red")
    if findings:
        return REFUSED
    lines = summary["files"][EXECUTIONS]["lines"]
    say(f"{folder}: seven files, {lines} plans, nothing is wrong")
    say(f"root {summary['hash']}")
    return OK
