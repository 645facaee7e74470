"""The check of an export against itself: schemas, chains, totals and digests, offline, in constant memory."""

import hashlib
import json
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from airlock.base.errors import AirlockError
from airlock.base.text import shorten
from airlock.cli.records.exported_lines import DamagedFile, LineFile, PlanFiles
from airlock.export.documents import Document, FileDigest, OrchestrationSummary, SystemHealth, ToolConflicts
from airlock.export.fields import SCHEMA_VERSION
from airlock.export.files import (
    APPROVALS,
    CONFLICTS,
    DOCUMENTS,
    EXECUTIONS,
    EXPORT_FILES,
    HEALTH,
    SEVEN_FILES,
    SIGNALS,
    SUMMARY,
)
from airlock.export.hiding import Openings
from airlock.export.ledger import signals_genesis
from airlock.export.lines import SignalLine
from airlock.export.seal_check import SealReport
from airlock.export.totals import Totals
from airlock.export.verification import DamagedContent, Finding, check_plan, read_document
from airlock.plans.seal import names_digest

D = TypeVar("D", bound=Document)

MAX_FINDINGS = 50
"""The most findings that are listed. An export with more faults is another export."""
_SINCE_TWO = ("total_seals", "total_approvals", "total_denials")
"""Totals that a summary of schema version 1 does not have."""
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Checked:
    """The result of the check of an export."""

    findings: list[Finding]
    seals: SealReport
    summary: OrchestrationSummary | None


def verify(folder: Path, root: str | None = None, openings: Openings | None = None) -> list[Finding]:
    """Return all faults of an export, the first place first; empty when there is none: see `check_export`."""
    return check_export(folder, root, openings).findings


def check_export(folder: Path, root: str | None = None, openings: Openings | None = None) -> Checked:
    """Check an export: all its faults, the first place first, and what the check of the seals came to.

    Files that were all rewritten consistently pass this check. Only a root digest that was kept elsewhere, or the
    histories in Temporal, reveal that.

    Args:
        folder: The folder of the files.
        root: The root digest that the export printed, or the first 12 or more characters of it.
        openings: The hidden values that can be shown.

    Raises:
        AirlockError: If the folder cannot be read at all.
    """
    try:
        names = files_of(folder)
        check = _Verification(folder, names, openings or Openings())
        found = list(_other_files(folder, names)) or check.findings(root)
    except OSError as error:
        raise AirlockError(f"cannot read {folder}: {error.strerror or error}") from error
    return Checked(found[:MAX_FINDINGS], check.report, check.summary)


def files_of(folder: Path) -> tuple[str, ...]:
    """Return the names of the files that an export has, by the version that its summary tells.

    A summary that cannot be read tells none: then the files that are there do.
    """
    try:
        with (folder / SUMMARY).open("rb") as file:
            told = json.loads(file.read(MAX_DOCUMENT_BYTES))
        newer = told.get("schema_version") != SCHEMA_VERSION or APPROVALS in told["files"]
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        newer = (folder / APPROVALS).exists()
    return EXPORT_FILES if newer else SEVEN_FILES


def _other_files(folder: Path, names: tuple[str, ...]) -> Iterator[Finding]:
    there = {path.name: path.lstat().st_mode for path in folder.iterdir()}
    for name in names:
        if name not in there:
            yield Finding(file=name, message="the file is missing")
        elif not stat.S_ISREG(there[name]):
            yield Finding(file=name, message="is no regular file")
    for name in sorted(there.keys() - set(names)):
        yield Finding(file=shorten(name, 200), message="is no part of an export")


