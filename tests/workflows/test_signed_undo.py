"""The undo of an ended plan with keys: the request and the approval are signed, and count once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airlock.base.names import PLAN_WORKFLOW, WORKFLOW_QUEUE
from airlock.client import Airlock, PlanHandle, UndoRefused
from airlock.client.plan_history import read_plan
from airlock.client.undo import previewed, undo, undo_to_sign
from airlock.export.authority_check import authority_faults
from airlock.export.hiding import Openings
from airlock.export.seal_check import SealReport, check_seals
from airlock.export.signed_check import signed_faults
from airlock.plans.state import State
from airlock.signing.statement import moment
from tests.signers import Signer
from tests.workflows.conftest import step
from tests.workflows.demanded_signatures import ALICE, BOB, EVE, PAULA, SIGNED, approve, bombard, replays, run_id_of, say


async def test_the_undo_of_a_plan_is_approved_with_a_signature(airlock_with, plan):
    airlock = await airlock_with(**SIGNED)
    handle = await airlock.submit(plan(step("one", "put", key="u", value=1)))
    assert (await approve(handle)).accepted
    assert (await handle.result()).outcome == "completed"
    asked = await asked_for(airlock, handle, ALICE)
    assert await previewed(asked) is State.AWAITING_APPROVAL
    await bombard(asked, [await handle.to_sign("approve", by="alice", digest=(await handle.status()).digest)])
    assert (await approve(asked, PAULA)).accepted
    assert (await asked.result()).undone == ("one",)
    await replays(asked.workflow_client, asked.workflow.id)


async def asked_for(airlock: Airlock, handle: PlanHandle, by: Signer) -> PlanHandle:
    """Ask for an undo, signed."""
    wanted = {"by": by.name, "reason": "wrong"}
    made = await undo_to_sign(airlock.client, handle.plan_id, **wanted)
    return await undo(airlock.client, handle.plan_id, **wanted, evidence=by.evidence(made.statement))


async def completed(airlock: Airlock, document: dict[str, Any]) -> PlanHandle:
    handle = await airlock.submit(document)
    assert (await approve(handle)).accepted
    assert (await handle.result()).outcome == "completed"
    return handle


async def test_the_request_for_an_undo_is_refused_unsigned_and_without_the_role(airlock_with, plan):
    rules = {**SIGNED, "roles": {"ops": ["alice"]}}
    rules["decisions"] = {**SIGNED["decisions"], "rollback": {"evidence": "signed", "roles": ["ops"]}}
    airlock = await airlock_with(**rules)
    handle = await completed(airlock, plan(step("one", "put", key="r", value=1)))
    with pytest.raises(UndoRefused, match=f"airlock rollback {handle.plan_id} --reason ... --sign-key FILE"):
        await previewed(await undo(airlock.client, handle.plan_id, by="alice", reason="wrong"))
    with pytest.raises(UndoRefused, match="rollback: 'bob' has not the role ops"):
        await previewed(await asked_for(airlock, handle, BOB))
    with pytest.raises(UndoRefused, match="the signature was made by none of the keys"):
        await previewed(await asked_for(airlock, handle, EVE))
    asked = await asked_for(airlock, handle, ALICE)
    assert await previewed(asked) is State.AWAITING_APPROVAL
    (entry,) = [one for one in (await asked.audit()).entries if one.what == "rollback"]
    assert (entry.by, entry.signed.key, entry.signed.statement.undo) == ("alice", ALICE.line, handle.plan_id)
    await replays(asked.workflow_client, asked.workflow.id)


async def test_a_signed_request_for_an_undo_counts_once_for_its_plan_and_its_time(airlock_with, plan):
    airlock = await airlock_with(**SIGNED)
    handle = await completed(airlock, plan(step("one", "put", key="o", value=1)))
    other = await completed(airlock, plan(step("one", "put", key="p", value=1)))
    wanted = {"by": "alice", "reason": "wrong"}
    made = await undo_to_sign(airlock.client, handle.plan_id, **wanted)
    evidence = ALICE.evidence(made.statement)
    for to, fields in ((other, {}), (handle, {"reason": "another"}), (handle, {"by": "bob"}), (handle, {"to_step": "one"})):
        with pytest.raises(UndoRefused):
            await previewed(await undo(airlock.client, to.plan_id, **{**wanted, **fields}, evidence=evidence))
    # the undos that were refused since are undos that were requested
    with pytest.raises(UndoRefused, match="an undo was requested since"):
        await previewed(await undo(airlock.client, handle.plan_id, **wanted, evidence=evidence))
    late = await undo_to_sign(airlock.client, handle.plan_id, **wanted)
    over = late.statement.model_copy(update={"expires": moment(datetime.now(UTC) - timedelta(seconds=1))})
    with pytest.raises(UndoRefused, match="signed to count until"):
        await previewed(await undo(airlock.client, handle.plan_id, **wanted, evidence=ALICE.evidence(over)))
    again = await asked_for(airlock, handle, PAULA)
    assert await previewed(again) is State.AWAITING_APPROVAL
    assert (await say(again, "deny")).accepted
    await again.result()
    sent = (await again.workflow.fetch_history()).events[0].workflow_execution_started_event_attributes.input
    (start,) = await airlock.client.data_converter.decode(sent.payloads)
    repeated = await airlock.client.start_workflow(
        PLAN_WORKFLOW, start, id=again.workflow.id, task_queue=WORKFLOW_QUEUE,
    )  # fmt: skip
    with pytest.raises(UndoRefused, match="an undo was requested since"):
        await previewed(PlanHandle(airlock.client, repeated.id))


async def test_an_export_holds_the_signed_request_for_an_undo_and_verify_checks_it(airlock_with, plan, tmp_path):
    airlock = await airlock_with(**SIGNED)
    handle = await completed(airlock, plan(step("one", "put", key="x", value=1)))
    asked = await asked_for(airlock, handle, ALICE)
    await previewed(asked)
    assert (await approve(asked, PAULA)).accepted
    await asked.result()
    record = (await read_plan(airlock.client, asked.workflow.id, await run_id_of(asked))).record
    notes: list[str] = []
    assert check_seals(record, Openings(), SealReport()) is None
    assert list(authority_faults(record, notes)) == notes == []
    (event,) = [one for one in record.execution.events if one.what == "rollback"]
    where = (handle.plan_id, asked.workflow.id)
    assert [fault for fault, wrong in signed_faults(where, [event], (), []) if wrong] == []
    unsigned = [one.model_copy(update={"signed": None}) if one is event else one for one in record.execution.events]
    bare = record.model_copy(update={"execution": record.execution.model_copy(update={"events": tuple(unsigned)})})
    (fault,) = authority_faults(bare, notes)
    assert "rollback by 'alice' is not signed" in fault
    other = event.model_copy(update={"by": "bob"})
    assert [fault for fault, wrong in signed_faults(where, [other], (), []) if wrong]
