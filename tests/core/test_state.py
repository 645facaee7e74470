"""The whole product of states and events against a table written by hand from DESIGN section 5."""

import itertools

import pytest

from airlock.plans.state import TRANSITIONS, Event, State, advance, possible
from airlock.run.state import Run
from tests.core.build import NOW, plan, step

# from DESIGN section 5; every pair that is not listed is refused
EXPECTED = {
    "MOCK": {"rehearsed": "DRY_RUN", "capped": "COMPLETED", "lock": "LOCKED", "abort": "ABORTED"},
    "DRY_RUN": {"previewed": "AWAITING_APPROVAL", "capped": "COMPLETED", "lock": "LOCKED", "abort": "ABORTED"},
    "AWAITING_APPROVAL": {
        "approved": "LIVE",
        "denied": "MOCK",
        "amended": "MOCK",
        "expired": "MOCK",
        "lock": "LOCKED",
        "abort": "ABORTED",
    },
    "LIVE": {
        "calls_done": "COMPLETED",
        "call_failed": "ROLLBACK",
        "call_failed_kept": "LOCKED",
        "rollback": "ROLLBACK",
        "stale": "DRY_RUN",
        "stale_undo": "ROLLBACK",
        "entry_refused": "MOCK",
        "call_in_doubt": "LOCKED",
        "lock": "LOCKED",
    },
    "ROLLBACK": {"compensated": "ABORTED", "compensation_failed": "LOCKED", "stale": "DRY_RUN", "lock": "LOCKED"},
    "LOCKED": {
        "unlock": "MOCK",
        "rollback": "ROLLBACK",
        "abort": "ABORTED",
        "settled_live": "LIVE",
        "settled_undo": "ROLLBACK",
        "lock": "LOCKED",
    },
    "ABORTED": {},
    "COMPLETED": {},
}
PRODUCT = list(itertools.product(State, Event))


def test_the_hand_written_table_covers_every_state() -> None:
    assert set(EXPECTED) == {state.value for state in State}
    assert {event for row in EXPECTED.values() for event in row} == {event.value for event in Event}


@pytest.mark.parametrize(("state", "event"), PRODUCT, ids=lambda value: value.value)
def test_every_pair_is_decided(state: State, event: Event) -> None:
    target = advance(state, event)
    assert (target.value if target else None) == EXPECTED[state.value].get(event.value)


@pytest.mark.parametrize("state", State, ids=lambda value: value.value)
def test_possible_lists_exactly_the_pairs_of_the_table(state: State) -> None:
    assert possible(state) == tuple(event for event in Event if advance(state, event) is not None)


@pytest.mark.parametrize("event", Event, ids=lambda value: value.value)
def test_closed_states_absorb(event: Event) -> None:
    assert advance(State.ABORTED, event) is None
    assert advance(State.COMPLETED, event) is None


@pytest.mark.parametrize("state", [state for state in State if not state.closed], ids=lambda value: value.value)
def test_a_lock_is_possible_from_every_open_state(state: State) -> None:
    assert advance(state, Event.LOCK) is State.LOCKED


def test_live_is_entered_by_approval_or_settlement_only() -> None:
    entries = {(state, event) for (state, event), target in TRANSITIONS.items() if target is State.LIVE}
    assert entries == {(State.AWAITING_APPROVAL, Event.APPROVED), (State.LOCKED, Event.SETTLED_LIVE)}


def test_every_event_says_what_it_means() -> None:
    assert len({event.meaning for event in Event}) == len(Event)


@pytest.mark.parametrize(("state", "event"), PRODUCT, ids=lambda value: value.value)
def test_a_run_moves_by_the_table_and_records_either_way(state: State, event: Event) -> None:
    run = Run(plan=plan(step("a")), submitted_at=NOW, since=NOW, state=state)
    moved = run.apply(event, NOW, by="somebody", reason="why")
    expected = EXPECTED[state.value].get(event.value)
    entry = run.audit[-1]
    assert moved is (expected is not None)
    assert run.state.value == (expected or state.value)
    assert entry.kind == ("transition" if moved else "refused")
    assert (entry.what, entry.by, entry.number) == (event.value, "somebody", 1)
    assert run.moves == int(moved)
    if moved:
        assert (entry.from_state, entry.to_state) == (state.value, expected)
        assert run.why == "why"
    else:
        assert f"not possible in {state.value}" in entry.reason
