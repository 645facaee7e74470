"""Nonsense, in every shape and state: refused, recorded, visible in `status`, and the run goes on."""

import asyncio
import base64
import itertools
import json
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue
from temporalio.service import RPCError, RPCStatusCode

from airlock.client import NoAnswer, PlanHandle
from airlock.plans.state import State
from airlock.run.audit import MAX_REFUSALS
from airlock.run.messages import MESSAGES
from tests.workflows.conftest import approved, awaiting, binary, chain, events, signal, step, until
from tests.workflows.world import WORLD

MEGABYTE = 1_000_000
BY_THE_SERVER = (
    # a signal came in while the run was ending or continuing as new
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    # a hundred signals came in during one workflow task
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
)
DIGEST = "0123456789ab"
VALID: dict[str, dict[str, Any]] = {
    "approve": {"by": "alice", "digest": DIGEST},
    "deny": {"by": "alice", "reason": "no"},
    "lock": {"by": "alice", "reason": "stop"},
    "unlock": {"by": "alice", "reason": "go on"},
    "rollback": {"by": "alice", "reason": "back"},
    "abort": {"by": "alice", "reason": "end it"},
    "resolve": {"by": "alice", "step": "one", "outcome": "happened", "reason": "seen it"},
    "amend": {"by": "alice", "reason": "remove it", "remove": ["nowhere"]},
}
ENCODINGS = ("binary/plain", "binary/null", "binary/encrypted", "binary/airlock-zlib", "json/protobuf", "no/such", "")
OPTIONAL = {"approve": ("steps", "signature"), "deny": ("digest",), "rollback": ("to_step",)}
# valid objects that a state refuses all the same
IN_VAIN = {
    State.AWAITING_APPROVAL: ("approve", "unlock", "rollback", "resolve"),
    State.LIVE: ("approve", "deny", "unlock", "abort", "resolve"),
    State.LOCKED: ("approve", "deny", "unlock", "abort", "resolve"),  # while a call still runs
}


