"""Mocks and dry runs that never return: their step falls, their activity ends, and the worker goes on."""

import threading
import time
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from airlock.activities.rehearsals import rehearsal_threads as threads
from airlock.activities.rehearsals import rehearse as rehearse_module
from airlock.activities.rehearsals.rehearsal_threads import REHEARSALS
from airlock.activities.rehearsals.rehearse import RehearseActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Step
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from airlock.wire import RehearsalRequest
from tests.poison_tools import Anything

RELEASED = threading.Event()


@tool(name="stuck", risk="LOW", reversibility="read_only")
async def stuck(args: Anything, call: ToolCall) -> Any: ...


@stuck.mock
def _mock(args: Anything, call: ToolCall) -> Any:
    if call.step_id.startswith("busy"):
        while not RELEASED.is_set():
            pass
    elif call.step_id.startswith("stuck"):
        RELEASED.wait()
    return {"fine": True}


CATALOGUE = Catalogue([stuck])


@pytest.fixture(autouse=True)
def released(monkeypatch):
    """Let every function of a test return in its end; the next one counts those that hang."""
    monkeypatch.setattr(rehearse_module, "MOCK_TIMEOUT", 0.2)
    RELEASED.clear()
    yield
    RELEASED.set()
    deadline = time.monotonic() + 60.0
    while REHEARSALS.hanging:
        assert time.monotonic() < deadline, "the functions of this test have not returned"
        time.sleep(0.01)


async def mocked(*ids: str) -> dict[str, str]:
    """Return the errors of the mocks of these steps, by step."""
    request = RehearsalRequest(
        plan_id="p", steps=tuple(Step(id=name, agent="a", tool="stuck", confidence=1.0) for name in ids),
        contracts={"c": CATALOGUE.contract("stuck", {})}, contract_of=dict.fromkeys(ids, "c"),
    )  # fmt: skip
    result = await ActivityEnvironment().run(RehearseActivities(Toolbox(CATALOGUE, Policy())).rehearse, request)
    return {failure.step: failure.error for failure in result.failures}


async def test_more_mocks_hang_than_a_pool_has_threads_and_the_next_one_runs():
    before = REHEARSALS.hanging
    ids = [f"stuck{n}" for n in range(threads.POOL + 4)]
    errors = await mocked(*ids, "busy", "fine")
    assert set(errors) == {*ids, "busy"}
    assert all("its code goes on running" in error for error in errors.values())
    assert REHEARSALS.hanging - before == len(ids) + 1


async def test_beyond_a_bound_no_mock_is_called(monkeypatch):
    monkeypatch.setattr(threads, "MAX_HANGING", REHEARSALS.hanging + 2)
    errors = await mocked("stuck1", "stuck2", "fine")
    assert "hang in this worker, so it calls no more: restart it" in errors["fine"]
