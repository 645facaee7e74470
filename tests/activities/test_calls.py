"""The reading of exceptions from live calls, and the outcomes that leave the activity."""

import dataclasses
import math
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.call_failures import asked_to_wait, classify
from airlock.activities.calls.compensate import CompensateActivities
from airlock.activities.functions.secrets import Secrets
from airlock.activities.functions.tool_functions import WrongShape, checked_output
from airlock.activities.options import backoff, undo_attempts
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base.errors import InDoubt, RefError, SecretError, Stale, ToolFailed
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.plans.outcome import StepPreview
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from airlock.run.handed_back import SINCE_EPOCH
from airlock.run.live.call_messages import CallRequest, ChainRequest, MadeCall
from tests.activities.test_preview import Anything

READ = {"risk": "LOW", "reversibility": "read_only"}
REPEATABLE = {"risk": "MEDIUM", "reversibility": "reversible", "has_compensate": True}
ONCE = {"risk": "HIGH", "reversibility": "irreversible"}
BUSY = ToolFailed("busy", retry=True)
LATER = ToolFailed("too many", retry=True, after=7.0)
LOST = httpx.ReadTimeout("no answer")


@pytest.mark.parametrize(
    ("contract", "attempt", "error", "kind", "doubtful"),
    [
        (READ, 1, ToolFailed("no"), "failed", None),
        (READ, 1, BUSY, "again", False),
        (READ, 3, BUSY, "failed", None),
        (READ, 1, LOST, "again", False),
        (READ, 3, LOST, "failed", None),
        (REPEATABLE, 1, LOST, "again", True),
        (REPEATABLE, 3, LOST, "in_doubt", None),
        (REPEATABLE, 1, InDoubt("?"), "again", True),
        (REPEATABLE, 1, TimeoutError(), "again", True),
        (REPEATABLE, 1, ConnectionResetError(), "again", True),
        (REPEATABLE, 1, ConnectionRefusedError(), "again", False),
        (REPEATABLE, 1, httpx.ConnectError("refused"), "again", False),
        (REPEATABLE, 1, RuntimeError("bug"), "again", False),
        (REPEATABLE, 1, ToolFailed("no"), "failed", None),
        (REPEATABLE, 1, RefError("x"), "failed", None),
        (REPEATABLE, 1, SecretError("x"), "failed", None),
        (REPEATABLE, 1, Stale("moved"), "stale", None),
        (ONCE, 1, BUSY, "again", False),
        (ONCE, 3, BUSY, "failed", None),
        (REPEATABLE, 3, RuntimeError("bug"), "failed", None),
        (ONCE, 1, LATER, "again", False),
        (ONCE, 2, LATER, "again", False),
        (ONCE, 3, LATER, "failed", None),
        (ONCE, 2, LOST, "in_doubt", None),
        (ONCE, 1, ToolFailed("never", retry=False, after=7.0), "failed", None),
        (ONCE, 1, ToolFailed("odd", retry=True, after=math.nan), "again", False),
        (READ, 3, LATER, "failed", None),
        (ONCE, 1, RuntimeError("bug"), "in_doubt", None),
        (ONCE, 1, LOST, "in_doubt", None),
        (ONCE, 1, httpx.ConnectError("refused"), "failed", None),
        (ONCE, 1, InDoubt("?"), "in_doubt", None),
        (ONCE, 1, TimeoutError(), "in_doubt", None),
    ],
)
def test_what_an_exception_means(contract, attempt, error, kind, doubtful):
    request = CallRequest(
        step=Step(id="s", agent="a", tool="t", confidence=1.0), contract=Contract(tool="t", **contract), attempt=attempt,
        preview=StepPreview(step="s", looked=True, effect="e", args={}, observed="version 1"),
    )  # fmt: skip
    found = classify(request, error, str(error), {"token": 1})
    assert (found.kind, getattr(found, "doubtful", None)) == (kind, doubtful)
    if kind in ("failed", "in_doubt", "again"):
        assert found.undo == {"token": 1}
    if kind == "again" and error is LATER:
        assert (found.after, found.certain) == (7.0, True)