class _Verification:
    """One look at one folder."""

    def __init__(self, folder: Path, names: tuple[str, ...], openings: Openings) -> None:
        self.folder = folder
        self.names = names
        self.openings = openings
        self.report = SealReport()
        self.summary: OrchestrationSummary | None = None
        self.totals = Totals()
        self.digests: dict[str, FileDigest] = {}
        self.signals = 0

    def findings(self, root: str | None) -> list[Finding]:
        """Lines and chains first, because they name the place; then what the documents say of them."""
        found = [*self._plans(), *self._signals()]
        summary = self.summary = self._document(SUMMARY, OrchestrationSummary, found)
        conflicts = self._document(CONFLICTS, ToolConflicts, found)
        health = self._document(HEALTH, SystemHealth, found)
        if summary is not None:
            named = {finding.file for finding in found}
            found += [finding for finding in self._against(summary) if finding.file not in named]
            found += [] if found else self._summary_totals(summary)
            if root is not None and not names_digest(root, summary.hash):
                message = f"hash: the root digest is {summary.hash}, not the one given"
                found.append(Finding(file=SUMMARY, message=message))
        if conflicts is not None and not found:
            found += _unlike(CONFLICTS, conflicts, self.totals.conflicts())
        if health is not None and health.metrics.system_health_score != health.health_score:
            found.append(Finding(file=HEALTH, message="health_score differs from metrics.system_health_score"))
        return found

    def _plans(self) -> list[Finding]:
        found: list[Finding] = []
        with closing(PlanFiles(self.folder)) as files:
            each = (files.executions, *files.others)
            try:
                for plan in files.plans():
                    wrong = check_plan(plan, self.openings, self.report)
                    if wrong is not None:
                        found.append(wrong)
                        break
                    self.totals.add(plan.record)
                else:
                    found += _left_over(files)
            except DamagedFile as error:
                found.append(error.finding)
            for file in each:
                found += file.rest(MAX_FINDINGS)
            self.digests |= {file.name: file.digest for file in each}
        return found

    def _signals(self) -> list[Finding]:
        found: list[Finding] = []
        prev, seq = signals_genesis(), 0
        with closing(LineFile(self.folder, SIGNALS, SignalLine)) as file:
            try:
                while (line := file.take()) is not None:
                    seq += 1
                    if line.value.seq != seq or line.value.prev != prev:
                        message = f"signal {seq} follows, not signal {line.value.seq}: the chain is broken here"
                        found.append(Finding(file=SIGNALS, line=line.number, message=message))
                        break
                    prev = line.value.hash
            except DamagedFile as error:
                found.append(error.finding)
            found += file.rest(MAX_FINDINGS)
            self.digests[SIGNALS], self.signals = file.digest, seq
        return found

    def _document(self, name: str, model: type[D], found: list[Finding]) -> D | None:
        assert DOCUMENTS[name] is model
        path = self.folder / name
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            found.append(Finding(file=name, message=f"is larger than the {MAX_DOCUMENT_BYTES:,} bytes a document may have"))
            return None
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        self.digests[name] = FileDigest(lines=data.count(b"\n"), bytes=len(data), sha256=digest)
        try:
            return read_document(data, model)
        except DamagedContent as error:
            found.append(Finding(file=name, line=error.line, message=str(error)))
            return None

    def _against(self, summary: OrchestrationSummary) -> Iterator[Finding]:
        """Files that are not those the summary was written with."""
        others = [name for name in self.names if name != SUMMARY]
        if sorted(summary.files) != sorted(others):
            yield Finding(file=SUMMARY, message="files: names other files than an export has")
            return
        for name in others:
            stated, true = summary.files[name], self.digests.get(name)
            if true is None:
                continue  # it was not read, and that is a finding already
            if true.lines < stated.lines:
                message = f"ends before line {true.lines + 1}: {stated.lines} lines were written"
                yield Finding(file=name, line=true.lines + 1, message=message)
            elif true.lines > stated.lines:
                message = f"goes on after line {stated.lines}: {stated.lines} lines were written"
                yield Finding(file=name, line=stated.lines + 1, message=message)
            elif true != stated:
                yield Finding(file=name, message=f"is another file than the one {SUMMARY} was written with")

    def _summary_totals(self, summary: OrchestrationSummary) -> Iterator[Finding]:
        counted = {**self.totals.summary(), "total_learning_signals": self.signals}
        for name, count in counted.items():
            told = getattr(summary, name)
            if told != count and not (told is None and summary.schema_version == SCHEMA_VERSION and name in _SINCE_TWO):
                yield Finding(file=SUMMARY, message=f"{name} is {_shown(told)}, the lines come to {_shown(count)}")


def _left_over(files: PlanFiles) -> Iterator[Finding]:
    """Lines behind those of the last plan: that of their own plan is missing, or they belong to none."""
    count = files.executions.taken
    for file in files.others:
        if (left := file.peek()) is None:
            continue
        if left.value.plan_index == count:
            message = f"the line of plan {left.value.plan_id!r} is missing: {file.name} has lines of it"
            yield Finding(file=EXECUTIONS, line=count + 1, message=message)
        else:
            yield Finding(file=file.name, line=left.number, message=f"belongs to no plan of {EXECUTIONS}")


def _unlike(name: str, told: ToolConflicts, counted: ToolConflicts) -> Iterator[Finding]:
    for field in ("total_conflicts", "by_type", "by_resolution_strategy"):
        if (one := getattr(told, field)) != (other := getattr(counted, field)):
            yield Finding(file=name, message=f"{field} is {_shown(one)}, the lines come to {_shown(other)}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{getattr(key, 'value', key)} {count}" for key, count in value.items())
    return str(value)