@pytest.fixture
def held(plan: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Return a plan of two steps in a row, whose first live call waits."""
    document = plan(step("one", "linger", key="a", value=1), step("two", "put", ("one",), key="b", value=2))
    WORLD.hold(document["plan_id"], "one")
    return document


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


async def refused(handle: PlanHandle, expected: int) -> Any:
    """Return the status, once so many messages were refused; never more."""
    last: list[Any] = []

    async def enough() -> bool:
        try:
            last[:] = [await handle.status()]
        except NoAnswer:  # a busy machine has more to do than to answer in time
            return False
        return bool(last[0].refused >= expected)

    await until(enough)
    assert last[0].refused == expected
    return last[0]


async def no_task_failed(handle: PlanHandle) -> None:
    assert not failed_tasks(await events(handle))


def failed_tasks(run: list[HistoryEvent]) -> list[Any]:
    """Workflow tasks that failed because of what the worker did, not because the server was flooded."""
    failed = [
        event.workflow_task_failed_event_attributes
        for event in run
        if event.HasField("workflow_task_failed_event_attributes")
    ]
    return [why for why in failed if why.cause not in BY_THE_SERVER]


async def completes(handle: PlanHandle, refusals: int) -> None:
    """Approve, let go what is held, and see the plan through."""
    await approved(handle)
    if gate := WORLD.holds.get((handle.plan_id, "one")):
        gate.set()
    result = await handle.result()
    assert (result.outcome, result.refused) == ("completed", refusals), result
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    await no_task_failed(handle)


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


def raw(encoding: str | None, data: bytes, **metadata: bytes) -> RawValue:
    named = {} if encoding is None else {"encoding": encoding.encode()}
    return RawValue(Payload(metadata={**named, **metadata}, data=data))


def bomb(size: int, inside: str = "json/plain") -> bytes:
    """Return a small payload of our own compression that grows to `size` bytes."""
    text = b'"' + b"0" * size + b'"'
    return zlib.compress(Payload(metadata={"encoding": inside.encode()}, data=text).SerializeToString(), 9)


RAW = {
    "null": raw("binary/null", b""),
    "null with data": raw("binary/null", b"data"),
    "bytes": raw("binary/plain", b"\x00\xff"),
    "protobuf as JSON": raw("json/protobuf", b"{}", messageType=b"temporal.api.common.v1.Payload"),
    "protobuf without type": raw("json/protobuf", b"{}"),
    "protobuf of no known type": raw("binary/protobuf", b"\xff", messageType=b"no.Such"),
    "protobuf, broken": raw("binary/protobuf", b"\xff\xff", messageType=b"temporal.api.common.v1.Payload"),
    "truncated JSON": raw("json/plain", b'{"by": "alice", "digest": "01234567'),
    "empty JSON": raw("json/plain", b""),
    "not UTF-8": raw("json/plain", b'{"by": "\xff"}'),
    "NaN": raw("json/plain", b'{"by": NaN, "digest": Infinity}'),
    "half a surrogate pair": raw("json/plain", b'{"by": "alice", "digest": "\\ud800"}'),
    "a huge number": raw("json/plain", b"9" * 100_000),
    "deep JSON": raw("json/plain", b"[" * 200_000),
    "deep valid JSON": raw("json/plain", b"[" * 150 + b"]" * 150),
    "no metadata": raw(None, b"{}"),
    "an encoding that is no text": RawValue(Payload(metadata={"encoding": b"\xff\x00"}, data=b"{}")),
    "our encoding, garbage": raw("binary/airlock-zlib", b"garbage"),
    "our encoding, nothing": raw("binary/airlock-zlib", b""),
    "our encoding, cut off": raw("binary/airlock-zlib", bomb(1_000)[:-5]),
    "our encoding, no payload inside": raw("binary/airlock-zlib", zlib.compress(b"\xff" * 100)),
    "our encoding twice": raw("binary/airlock-zlib", bomb(1_000, "binary/airlock-zlib")),
    "our encoding, junk inside": raw("binary/airlock-zlib", bomb(1_000, "no/such")),
    "what the codec answers itself": raw("binary/airlock-undecodable", b"x"),
    "2 MB": raw("json/plain", b'"' + b"x" * (2 * MEGABYTE) + b'"'),
}


@cache
def bombs() -> dict[str, RawValue]:
    """Return zip bombs. Each takes a second to make, and modules are imported by every process of a run."""
    sizes = {"a zip bomb": 200, "a zip bomb just small enough": 60}
    return {name: raw("binary/airlock-zlib", bomb(size * MEGABYTE)) for name, size in sizes.items()}


async def test_nonsense_as_raw_payloads(airlock, held):
    handle = await airlock.submit(held)
    await awaiting(handle)
    cases = [(name, (value,)) for value in (RAW | bombs()).values() for name in ("approve", "nobody_knows")]
    cases += [("lock", (RAW["our encoding, garbage"], RAW["truncated JSON"])), ("lock", (RAW["null"],) * 20)]
    for start in range(0, len(cases), 10):  # a few at a time, as the frames of gRPC are limited
        await asyncio.gather(*(signal(handle, name, *values) for name, values in cases[start : start + 10]))
    status = await refused(handle, len(cases))
    assert status.state is State.AWAITING_APPROVAL
    assert all("decoded" in entry.reason or "takes one JSON object" in entry.reason
               or "unknown signal" in entry.reason or "digest" in entry.reason
               for entry in (await handle.audit()).entries if entry.kind == "refused")  # fmt: skip
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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NO_OBJECT = JSON.filter(lambda value: not isinstance(value, dict))
NO_TEXT = JSON.filter(lambda value: not isinstance(value, str))


NO_NAME = st.text(min_size=1, max_size=40).filter(lambda text: text not in VALID)
NO_BY = st.dictionaries(st.text(max_size=8).filter(lambda key: key != "by"), JSON, max_size=5)
ARGUMENTS = st.just(()) | st.tuples(NO_OBJECT) | st.tuples(NO_BY) | st.lists(JSON, min_size=2, max_size=4).map(tuple)
BLANK_OR_LONG = st.sampled_from(["", " ", "\t\n", "x" * 2_001])


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[str, tuple[Any, ...]]:
    """Return a message with one field gone wrong or missing."""
    name = draw(st.sampled_from(sorted(VALID)))
    message = dict(VALID[name])
    field = draw(st.sampled_from(sorted(message)))
    match draw(st.integers(0, 3)):
        case 0:
            message[field] = draw(NO_TEXT)
        case 1:
            del message[field]
        case 2:
            message[field] = draw(BLANK_OR_LONG)
        case _ if name in OPTIONAL:
            message[draw(st.sampled_from(OPTIONAL[name]))] = draw(st.integers() | st.just([1]) | st.just({"a": 1}))
        case _:
            name, message = "resolve", VALID["resolve"] | {"outcome": draw(st.text(max_size=10)) + "!"}
    return name, (message,)


def in_vain(state: State) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    """Return a well-formed message that the state refuses; unknown fields are ignored, for the sake of newer senders."""
    more = st.dictionaries(st.text(min_size=10, max_size=12), JSON, max_size=3)
    return st.tuples(st.sampled_from(IN_VAIN[state]), more).map(lambda drawn: (drawn[0], (VALID[drawn[0]] | drawn[1],)))


def nonsense(state: State) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    """Return a signal that must be refused by construction, whatever the code thinks of it."""
    known = st.sampled_from(sorted(VALID))
    return st.tuples(known, ARGUMENTS) | st.tuples(NO_NAME, st.tuples(JSON)) | nearly_right() | in_vain(state)


def examples(strategy: st.SearchStrategy[Any], wanted: int) -> list[Any]:
    found: list[Any] = []

    @settings(
        max_examples=wanted, database=None, deadline=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


async def send_all(handle: PlanHandle, signals: list[tuple[str, tuple[Any, ...]]], at_once: int = 100) -> None:
    for start in range(0, len(signals), at_once):
        await asyncio.gather(*(signal(handle, name, *sent) for name, sent in signals[start : start + at_once]))


@pytest.mark.parametrize("state", IN_VAIN, ids=str)
async def test_fuzz(airlock, held, state):
    signals = examples(nonsense(state), 300)
    assert len(signals) > 250
    handle = await airlock.submit(held)
    status = await awaiting(handle)
    if state is not State.AWAITING_APPROVAL:
        await approved(handle)
        await until(lambda: (handle.plan_id, "one") in WORLD.running)
    if state is State.LOCKED:
        assert (await handle.decide("lock", by="lena", reason="stop")).accepted
    await send_all(handle, signals)
    after = await refused(handle, len(signals))
    assert after.state is state
    assert after.digest == status.digest
    view = await handle.audit()
    recorded = [entry for entry in view.entries if entry.kind == "refused"]
    assert len(recorded) == MAX_REFUSALS
    assert view.refused == len(signals)
    assert {name for name, _ in signals[:100]} & {entry.what for entry in recorded}
    WORLD.holds[(handle.plan_id, "one")].set()
    if state is State.LOCKED:
        await until(lambda: not WORLD.running.intersection({(handle.plan_id, "one")}))
        await until(lambda: unlocked(handle))
    if state is not State.LIVE:
        await approved(handle)
    result = await handle.result()
    assert result.outcome == "completed", result
    assert result.refused >= len(signals)
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    assert WORLD.attempts[f"{handle.plan_id}/one"] == 1
    await no_task_failed(handle)


async def unlocked(handle: PlanHandle) -> bool:
    return not (await handle.status()).in_flight and (await handle.decide("unlock", by="lena", reason="go on")).accepted


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


JUNK = [
    ("approve", ({"by": "mallory", "digest": DIGEST},)),
    ("approve", ()),
    ("lock", ("now",)),
    ("whatever", ({"x": "y" * 200},)),
    ("resolve", (None, None)),
]


async def test_1500_junk_signals_to_a_waiting_plan(airlock_with, held):
    airlock = await airlock_with(approvals_required=2)
    handle = await airlock.submit(held)
    before = await awaiting(handle)
    assert (await handle.decide("approve", by="alice", digest=before.digest)).accepted
    first_run = (await handle.workflow.describe()).run_id
    await send_all(handle, list(itertools.islice(itertools.cycle(JUNK), 1_500)))
    after = await refused(handle, 1_500)
    assert (await handle.workflow.describe()).run_id != first_run
    assert after.state is State.AWAITING_APPROVAL
    assert (after.digest, after.expires_at, after.approvals) == (before.digest, before.expires_at, ("alice",))
    assert len([entry for entry in (await handle.audit()).entries if entry.kind == "refused"]) == MAX_REFUSALS
    again = await handle.decide("approve", by="alice", digest=before.digest)
    assert "one vote" in again.reason
    assert (await handle.decide("approve", by="bob", digest=before.digest)).accepted
    WORLD.holds[(handle.plan_id, "one")].set()
    result = await handle.result()
    assert (result.outcome, result.refused, result.digest) == ("completed", 1_501, before.digest)
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    await lengths_are_bounded(handle)


async def test_1300_junk_signals_while_a_call_runs(airlock, held):
    """Return the run cannot continue as new with a call in flight; it does right after, and repeats nothing."""
    handle = await airlock.submit(held)
    await approved(handle)
    await until(lambda: (handle.plan_id, "one") in WORLD.running)
    await send_all(handle, list(itertools.islice(itertools.cycle(JUNK), 1_300)))
    assert (await refused(handle, 1_300)).state is State.LIVE
    WORLD.holds[(handle.plan_id, "one")].set()
    result = await handle.result()
    assert (result.outcome, result.refused) == ("completed", 1_300)
    assert WORLD.state[handle.plan_id] == {"a": 1, "b": 2}
    assert WORLD.attempts[f"{handle.plan_id}/one"] == WORLD.attempts[f"{handle.plan_id}/two"] == 1
    assert len(await chain(handle)) == 2


async def test_1300_junk_signals_to_a_locked_plan(airlock, held):
    handle = await airlock.submit(held)
    await awaiting(handle)
    assert (await handle.decide("lock", by="lena", reason="stop")).accepted
    await send_all(handle, list(itertools.islice(itertools.cycle(JUNK), 1_300)))
    assert (await refused(handle, 1_300)).state is State.LOCKED
    assert (await handle.decide("unlock", by="lena", reason="go on")).accepted
    await approved(handle)
    WORLD.holds[(handle.plan_id, "one")].set()
    result = await handle.result()
    assert (result.outcome, result.refused) == ("completed", 1_300)
    await lengths_are_bounded(handle)


async def lengths_are_bounded(handle: PlanHandle) -> None:
    runs = await chain(handle)
    assert len(runs) > 1
    assert max(map(len, runs)) < 2_000
    assert not [why for run in runs for why in failed_tasks(run)]
