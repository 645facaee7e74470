"""The proof of a lock by table: what the gate was told, what vanished, what there was no room for."""

from datetime import timedelta

import pytest

from airlock.gates.lock_proof import (
    KEPT,
    KEPT_LOST,
    DoubtfulCall,
    Doubts,
    LockProof,
    Proved,
    ProvedExcept,
    Unknown,
    UnknownPlan,
    lock_proof,
)
from airlock.gates.protocol import Release
from airlock.gates.semaphore import Gate
from airlock.gates.view import gate_view
from airlock.plans.outcome import CallInDoubt, ProbeAnswer
from airlock.run.displacement import displace, lose
from airlock.run.live.call_results import after_calls, after_rollback, take_probe
from airlock.run.live.gate_requests import leave_request, take_left
from airlock.run.state import Run
from tests.core.build import NOW, call, live, live_run, say
from tests.core.gate_build import START, wants
from tests.core.test_gate_requests import HOLDER, LIVE, TWO_ROWS, entered

CALL = DoubtfulCall(plan="p", step="a", since=START, why="w")
PLAN = UnknownPlan(plan="q", why="w")
LATER = START + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("plans", "calls", "expected"),
    [
        ([], [], Proved()),
        ([], [CALL], ProvedExcept(calls=(CALL,))),
        ([PLAN], [], Unknown(plans=(PLAN,))),
        ([PLAN], [CALL], Unknown(plans=(PLAN,), calls=(CALL,))),
    ],
)
def test_the_weakest_part_decides(plans: list[UnknownPlan], calls: list[DoubtfulCall], expected: LockProof) -> None:
    assert lock_proof(plans, calls) == expected


def held(request: str = "1", **more: object) -> Gate:
    gate = Gate(capacity=5)
    gate.acquire(wants("plan-a", request, scopes=("agent:x",), run_id="run-1", grace=30.0, **more), START)
    return gate


def released(gate: Gate, request: str = "1", **more: object) -> None:
    gate.release(Release.model_validate({"holder": "plan-a", "request": request, **more}), LATER)


def doubtful(gate: Gate) -> list[tuple[str, str]]:
    return [(doubt.plan, doubt.step) for doubt in gate.doubts.calls()]


@pytest.mark.parametrize("told", [{"doubts": ("pay",)}, {"lost": ("pay",)}])
@pytest.mark.parametrize("lock_first", [True, False])
def test_a_release_with_a_call_in_doubt_proves_all_but_that_call(told: dict[str, object], lock_first: bool) -> None:
    gate = held()
    if lock_first:
        gate.lock(None, "olga", "stop", LATER)
    released(gate, **told)
    if not lock_first:  # a plan that left before the lock may have left a frozen worker behind, too
        gate.lock(None, "olga", "stop", LATER)
    view = gate_view("gate-live", gate, True, 0, (), 100)
    assert (view.finishing, [(found.plan, found.step) for found in view.doubts]) == (0, [("a", "pay")])
    assert view.doubts[0].scopes == ("agent:x",)


@pytest.mark.parametrize(
    ("later", "left"),
    [
        ({"request": "1"}, []),
        ({"request": "2"}, []),
        ({"request": "1", "doubts": ("note",)}, ["note"]),
        ({"request": "1", "doubts": ("pay", "note")}, ["note", "pay"]),
    ],
)
def test_the_plan_settles_what_it_told(later: dict[str, object], left: list[str]) -> None:
    gate = held()
    released(gate, doubts=("pay",))
    released(gate, **later)
    assert doubtful(gate) == [("a", step) for step in left]
    if "pay" in left:
        assert next(found for found in gate.doubts.calls() if found.step == "pay").since == LATER


def test_a_later_stay_settles_too() -> None:
    gate = held()
    released(gate, doubts=("pay",))
    gate.acquire(wants("plan-a", "2", run_id="run-1"), LATER)
    assert doubtful(gate) == [("a", "pay")], "to be live again settles nothing"
    released(gate, "2")
    assert doubtful(gate) == []


@pytest.mark.parametrize(
    ("completed", "calls", "left"),
    [(True, ("pay",), []), (False, (), []), (False, ("pay",), ["pay"]), (False, ("",), [""])],
)
def test_a_vanished_holder_counts_as_running_and_then_as_in_doubt(
    completed: bool, calls: tuple[str, ...], left: list[str]
) -> None:
    gate = held()
    gate.lock(None, "olga", "stop", START)
    closed = START + timedelta(seconds=1)
    gate.vanished("plan-a", closed, closed, completed, closed, calls)
    assert bool(gate.barrier.finishing) is not completed
    gate.settle(closed + timedelta(seconds=31))
    assert gate.barrier.finishing == ()
    assert doubtful(gate) == [("a", step) for step in left]
    released(gate)
    assert doubtful(gate) == [("a", step) for step in left], "another run under the same id cannot know of these"


def test_the_calls_of_a_run_that_was_reset_stay_in_doubt() -> None:
    gate = held()
    gate.acquire(wants("plan-a", "2", run_id="run-2"), LATER)
    assert doubtful(gate) == [("a", "")]
    released(gate, "2")
    assert doubtful(gate) == [("a", "")]


