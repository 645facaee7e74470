"""One call is one call in every spelling, and no call writes what its approver did not see, on a real server."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.client import Airlock, PlanHandle
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, namespace, step, until

_NUMBERS = count(1)
KNOWN: dict[str, Any] = {}
"""The values that `find` finds, by key; a test changes it between the preview and the call."""
MADE: dict[str, list[dict[str, Any]]] = defaultdict(list)
"""The arguments of every call that took effect, by the plan that made it."""


class Key(BaseModel):
    model_config = ConfigDict(extra="forbid")
    key: str


class Booking(BaseModel):
    model_config = ConfigDict(extra="forbid")
    recipient: str
    amount: int


class Payment(BaseModel):
    model_config = ConfigDict(extra="forbid")
    recipient: str = Field(alias="to")
    amount: int
    fee: Decimal = Decimal("0")
    note: str | None = None
    on: datetime | None = None
    tags: set[str] = Field(default_factory=set)


@tool(name="find", risk="LOW", reversibility="read_only", timeout=30)
async def find(args: Key, call: ToolCall) -> dict[str, Any]:
    """Look a value up."""
    return {"value": KNOWN.get(args.key)}


@find.dry_run
async def _find_dry(args: Key, call: ToolCall) -> Preview:
    return Preview(effect=f"look {args.key} up", output={"value": KNOWN.get(args.key)})


def _writing(name: str, **promises: Any) -> Tool:
    @tool(name=name, risk="MEDIUM", reversibility="compensable", timeout=30, **promises)
    async def book(args: Booking, call: ToolCall) -> dict[str, Any]:
        MADE[call.plan_id].append(args.model_dump(mode="json"))
        return {}

    @book.dry_run
    async def look(args: Booking, call: ToolCall) -> Preview:
        return Preview(effect=f"book {args.amount} for {args.recipient}", output={})

    @book.compensate
    async def unbook(args: Booking, call: ToolCall) -> None:
        MADE[call.plan_id].pop()

    return book


@tool(name="pay", risk="MEDIUM", reversibility="irreversible", timeout=30)
async def pay(args: Payment, call: ToolCall) -> dict[str, Any]:
    """Pay; what is paid is paid."""
    MADE[call.plan_id].append(args.model_dump(mode="json", by_alias=True))
    return {}


@pay.dry_run
async def _pay_dry(args: Payment, call: ToolCall) -> Preview:
    return Preview(effect=f"pay {args.amount} to {args.recipient}", output={})


@pytest.fixture(scope="module")
async def place(dev_server) -> AsyncIterator[Callable[..., Awaitable[Airlock]]]:
    """Makes an Airlock with the tools of this file under a policy of its own."""
    async with AsyncExitStack() as stack:

        async def make(**policy: Any) -> Airlock:
            client = await namespace(dev_server.client, f"canonical{next(_NUMBERS)}")
            offered = Catalogue([find, pay, _writing("book"), _writing("book_any", may_drift={"amount"})])
            toolbox = Toolbox(offered, Policy.model_validate(POLICY.model_dump() | policy))
            await stack.enter_async_context(running(build_workers(client, toolbox)))
            return Airlock(client)

        yield make


@pytest.fixture(scope="module")
async def strict(place) -> Airlock:
    return await place()


def booking(plan: Any, tool: str) -> dict[str, Any]:
    """A plan whose booking takes its amount from what another step finds."""
    key = f"key{next(_NUMBERS)}"
    KNOWN[key] = 1
    return plan(
        step("a", "find", key=key), step("b", tool, recipient="jo", amount={"$ref": "a.value"}), goal=key
    )  # fmt: skip


async def approved_then_changed(airlock: Airlock, document: dict[str, Any], value: Any) -> tuple[PlanHandle, str, str]:
    """Approve a plan whose step `a` finds another value when it is called than it found for the preview."""
    handle = await airlock.submit(document)
    first, text = await awaiting(handle), (await handle.preview()).text
    KNOWN[document["goal"]] = value
    assert (await handle.decide("approve", by="al", digest=first.digest)).accepted
    return handle, first.digest, text


async def test_a_writing_call_with_another_value_than_shown_is_previewed_and_asked_again(strict, plan):
    document = booking(plan, "book")
    handle, digest, text = await approved_then_changed(strict, document, 999)
    assert "amount = 1  <- a.value (derived)" in text
    assert 'recipient = "jo"\n' in text, "what the plan states has no mark"

    async def asked_again() -> Any:
        status = await handle.status()
        return status.digest != digest and status.state is State.AWAITING_APPROVAL and status

    second = await until(asked_again)
    assert MADE[handle.plan_id] == [], "the call was not made"
    preview = await handle.preview()
    assert "amount = 999  <- a.value (derived)" in preview.text
    assert any("amount differs from what was approved" in entry.reason for entry in (await handle.audit()).entries)
    assert (await handle.decide("approve", by="al", digest=second.digest)).accepted
    assert (await handle.result()).outcome == "completed"
    assert MADE[handle.plan_id] == [{"recipient": "jo", "amount": 999}]


async def test_an_argument_that_may_drift_is_called_with_the_value_of_the_time(strict, plan):
    handle, digest, text = await approved_then_changed(strict, booking(plan, "book_any"), 999)
    assert "amount = 1  <- a.value (derived; any value of it is approved)" in text
    result = await handle.result()
    assert (result.outcome, result.digest) == ("completed", digest)
    assert MADE[handle.plan_id] == [{"recipient": "jo", "amount": 999}]
    assert [entry.reason for entry in (await handle.audit()).entries if entry.kind == "drift"] == ["amount"]


async def test_the_policy_lets_one_argument_drift_and_no_other(place, plan):
    airlock = await place(may_drift={"book": ["amount"]})
    handle, _, text = await approved_then_changed(airlock, booking(plan, "book"), 7)
    assert "(derived; any value of it is approved)" in text
    assert (await handle.result()).outcome == "completed"
    assert MADE[handle.plan_id] == [{"recipient": "jo", "amount": 7}]

    document = booking(plan, "book")
    document["steps"][1]["args"] = {"recipient": {"$ref": "a.value"}, "amount": 5}
    KNOWN[document["goal"]] = "jo"
    handle, digest, text = await approved_then_changed(airlock, document, "mallory")
    assert 'recipient = "jo"  <- a.value (derived)' in text

    async def asked_again() -> bool:
        return (await handle.status()).digest != digest

    await until(asked_again)
    assert MADE[handle.plan_id] == []
    assert (await handle.decide("abort", by="al", reason="who is that?")).accepted
    await handle.result()


async def test_the_same_value_in_another_spelling_is_no_drift(strict, plan):
    handle, digest, _ = await approved_then_changed(strict, booking(plan, "book"), "1")
    result = await handle.result()
    assert (result.outcome, result.digest) == ("completed", digest)
    assert MADE[handle.plan_id] == [{"recipient": "jo", "amount": 1}]


SPELLINGS: tuple[dict[str, Any], ...] = (
    {"to": "jo", "amount": "100"},
    {"to": "jo", "amount": 100.0},
    {"to": "jo", "amount": 1e2, "note": None},
    {"to": "jo", "amount": 100, "fee": "0.00", "tags": []},
    {"to": "jo", "amount": 100, "fee": 0, "on": None},
)


async def test_the_same_irreversible_call_in_another_spelling_is_not_made_twice(strict, plan):
    handle = await strict.submit(plan(step("first", "pay", to="jo", amount=100)))
    await approved(handle)
    assert (await handle.result()).outcome == "completed"
    assert len(MADE[handle.plan_id]) == 1
    for args in SPELLINGS:
        again = await strict.submit(plan(step("again", "pay", **args), step("look", "find", key="none")))
        await approved(again)
        result = await again.result()
        assert (result.outcome, result.live) == ("partial", ("look",)), args
        assert f"{handle.workflow.id} made this call" in " ".join(result.steps[0].reasons), args
        assert MADE[again.plan_id] == [], args


async def test_a_spelling_that_only_the_call_knows_is_found_by_the_claim(strict, plan):
    at, key = "2026-05-01T10:00:00Z", f"key{next(_NUMBERS)}"
    first = await strict.submit(plan(step("first", "pay", to="kim", amount=40, on=at, tags=["x", "y"])))
    await approved(first)
    assert (await first.result()).outcome == "completed"

    KNOWN[key] = "2026-05-01T12:00:00+02:00"
    args = {"to": "kim", "amount": "40", "fee": "0.0", "tags": ["y", "x"], "on": {"$ref": "look.value"}}
    again = await strict.submit(plan(step("look", "find", key=key), step("again", "pay", **args)))
    status = await awaiting(again)
    assert [view.ceiling for view in status.steps] == ["LIVE", "LIVE"], "admission cannot know yet"
    await approved(again)
    result = await again.result()
    assert (result.outcome, result.live) == ("partial", ("look",))
    assert f"{first.workflow.id} made this call" in result.steps[1].error
    assert MADE[again.plan_id] == []


async def test_of_two_spellings_in_one_plan_one_is_called(strict, plan):
    steps = [step(f"s{n}", "pay", **args | {"to": "lee"}) for n, args in enumerate(SPELLINGS)]
    handle = await strict.submit(plan(*steps))
    await approved(handle)
    await handle.result()
    assert Counter(made["to"] for made in MADE[handle.plan_id]) == {"lee": 1}
