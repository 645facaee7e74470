"""Nonsense as text, as raw payloads and at the start of a run: refused, recorded, visible in `status`."""

import asyncio
import base64
import json
import zlib

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from airlock.base.incoming import TOO_MUCH
from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.run.messages import MESSAGES
from tests.workflows.conftest import awaiting, binary, signal, until
from tests.workflows.nonsense import MEGABYTE, RAW, VALID, bombs, completes, no_task_failed, raw, refused
from tests.workflows.world import WORLD

ENCODINGS = ("binary/plain", "binary/null", "binary/encrypted", "binary/airlock-zlib", "json/protobuf", "no/such", "")


async def cli(handle: PlanHandle, name: str, *flags: str) -> tuple[int, str]:
    """Send a signal with Temporal's CLI, again where the server says that it had no time to take it."""
    target = handle.workflow_client.service_client.config.target_host

    async def answered() -> tuple[int, str] | None:
        process = await asyncio.create_subprocess_exec(
            binary("temporal"), "workflow", "signal", "--address", target, "--namespace", handle.workflow_client.namespace,
            "--workflow-id", handle.workflow.id, "--name", name, *flags,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await process.communicate())[0].decode(errors="replace")
        return None if "Workflow is busy" in said else (process.returncode or 0, said)

    code, said = await until(answered)
    return code, said