def test_a_slot_that_its_run_never_knew_of_leaves_no_doubt() -> None:
    gate = Gate(capacity=1)
    gate.acquire(wants("plan-b", run_id="run-b"), START)
    gate.acquire(wants("plan-a", run_id="run-1"), START)
    gate.release(Release(holder="plan-b", request="1"), START)
    gate.acquire(wants("plan-a", "2", run_id="run-2"), LATER)
    assert doubtful(gate) == []


def test_what_a_plan_said_earlier_and_is_sent_again_settles_nothing() -> None:
    gate = held()
    earlier = {"said_at": LATER - timedelta(seconds=1)}
    released(gate, doubts=("pay",), said_at=LATER)
    gate.doubts.expire(LATER)  # what is kept keeps its time
    released(gate, **earlier)
    released(gate, doubts=("other",), **earlier)
    assert doubtful(gate) == [("a", "pay")]
    released(gate, said_at=LATER)
    assert doubtful(gate) == []


@pytest.mark.parametrize(("told", "kept"), [({"doubts": ("pay",)}, KEPT), ({"lost": ("pay",)}, KEPT_LOST)])
def test_doubts_end(told: dict[str, object], kept: timedelta) -> None:
    gate = held()
    released(gate, **told)
    gate.doubts.expire(LATER + kept - timedelta(seconds=1))
    assert doubtful(gate)
    gate.doubts.expire(LATER + kept)
    assert not doubtful(gate)
    assert gate.doubts.size == 0


def test_doubts_without_room_are_no_proof() -> None:
    doubts, steps = Doubts(), tuple(f"step-{number}" for number in range(15))
    for number in range(400):
        release = Release(holder=f"plan-{number}", request="1", doubts=steps)
        doubts.take(release, ("agent:x",), START)
    assert doubts.size < 210_000
    assert doubts.unknown(100_000)
    doubts.expire(START + KEPT)
    assert (doubts.unknown(100_000), doubts.size, doubts.held) == ((), 0, {})


def test_more_steps_than_are_named_and_more_rows_than_are_listed_are_told() -> None:
    gate = held()
    released(gate, doubts=tuple(f"s{number:03}" for number in range(300)))
    assert len(doubtful(gate)) == 21
    assert ("a", "") in doubtful(gate)
    assert not gate.doubts.unknown(21)
    assert gate.doubts.unknown(20)


def test_a_gate_that_forgot_its_holders_proves_nothing() -> None:
    gate = Gate()
    gate.doubts.forget_holders("it cannot be read", START)
    assert [plan.why for plan in gate.doubts.unknown(10)] == ["it cannot be read"]
    carried = Gate.model_validate_json(gate.model_dump_json())
    assert carried.doubts.unknown(10)


def in_doubt(epoch: int = 1) -> Run:
    run = entered(live_run(TWO_ROWS))
    assert run.admitted is not None
    run.admitted = run.admitted.model_copy(update={"epoch": epoch})
    call(run, live("b"))
    call(run, CallInDoubt(step="a", error="its worker is gone", token_lost=True))
    after_calls(run, [], NOW, deadline_passed=False)
    return run


def told(run: Run) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    request = leave_request(run, HOLDER)
    if request is None or LIVE.gate not in request.gates:
        return None
    take_left(run, request)
    return request.doubts, request.lost


def test_a_run_tells_the_live_gate_of_its_doubts_and_when_they_are_settled() -> None:
    run = in_doubt()
    assert told(run) == (("a",), ())
    assert told(run) is None
    assert say(run, "resolve", step="a", outcome="happened").accepted
    assert told(run) is None, "it is live again, which the gate counts as running"
    call(run, live("r"))
    after_calls(run, [], NOW, deadline_passed=False)
    assert told(run) == ((), ())
    assert told(run) is None


def test_a_run_of_an_earlier_release_tells_once() -> None:
    run = in_doubt(epoch=0)
    assert told(run) == (("a",), ())
    assert say(run, "abort").accepted
    take_probe(run, ProbeAnswer(step="a", happened=True), NOW)
    assert told(run) is None


def test_a_probe_settles_and_a_skip_does_not() -> None:
    run = in_doubt()
    assert told(run) == (("a",), ())
    take_probe(run, ProbeAnswer(step="a", happened=True), NOW)
    assert told(run) == ((), ())
    run = in_doubt()
    assert say(run, "rollback").accepted
    after_rollback(run, NOW)
    assert say(run, "resolve", step="a", outcome="skip").accepted
    assert told(run) == ((), ("a",))


def test_an_attempt_that_was_lost_is_told_although_a_later_one_answered() -> None:
    run = entered(live_run(TWO_ROWS))
    lose(run, "a")
    lose(run, "r")
    for name in ("a", "b", "r"):
        call(run, live(name))
    after_calls(run, [], NOW, deadline_passed=False)
    assert told(run) == ((), ("a",)), "a read does no harm"


def test_a_run_that_was_reset_while_live_tells_what_the_other_run_may_be_calling() -> None:
    run = entered(live_run(TWO_ROWS))
    call(run, live("b"))
    displace(run)
    assert run.lost == ("a",)
