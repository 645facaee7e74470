"""Folders of exports: how they are written, read, changed and given to `verify`."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from airlock.base.canonical import digest
from airlock.cli.records.export_files import export_files
from airlock.cli.records.openings import OpeningsFile
from airlock.cli.records.verify_files import verify
from airlock.cli.verify import verify as verify_command
from airlock.export.documents import OrchestrationSummary
from airlock.export.files import APPROVALS, SUMMARY
from airlock.export.first_version import as_first_version
from airlock.export.ledger import document_text, parts_of
from airlock.export.plan_lines import PlanRecord
from airlock.export.verification import Finding
from tests.core.export_build import health, records, signal

PLANS = 16


async def stream(plans: Iterable[PlanRecord]) -> AsyncIterator[PlanRecord]:
    for plan in plans:
        yield plan


def export(folder: Path, plans: Iterable[PlanRecord] | AsyncIterator[PlanRecord], signals: int = 3) -> OrchestrationSummary:
    source = plans if isinstance(plans, AsyncIterator) else stream(plans)
    made = [signal(number) for number in range(signals)]
    return asyncio.run(export_files(folder, source, pipeline_id="default", signals=made, health=health()))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def changed(folder: Path, name: str, data: bytes) -> list[Finding]:
    """Return the findings when one file is replaced by another."""
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(data)
    try:
        return verify(folder)
    finally:
        (folder / name).write_bytes(before)


def lines_of(folder: Path, name: str) -> list[bytes]:
    return (folder / name).read_bytes().splitlines(keepends=True)


def reclosed(document: dict[str, object]) -> bytes:
    parts = parts_of(document)
    return document_text({**document, "parts": parts, "hash": digest(parts)}).encode()


def said(*arguments: str) -> Result:
    one = typer.Typer()
    one.command("verify")(verify_command)
    return CliRunner().invoke(one, list(arguments))


def of_version_one(tmp_path: Path) -> Path:
    """Return an export as it was written before there was `approvals.jsonl`."""
    folder = tmp_path / "old"
    export(folder, [as_first_version(record) for record in records(PLANS)])
    files = {name: data for name, data in content(folder).items() if name != APPROVALS}
    summary = json.loads(files[SUMMARY])
    for name in ("total_seals", "total_approvals", "total_denials", "unreadable", "left_out"):
        del summary[name]
    del summary["files"][APPROVALS]
    (folder / APPROVALS).unlink()
    return write(folder, {SUMMARY: reclosed({**summary, "schema_version": 1})})


def hide(folder: Path, file: Path) -> OrchestrationSummary:
    with closing(OpeningsFile(file, folder)) as openings:
        source = stream(records(PLANS))
        return asyncio.run(export_files(folder, source, pipeline_id="default", health=health(), openings=openings))
