"""Messages that make no sense, how to send them, and what must be true of a plan that got them."""

import asyncio
import zlib
from functools import cache
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.common import RawValue

from airlock.client import NoAnswer, PlanHandle
from tests.workflows.conftest import approved, events, signal, until
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


async def send_all(handle: PlanHandle, signals: list[tuple[str, tuple[Any, ...]]], at_once: int = 100) -> None:
    for start in range(0, len(signals), at_once):
        await asyncio.gather(*(signal(handle, name, *sent) for name, sent in signals[start : start + at_once]))