@pytest.mark.parametrize(
    ("attempt", "error", "kind"),
    [
        (1, RuntimeError("bug"), "again"), (3, RuntimeError("bug"), "in_doubt"), (3, BUSY, "failed"),
        (1, InDoubt("503", after=9.0), "again"), (1, InDoubt("503", after=90_000.0), "in_doubt"),
        (3, httpx.ConnectError("refused"), "failed"), (3, RefError("x"), "failed"),
    ],
)  # fmt: skip
def test_without_a_token_an_unknown_failure_of_a_reversible_call_is_in_doubt(attempt, error, kind):
    request = CallRequest(
        step=Step(id="s", agent="a", tool="t", confidence=1.0), contract=Contract(tool="t", **REPEATABLE), attempt=attempt,
        preview=StepPreview(step="s", looked=True, effect="e", args={}, observed="version 1"),
    )  # fmt: skip
    found = classify(request, error, str(error), None)
    assert found.kind == kind, "with no token the rollback would skip it, and say that everything is taken back"
    if kind == "again":
        assert (found.doubtful, found.after) == (True, getattr(error, "after", 0.0))


@pytest.mark.parametrize(("repeats", "kind"), [({}, "in_doubt"), ({"idempotent": True}, "again")])
def test_a_call_that_its_target_may_still_be_at_is_repeated_only_where_that_is_harmless(repeats, kind):
    """Another attempt would find the state of before; and a probe that looks meanwhile settles nothing."""
    request = CallRequest(
        step=Step(id="s", agent="a", tool="t", confidence=1.0), contract=Contract(tool="t", **REPEATABLE, **repeats),
        preview=StepPreview(step="s", looked=True, effect="e", args={}, observed="version 1"),
    )  # fmt: skip
    found = classify(request, InDoubt("no answer", unfinished=True), "", None)
    assert (found.kind, found.lost) == (kind, True)
    assert not classify(request, InDoubt("no answer"), "", None).lost


@pytest.mark.parametrize(
    ("asked", "waits"), [(7.0, 7.0), (0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (math.inf, 86_400.0), (1e300, 86_400.0)]
)
def test_what_a_tool_asks_to_wait_is_bounded(asked, waits):
    assert asked_to_wait(ToolFailed("later", retry=True, after=asked)) == waits


@pytest.mark.parametrize(
    ("asked", "kind", "after"),
    [(7_200.0, "again", 7_200.0), (86_400.0, "again", 86_400.0), (86_401.0, "failed", None), (math.inf, "failed", None)],
)
@pytest.mark.parametrize("contract", [{"risk": "HIGH", "reversibility": "irreversible"}, READ])
def test_no_attempt_comes_earlier_than_the_target_asked(contract, asked, kind, after):
    request = CallRequest(
        step=Step(id="s", agent="a", tool="t", confidence=1.0), contract=Contract(tool="t", **contract), attempt=1
    )
    found = classify(request, ToolFailed("later", retry=True, after=asked), "later", None)
    assert (found.kind, getattr(found, "after", None)) == (kind, after)
    assert ("it asks to wait longer than 86400 s" in found.error) is (kind == "failed"), "or nothing says why it ended"


@tool(name="shaped", **READ)
async def shaped(args: Anything, call: ToolCall) -> dict[str, int]:
    return {}


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("text", "declared shape"),
        ({"a": "x"}, "declared shape at: a"),
        ({f"k{n}": n for n in range(10_000)}, "bytes, more than the 65,536 allowed"),
    ],
)
def test_an_output_of_the_wrong_shape_or_size_is_named(output, said):
    with pytest.raises(WrongShape, match=said):
        checked_output(shaped, output)


def test_secrets_come_from_the_environment_or_the_folder_and_are_redacted(tmp_path):
    (tmp_path / "db-password").write_text("from-file\n")
    secrets = Secrets({"AIRLOCK_SECRET_API_KEY": "from-env", "AIRLOCK_SECRETS_DIR": str(tmp_path)})
    assert secrets.resolve("api-key") == "from-env"
    assert secrets.resolve("db-password") == "from-file"
    assert secrets.redact({"a": ["x from-env y"], "from-file": 1}) == {
        "a": ["x (secret api-key) y"],
        "(secret db-password)": 1,
    }
    with pytest.raises(SecretError, match=r"needs AIRLOCK_SECRET_NOPE in its environment or a file nope"):
        secrets.resolve("nope")
    with pytest.raises(SecretError):
        secrets.resolve("../db-password")


