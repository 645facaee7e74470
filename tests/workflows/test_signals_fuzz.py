"""Hundreds of generated signals in every state: each is refused and recorded, and the run goes on."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.run.audit import MAX_REFUSALS
from tests.workflows.conftest import approved, awaiting, until
from tests.workflows.nonsense import VALID, no_task_failed, refused, send_all
from tests.workflows.world import WORLD

OPTIONAL = {"approve": ("steps", "signature"), "deny": ("digest",), "rollback": ("to_step",)}
# valid objects that a state refuses all the same
IN_VAIN = {
    State.AWAITING_APPROVAL: ("approve", "unlock", "rollback", "resolve"),
    State.LIVE: ("approve", "deny", "unlock", "abort", "resolve"),
    State.LOCKED: ("approve", "deny", "unlock", "abort", "resolve"),  # while a call still runs
}


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
