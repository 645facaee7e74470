"""The request that opens a stay in LIVE: its form on the wire, and the fencing tokens of its calls."""

from hypothesis import given
from hypothesis import strategies as st

from airlock.gates.protocol import HeldSlot
from airlock.plans.contract import Contract
from airlock.plans.plan import Step
from airlock.plans.schedule import Schedule
from airlock.run.decisions.evidence import EntryRequest
from airlock.run.live.call_messages import ATTEMPTS_IN_ONE, CallRequest, ChainRequest, raised

CALL = CallRequest(
    step=Step(id="a", agent="x", tool="put", args={}, confidence=0.9),
    contract=Contract(tool="put", risk="MEDIUM", reversibility="reversible"),
)
ENTER = EntryRequest(plan_id="p", holder="plan-p", request="3")


def test_an_earlier_live_worker_finds_no_call_in_a_request_that_enters_first():
    opening = ChainRequest(plan_id="p", calls=(CALL,), enter=ENTER)
    written = opening.model_dump(mode="json")
    assert written["calls"] == []  # it knows of no other field, and would make these without the gates
    assert ChainRequest.model_validate(written) == opening
    assert opening.mark == "stay 3"


def test_a_request_after_the_entry_is_written_as_before():
    request = ChainRequest(plan_id="p", calls=(CALL,), receipt="r", entry="e")
    written = request.model_dump(mode="json")
    assert set(written) == {"plan_id", "calls", "run_id", "first_run_id", "receipt", "entry"}
    assert ChainRequest.model_validate(written) == request
    assert request.mark == "r"


@given(
    st.lists(st.integers(0, 10**15), min_size=1, max_size=5, unique=True).map(sorted),
    st.lists(st.tuples(st.sampled_from(["gate-resource-a", "gate-live"]), st.integers(0, 10**13)), max_size=3),
)
def test_tokens_rise_and_are_above_those_of_every_plan_that_held_a_resource(fences, held):
    slots = [HeldSlot(gate=gate, name="n", fence=fence, slots=1) for gate, fence in held]
    found = raised(fences, slots)
    assert found == sorted(set(found))
    assert all(after >= before for after, before in zip(found, fences, strict=True))
    resources = [slot.fence for slot in slots if slot.gate != "gate-live"]
    assert all(token > fence * ATTEMPTS_IN_ONE for token in found for fence in resources)
    assert raised(found, slots) == found


def test_only_a_chain_that_alone_may_start_opens_a_stay():
    row = {"a": (), "b": ("a",), "c": ("b",)}
    assert Schedule(row, row, chainable=row).only() == ("a", "b", "c")
    assert Schedule(row, row, done=["a", "b", "c"]).only() == ()
    beside = {"a": (), "b": ()}
    schedule = Schedule(beside, beside)
    assert (schedule.only(), schedule.running) == ((), ())
    assert Schedule(beside, beside, late=["a", "b"]).only() == ("a",)