async def test_nonsense_through_the_temporal_cli(airlock, held, tmp_path):
    handle = await airlock.submit(held)
    await awaiting(handle)
    (tmp_path / "text").write_text(json.dumps("x" * MEGABYTE))
    (tmp_path / "lists").write_text("[" + "[]," * (MEGABYTE // 3) + "1]")
    (tmp_path / "object").write_text(json.dumps({"by": "alice", "digest": "x" * MEGABYTE}))
    (tmp_path / "bytes").write_bytes(b'{"by": "\xff\xfe", "digest": "\xc3\x28"}')
    sent = [
        ("approve",),
        ("approve", "--input", "{}", "--input", "{}"),
        ("approve", "--input", json.dumps(VALID["approve"]), "--input", json.dumps(VALID["approve"])),
        ("approve", "--input", "null"),
        ("approve", "--input", '"yes"'),
        ("approve", "--input", "true"),
        ("approve", "--input", "[]"),
        ("approve", "--input", "{}"),
        ("approve", "--input", '{"by": 7, "digest": ["a"]}'),
        ("approve", "--input", '{"by": "alice"}'),
        ("approve", "--input", '{"by": "", "digest": "0123456789ab"}'),
        ("approve", "--input", '{"by": "alice", "digest": "0123456789ab"}'),
        ("approve", "--input", '{"by": "alice", "digest": "0123456789ab", "steps": ["nowhere"]}'),
        ("approve", "--input", '{"by": "\\ud800", "digest": "0123456789ab"}'),
        ("approve", "--input", '{"by": "alice", "digest": 1e999}', "--headers", "junk={}"),
        ("resolve", "--input", '{"by": "alice", "step": "nowhere", "outcome": "happened", "reason": "r"}'),
        ("rollback", "--input", '{"by": "alice", "reason": "r", "to_step": "nowhere"}'),
        ("lock", "--input", '{"by": "alice"}'),
        ("abort", "--input", '{"reason": "nobody says so"}'),
        ("amend", "--input", json.dumps(VALID["amend"])),
        ("deny", "--input-base64", "--input", "1234"),  # the CLI takes it for JSON; what arrives is not even UTF-8
        ("deny", "--input-base64", "--input", base64.b64encode(b"\xff").decode(), "--input-meta", "encoding=binary/plain"),
        *(("unlock", "--input", "{}", "--input-meta", f"encoding={encoding}") for encoding in ENCODINGS),
        ("unlock", "--input", "{}", "--input-meta", "messageType=no.Such", "--input-meta", "encoding=json/protobuf"),
        ("Approve", "--input", json.dumps(VALID["approve"])),
        ("destroy",),
        ("destroy", "--input", "1", "--input", "2"),
        ("__temporal_destroy", "--input", "{}"),
        ("__stack_trace",),
        ("decide", "--input", '{"decision": "approve"}'),
        ("run", "--input", "{}"),
        ("ünïcödé \N{SKULL}", "--input", "{}"),
        ("n" * 900, "--input", "{}"),
        ("approve", "--input-file", str(tmp_path / "text")),
        ("approve", "--input-file", str(tmp_path / "lists")),
        ("approve", "--input-file", str(tmp_path / "object")),
        ("destroy", "--input-file", str(tmp_path / "object")),
        ("approve", "--input-file", str(tmp_path / "bytes"), "--input-meta", "encoding=binary/plain"),
    ]
    for start in range(0, len(sent), 8):
        answers = await asyncio.gather(*(cli(handle, *case) for case in sent[start : start + 8]))
        for case, (code, said) in zip(sent[start : start + 8], answers, strict=True):
            assert code == 0, (case, said[:300])
    status = await refused(handle, len(sent))
    assert status.state is State.AWAITING_APPROVAL
    assert {entry.kind for entry in status.refusals} == {"refused"}
    assert all(entry.reason for entry in status.refusals)
    recorded = [entry for entry in (await handle.audit()).entries if entry.kind == "refused"]
    assert len(recorded) == len(sent)
    assert {entry.what for entry in recorded} >= {*MESSAGES, "Approve", "destroy", "__temporal_destroy", "decide"}
    await completes(handle, len(sent))
    code, said = await cli(handle, "abort", "--input", json.dumps(VALID["abort"]))  # too late
    assert code == 1
    assert "completed" in said


async def test_what_the_cli_does_not_send_reaches_nobody(airlock, held, tmp_path):
    handle = await airlock.submit(held)
    await awaiting(handle)
    (tmp_path / "deep").write_text("[" * 100_000 + "]" * 100_000)
    (tmp_path / "large").write_text(json.dumps("x" * 3 * MEGABYTE))
    for case in (
        ("approve", "--input", "not JSON"),
        ("approve", "--input", '{"by": "alice"'),
        ("approve", "--input-base64", "--input", "***"),
        ("approve", "--input-file", str(tmp_path / "large")),
        ("approve", "--input-file", str(tmp_path / "deep")),
        ("approve", "--input-file", str(tmp_path / "none")),
    ):
        code, said = await cli(handle, *case)
        assert code == 1, (case, said[:300])
    await completes(handle, 0)


async def test_nonsense_as_raw_payloads(airlock, held):
    handle = await airlock.submit(held)
    await awaiting(handle)
    cases = [(name, (value,)) for value in (RAW | bombs()).values() for name in ("approve", "nobody_knows")]
    cases += [("lock", (RAW["our encoding, garbage"], RAW["truncated JSON"])), ("lock", (RAW["null"],) * 20)]
    for start in range(0, len(cases), 10):  # a few at a time, as the frames of gRPC are limited
        await asyncio.gather(*(signal(handle, name, *values) for name, values in cases[start : start + 10]))
    status = await refused(handle, len(cases))
    assert status.state is State.AWAITING_APPROVAL
    # which of the bombs is one too many depends on which of them come in one workflow task
    told = ("decoded", "JSON object", "of a message", "unknown signal", "digest", "too large", TOO_MUCH)
    for entry in (await handle.audit()).entries:
        assert entry.kind != "refused" or any(why in entry.reason for why in told), entry.reason
    await completes(handle, len(cases))


async def test_a_list_bomb_in_our_encoding_is_not_even_parsed(airlock, held):
    """60 MB of empty lists would take the worker seconds and a gigabyte to parse, and the run would wedge for ever."""
    handle = await airlock.submit(held)
    await awaiting(handle)
    inner = Payload(metadata={"encoding": b"json/plain"}, data=b"[" + b"[]," * (20 * MEGABYTE) + b"1]")
    packed = zlib.compress(inner.SerializeToString(), 9)
    for _ in range(3):
        await signal(handle, "approve", raw("binary/airlock-zlib", packed))
    await refused(handle, 3)
    await completes(handle, 3)


async def test_the_same_approval_twice_and_after_the_end(airlock, held):
    handle = await airlock.submit(held)
    status = await awaiting(handle)
    for _ in range(3):
        await signal(handle, "approve", {"by": "alice", "digest": status.digest})
    after = await refused(handle, 2)
    assert after.state is State.LIVE
    assert "does not wait for approval" in after.refusals[0].reason
    WORLD.holds[(handle.plan_id, "one")].set()
    result = await handle.result()
    assert (result.outcome, result.refused) == ("completed", 2)
    with pytest.raises(RPCError) as late:
        await signal(handle, "abort", VALID["abort"])
    assert late.value.status is RPCStatusCode.NOT_FOUND


async def test_a_signal_that_comes_with_the_start(airlock, held):
    handle = airlock.plan(held["plan_id"])
    await airlock.client.start_workflow(
        "PlanWorkflow",
        {"plan": held},
        id=handle.workflow.id,
        task_queue="airlock",
        start_signal="approve",
        start_signal_args=[RAW["truncated JSON"]],
    )
    status = await awaiting(handle)
    assert status.refused == 1
    await completes(handle, 1)


@pytest.mark.parametrize("start", [None, "text", {}, {"plan": {}}, RAW["truncated JSON"], RAW["our encoding, garbage"]])
async def test_a_start_that_is_no_plan_fails_at_once_and_signals_do_not_wedge_it(airlock, start, plan):
    handle = airlock.plan(plan()["plan_id"])
    await airlock.client.start_workflow(
        "PlanWorkflow",
        start,
        id=handle.workflow.id,
        task_queue="airlock",
        start_signal="approve",
        start_signal_args=[RAW["bytes"]],
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.workflow.result(), 120)
    assert "the input is not a plan" in str(failed.value.cause)
    await no_task_failed(handle)