@pytest.mark.parametrize("value", ["", "\n", "\r\n\n"])
def test_a_secret_without_a_value_is_not_there(value, tmp_path):
    (tmp_path / "db-password").write_text(value)
    secrets = Secrets({"AIRLOCK_SECRET_API_KEY": value, "AIRLOCK_SECRETS_DIR": str(tmp_path)})
    for name in ("api-key", "db-password"):
        assert not secrets.has(name)
        with pytest.raises(SecretError, match=f"'{name}' of this worker is empty"):
            secrets.resolve(name)


def test_backoff_grows_is_bounded_and_honours_what_the_target_asked():
    assert [backoff(n).total_seconds() for n in (1, 2, 3, 6, 50)] == [1, 2, 4, 30, 30]
    assert backoff(1, asked=45).total_seconds() == 45


@tool(name="careless", risk="MEDIUM", reversibility="compensable")
async def careless(args: Anything, call: ToolCall) -> dict[str, str]:
    call.undo = {"bytes": {"bytes": b"not JSON"}, "large": "x" * 100_000, "deep": nested(150)}[args.model_dump()["kind"]]
    return {}


@careless.compensate
async def _uncareless(args: Anything, call: ToolCall) -> None: ...


def nested(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@tool(name="anything", risk="LOW", reversibility="read_only")
async def anything(args: Anything, call: ToolCall) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("levels", [101, 220, 20_000])
def test_an_output_that_is_nested_too_deeply_is_refused(levels):
    with pytest.raises(WrongShape, match=r"nested more than 1000? levels deep|serialization depth exceeded"):
        checked_output(anything, {"tree": nested(levels)})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("bytes", "is not JSON"),
        ("large", "is larger than 65,536 bytes"),
        ("deep", "cannot be kept: it is nested more than 100 levels deep"),
    ],
)
async def test_an_undo_token_that_cannot_be_kept_puts_the_call_in_doubt(kind, said):
    catalogue = Catalogue([careless])
    step = Step(id="s", agent="a", tool="careless", args={"kind": kind}, confidence=1.0)
    request = CallRequest(step=step, contract=catalogue.contract("careless", step.args))
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    asked = ChainRequest(plan_id="p", calls=(request,))
    (attempt,) = (await env.run(CallActivities(Toolbox(catalogue, Policy())).call, asked)).attempts
    assert attempt.kind == "in_doubt"
    assert f"the call took effect, but its undo token {said}" in attempt.error


@tool(name="ledger", risk="LOW", reversibility="read_only", idempotent=True)
async def ledger(args: Anything, call: ToolCall) -> dict[str, Any]:
    LEDGER.append(call.idempotency_key)
    return {}


LEDGER: list[str] = []
WRITES = {"tool": "ledger", "risk": "MEDIUM", "reversibility": "compensable", "has_compensate": True}


@tool(name="ledger", risk="LOW", reversibility="read_only", idempotent=True)
async def picky(args: Anything, call: ToolCall) -> dict[str, Any]:
    LEDGER.append(call.idempotency_key)
    return {}


@picky.variant
def _(args: dict[str, Any]) -> dict[str, Any]:
    return {"timeout": 1 / len(args)}


