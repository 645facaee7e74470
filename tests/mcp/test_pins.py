"""The pin of an entry, from the approval of a plan to its calls."""

import asyncio
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from tests.mcp.attached import NOTES, odd
from tests.mcp.plans import desk, step


async def test_an_undo_that_is_mapped_otherwise_since_the_approval_is_refused(
    temporal: WorkflowEnvironment, tmp_path: Path
) -> None:
    (tmp_path / "a.note").write_text("before")
    async with desk(temporal, odd(tmp_path)) as before:
        handle = await before.proposed([step("write", "odd.write_note", name="a", text="after")])
        approved = await handle.status()
        client = before.airlock.client
    changed = NOTES.replace("text: before.text", "text: args.text")
    assert changed != NOTES
    async with desk(temporal, odd(tmp_path, tools=changed), client=client) as after:
        handle = after.airlock.plan(handle.plan_id)
        assert (await handle.decide("approve", by="alice", digest=approved.digest or "")).accepted
        async with asyncio.timeout(60):
            while not (status := await handle.status()).refusals:  # noqa: ASYNC110  # another process decides
                await asyncio.sleep(0.1)
        assert "the contract of odd.write_note on this worker is not the one that was approved" in status.refusals[-1].reason
        assert status.in_flight == ()
        assert (tmp_path / "a.note").read_text() == "before", "it was called with an undo that was not approved"
