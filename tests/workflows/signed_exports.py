"""The export of a namespace with one plan that has completed, and the signed decisions in it."""

import asyncio
import json
from pathlib import Path

from airlock.cli.records.verify_files import check_export
from airlock.client import Airlock
from airlock.client.listing import count_plans
from airlock.export.files import EXECUTIONS
from airlock.export.lines import AuditEvent
from airlock.plans.state import State
from tests.workflows.conftest import until
from tests.workflows.export_counts import exported


async def signed_events(airlock: Airlock, folder: Path, *, signatures: int) -> list[AuditEvent]:
    """Export the plan, verify the files and the number of signatures in them, and return its signed events."""

    async def known() -> bool:
        return await count_plans(airlock.client, state=State.COMPLETED) == 1

    await until(known)
    root = await exported(airlock.client, folder)
    checked = await asyncio.to_thread(check_export, folder, root)
    assert not checked.findings, checked.findings
    assert checked.seals.signatures == signatures
    record = json.loads((folder / EXECUTIONS).read_text(encoding="utf-8"))
    return [AuditEvent.model_validate_json(json.dumps(event)) for event in record["events"] if event.get("signed")]