@pytest.mark.parametrize(
    ("approved", "kind"),
    [
        ({}, "live"),
        ({"timeout": 61.0}, "failed"),
        ({"max_attempts": 2}, "failed"),
        ({"idempotent": False}, "failed"),
        ({"risk": "MEDIUM"}, "failed"),
        ({"permissions": frozenset({"pay"})}, "failed"),
    ],
)
async def test_a_worker_whose_contract_is_not_the_approved_one_makes_no_call(approved, kind):
    LEDGER.clear()
    catalogue = Catalogue([ledger])
    step = Step(id="s", agent="a", tool="ledger", args={}, confidence=1.0)
    here = catalogue.contract("ledger", step.args)
    request = CallRequest(step=step, contract=Contract.model_validate(here.model_dump() | approved))
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    asked = ChainRequest(plan_id="p", calls=(request,))
    (attempt,) = (await env.run(CallActivities(Toolbox(catalogue, Policy())).call, asked)).attempts
    assert (attempt.kind, len(LEDGER)) == (kind, 1 if kind == "live" else 0)
    if kind == "failed":
        assert "the contract of ledger on this worker is not the one that was approved" in attempt.error


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"observed": UNKNOWN, "follows": {"file:a": "draft"}}, "stale"),
        ({"observed": {"value": UNKNOWN}, "follows": {"file:a": "draft"}}, "stale"),
        ({"observed": {"value": "whole"}, "follows": {"file:a": "draft"}}, "live"),
        ({"observed": {"value": UNKNOWN}}, "live"),
    ],
)
async def test_a_call_whose_preview_could_not_tell_what_an_own_step_leaves_is_not_made(more, kind):
    LEDGER.clear()
    catalogue = Catalogue([ledger])
    step = Step(id="s", agent="a", tool="ledger", args={}, confidence=1.0)
    shown = StepPreview.model_validate({"step": "s", "looked": True, "effect": "e", "args": {}, **more})
    request = CallRequest(step=step, contract=catalogue.contract("ledger", step.args), preview=shown)
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    asked = ChainRequest(plan_id="p", calls=(request,))
    (attempt,) = (await env.run(CallActivities(Toolbox(catalogue, Policy())).call, asked)).attempts
    assert (attempt.kind, len(LEDGER)) == (kind, 1 if kind == "live" else 0)
    if kind == "stale":
        assert "could not tell file:a as step 'draft' leaves it" in attempt.error


@pytest.mark.parametrize(
    ("tools", "approved", "why"),
    [
        (
            [ledger],
            {"timeout": 61.0},
            "the contract of ledger on this worker is not the one that was approved: it differs in timeout",
        ),
        ([], {}, "this worker's catalogue has no tool 'ledger'"),
        ([picky], {}, "ledger has no contract for the arguments of step 's' on this worker"),
    ],
    ids=["changed", "gone", "raises"],
)
async def test_a_call_for_a_worker_of_another_generation_is_handed_back(tools, approved, why):
    LEDGER.clear()
    step = Step(id="s", agent="a", tool="ledger", args={}, confidence=1.0)
    there = Catalogue([ledger]).contract("ledger", step.args)
    contract = Contract.model_validate(there.model_dump() | approved)
    first, second = (
        CallRequest(step=step.model_copy(update={"id": name}), contract=contract, epoch=SINCE_EPOCH, undo={"row": 1})
        for name in ("s", "t")
    )
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    asked = ChainRequest(plan_id="p", calls=(first, second))
    result = await env.run(CallActivities(Toolbox(Catalogue(tools), Policy())).call, asked)
    (attempt,) = result.attempts
    assert (attempt.kind, attempt.step, attempt.undo, LEDGER) == ("again", "s", {"row": 1}, [])
    assert (attempt.turned_away, attempt.elsewhere, attempt.certain, attempt.doubtful) == (True, True, True, False)
    assert attempt.error == why


@pytest.mark.parametrize(
    ("attempt", "kind"), [(1, "again"), (undo_attempts(Contract.model_validate(WRITES)), "undo_failed")]
)
async def test_an_undo_without_its_tool_is_tried_again_where_another_worker_may_have_it(attempt, kind):
    step = Step(id="s", agent="a", tool="ledger", args={}, confidence=1.0)
    made = MadeCall(plan_id="p", step=step, contract=Contract.model_validate(WRITES))
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p", attempt=attempt)
    undo = CompensateActivities(Toolbox(Catalogue([]), Policy())).compensate
    if kind == "again":
        with pytest.raises(ApplicationError, match="no tool 'ledger'") as told:
            await env.run(undo, made)
        assert not told.value.non_retryable
    else:
        assert (await env.run(undo, made)).kind == kind
