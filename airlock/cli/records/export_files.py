"""The writing of the exported files: streaming, in a fixed order, all of them or none.

The files are written beside the folder and put in its place by renaming, so that a reader finds the old set or the new one,
never some of each. For the moment between two renames an existing folder is away; what a crash leaves there, the next export
puts back. Nothing of the moment of writing stands in the files: the same plans, signals and health give the same bytes.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from airlock.base.errors import AirlockError
from airlock.cli.records.exported_lines import PlanFiles
from airlock.cli.records.openings import OpeningsFile
from airlock.cli.records.verify_files import verify
from airlock.export.documents import FileDigest, OrchestrationSummary, SystemHealth, UnreadablePlan
from airlock.export.files import (
    APPROVALS,
    CONFLICTS,
    EXECUTIONS,
    EXPORT_FILES,
    HEALTH,
    ROLLBACKS,
    SIGNALS,
    SUMMARY,
    TRANSITIONS,
)
from airlock.export.hiding import hidden_line
from airlock.export.ledger import closed, document_text, line_text, linked, signals_genesis
from airlock.export.lines import LearningSignal, SignalLine
from airlock.export.plan_lines import PlanRecord
from airlock.export.totals import Totals

_PLAN_FILES = (EXECUTIONS, TRANSITIONS, ROLLBACKS, APPROVALS)


async def export_files(
    folder: Path,
    plans: AsyncIterable[PlanRecord],
    *,
    pipeline_id: str,
    signals: Iterable[LearningSignal] = (),
    health: SystemHealth,
    unreadable: Iterable[UnreadablePlan] = (),
    left_out: Iterable[str] = (),
    openings: OpeningsFile | None = None,
) -> OrchestrationSummary:
    """Write the files into a folder, in place of an earlier export there; in memory there is one plan at a time.

    Args:
        folder: The target; absent, empty, or with an earlier export and nothing else.
        plans: Every plan, in the order of `PlanRecord.order`, each once.
        pipeline_id: The namespace or other whole that the plans belong to.
        signals: The learning signals, in the order of the file.
        health: The monitor's view; its digests are made here.
        unreadable: The plans that could not be read; the summary lists them.
        left_out: The workflow ids of the plans that the caller chose to leave out.
        openings: The file for what opens sensitive values, which are then hidden; None to write the values themselves.

    Returns:
        The summary; its `hash` is the root digest, worth keeping elsewhere.

    Raises:
        AirlockError: If the folder holds anything else, the plans are out of order, or the disk refuses. The folder is then
            as it was.
    """
    _put_back(folder)
    _check_free(folder)
    beside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    try:
        beside.mkdir(parents=True)
        known = {"pipeline_id": pipeline_id, "unreadable": tuple(unreadable), "left_out": tuple(left_out)}
        summary = await _write_all(beside, plans, known, signals, health, openings)
        _sync_folder(beside)
        if openings is not None:
            openings.finish()  # before the files: values without their openings would be lost
        _replace(folder, beside)
    except OSError as error:
        raise AirlockError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return summary


async def carried_over(
    folder: Path, since: datetime, changed: AsyncIterable[PlanRecord], unreadable: Collection[str] = ()
) -> AsyncIterator[PlanRecord]:
    """Yield all plans of an earlier export, with those that changed since, for `export --since`.

    A plan that is in both is taken from `changed`; one that is only in the earlier export is carried over as it stands
    there, also when Temporal has forgotten it since.

    Args:
        folder: The earlier export; it is verified first.
        since: The caller asked Temporal for all plans that are open, and for those that were closed at this time (UTC) or
            later.
        changed: The answer, in the order of `PlanRecord.order`.
        unreadable: The workflow ids of plans that Temporal has and that could not be read: their earlier lines stay.

    Raises:
        AirlockError: If the earlier export is not as it was written, or has a plan that was still open, or closed since, and
            of which Temporal told nothing: then `since` is too late.
    """
    if findings := verify(folder):
        raise AirlockError(f"the earlier export cannot be carried over: {findings[0]}")
    with closing(PlanFiles(folder)) as files:
        earlier = (plan.record for plan in files.plans())
        kept = next(earlier, None)
        async for record in changed:
            while kept is not None and kept.order < record.order:
                yield _settled(kept, since, unreadable)
                kept = next(earlier, None)
            if kept is not None and kept.order == record.order:
                kept = next(earlier, None)
            yield record
        while kept is not None:
            yield _settled(kept, since, unreadable)
            kept = next(earlier, None)


def _settled(record: PlanRecord, since: datetime, unreadable: Collection[str]) -> PlanRecord:
    closed_at, name = record.execution.closed_at, record.execution.workflow_id
    if name in unreadable:
        return record
    if closed_at is None:
        raise AirlockError(f"{name!r} was open in the earlier export, and Temporal told nothing of it: export everything")
    if closed_at >= since:
        raise AirlockError(f"{name!r} was closed at {closed_at:%Y-%m-%d %H:%M:%S} UTC, and Temporal told nothing of it")
    return record


async def _write_all(
    folder: Path,
    plans: AsyncIterable[PlanRecord],
    known: dict[str, Any],
    signals: Iterable[LearningSignal],
    health: SystemHealth,
    openings: OpeningsFile | None,
) -> OrchestrationSummary:
    totals, digests = Totals(), dict[str, FileDigest]()
    with ExitStack() as stack:
        files = {name: stack.enter_context(closing(_Output(folder / name))) for name in _PLAN_FILES}
        index, last = 0, None
        async for record in plans:
            if last is not None and record.order <= last:
                raise AirlockError(
                    f"{record.execution.workflow_id!r} is out of order, or there twice: it follows {last[1]!r}"
                )
            last = record.order
            placed = record.at(index)
            totals.add(placed)
            _write_plan(files, placed, openings)
            index += 1
        digests |= {name: file.finished() for name, file in files.items()}
    count = 0
    with closing(_Output(folder / SIGNALS)) as file:
        for signal in _signal_lines(signals):
            file.write(line_text(signal))
            count += 1
        digests[SIGNALS] = file.finished()
    digests[CONFLICTS] = _write_document(folder / CONFLICTS, document_text(totals.conflicts()))
    digests[HEALTH] = _write_document(folder / HEALTH, document_text(closed(health)))
    summary = closed(
        OrchestrationSummary(**known, **totals.summary(), total_learning_signals=count, files=dict(sorted(digests.items())))
    )
    _write_document(folder / SUMMARY, document_text(summary))
    return summary


def _write_plan(files: dict[str, "_Output"], plan: PlanRecord, openings: OpeningsFile | None) -> None:
    files[EXECUTIONS].write(line_text(plan.execution))
    for transition in plan.transitions:
        files[TRANSITIONS].write(line_text(transition))
    for rollback in plan.rollbacks:
        files[ROLLBACKS].write(line_text(rollback))
    for seal in plan.seals:
        line = seal
        if openings is not None:
            line, opened = hidden_line(seal, openings.key)
            for opening in opened:
                openings.write(opening)
        files[APPROVALS].write(line_text(line))


def _signal_lines(signals: Iterable[LearningSignal]) -> Iterator[SignalLine]:
    prev = signals_genesis()
    for seq, signal in enumerate(signals, start=1):
        said = {name: getattr(signal, name) for name in LearningSignal.model_fields}
        line = linked(SignalLine(**said), seq, prev)
        prev = line.hash
        yield line


class _Output:
    """A new file that counts and hashes its content."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("xb")
        self._sha256 = hashlib.sha256()
        self._lines = self._bytes = 0

    def write(self, text: str) -> None:
        """Write a text of whole lines."""
        data = text.encode("ascii")
        self._file.write(data)
        self._sha256.update(data)
        self._bytes += len(data)
        self._lines += data.count(b"\n")

    def finished(self) -> FileDigest:
        """Make sure that the file is on the disk, and return its digest."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return FileDigest(lines=self._lines, bytes=self._bytes, sha256=self._sha256.hexdigest())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _write_document(path: Path, text: str) -> FileDigest:
    with closing(_Output(path)) as file:
        file.write(text)
        return file.finished()


def _previous(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.previous"


def _put_back(folder: Path) -> None:
    """Undo a crash between the two renames: the earlier export goes back to its place."""
    if _previous(folder).is_dir() and not folder.exists():
        _previous(folder).rename(folder)


def _check_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise AirlockError(f"{folder} is no folder: choose another place")
    others = sorted(path.name for path in folder.iterdir() if path.name not in EXPORT_FILES) if folder.is_dir() else []
    if others:
        raise AirlockError(f"{folder} holds {others[0]!r}, which is no part of an export: choose another folder")


def _replace(folder: Path, beside: Path) -> None:
    previous = _previous(folder)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    try:
        beside.rename(folder)
    except OSError:
        _put_back(folder)
        raise
    _sync_folder(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
