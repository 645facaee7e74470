"""Folders of records, honest ones and ones with one lie that were hashed again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from airlock.cli.records.export_files import export_files
from airlock.export.ledger import linked
from airlock.export.plan_lines import PlanRecord, plan_record
from airlock.plans.state import State
from tests.core.export_build import PUBLIC_KEY, health, resealed, signal, trace
from tests.core.exported_seals import LIES, hidden, relinked

PLANS = 16
NASTY = '</script><img src=x onerror="document.body.dataset.owned=1">\u202egpj.exe'


def write(folder: Path, plans: list[PlanRecord]) -> None:
    async def stream() -> AsyncIterator[PlanRecord]:
        for plan in plans:
            yield plan

    signals = [signal(number) for number in range(3)]
    asyncio.run(export_files(folder, stream(), pipeline_id="default", signals=signals, health=health()))


def lies() -> Iterator[tuple[str, PlanRecord]]:
    """Yield records with one lie each, hashed again everywhere, as a forger would who can rewrite all files."""
    record = plan_record(trace(resealed()))
    first, second = record.seals
    for name, (change, _) in LIES.items():
        yield name, relinked(record, first, change(second))
    yield "votes in each other's place", relinked(
        record, first.model_copy(update={"decisions": second.decisions}),
        second.model_copy(update={"decisions": first.decisions}),
    )  # fmt: skip
    yield "a decision twice", relinked(record, first, second.model_copy(update={"decisions": 2 * second.decisions}))
    yield "a seal twice", relinked(record, first, second, second)
    yield "hidden approvers", hidden(record, approvers={"$hidden": "0" * 64})
    eve = second.decisions[0].model_copy(update={"key": PUBLIC_KEY.replace("boss", "eve")})
    yield "the key of another person", relinked(record, first, second.model_copy(update={"decisions": (eve,)}))
    for field in ("successful_executions", "failed_executions", "in_doubt_executions", "conflicts_resolved"):
        result = record.execution.result
        more = result.model_copy(update={field: getattr(result, field) + 1})
        yield field, _line(record, result=more)
    told = record.execution.result.tool_results
    yield "votes", _line(
        record, result=record.execution.result.model_copy(
            update={"tool_results": (told[0].model_copy(update={"votes": 2}), *told[1:])}
        )
    )  # fmt: skip
    yield "state", _line(record, state=State.ABORTED)
    yield "phase ids", _line(record, phase21_plan_id="22-b", phase22_validation_id="21-a")


def _line(record: PlanRecord, **changes: object) -> PlanRecord:
    line = record.execution.model_copy(update=changes)
    return record.model_copy(update={"execution": linked(line, line.seq, line.prev)})
