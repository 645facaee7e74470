"""The guard of a run that was reset: where the other runs cannot be read, nothing is made."""

from dataclasses import replace
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from airlock.activities import recover
from airlock.activities.recover import EarlierRuns
from airlock.plans.outcome import CallInDoubt
from airlock.run.live.call_messages import CallRequest, ChainRequest
from airlock.run.live.recovery import HistoryEvidence
from airlock.temporal.history import Unreadable
from tests.core.build import contract, step


async def looked(monkeypatch: pytest.MonkeyPatch, run_id: str, first: str, answer: Any) -> tuple[Any, Any, int]:
    """Return the guard's answer in run `r2` about a call that a run commanded, and how often it read histories."""
    asked = 0

    async def evidence(_request: ChainRequest) -> HistoryEvidence:
        nonlocal asked
        asked += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(recover, "_evidence", evidence)
    call = CallRequest(step=step("a"), contract=contract())
    chain = ChainRequest(plan_id="p-1", calls=(call,), run_id=run_id, first_run_id=first)
    env = ActivityEnvironment()
    env.info = replace(env.info, workflow_run_id="r2")

    async def look() -> tuple[Any, Any]:
        guard = EarlierRuns(chain)
        await guard.look(call)
        return await guard.look(call)

    made, known = await env.run(look)
    return made, known, asked


@pytest.mark.parametrize(("run_id", "first"), [("r2", "r2"), ("", "")])
async def test_a_run_that_was_not_reset_reads_nothing(monkeypatch, run_id, first):
    _, known, asked = await looked(monkeypatch, run_id, first, Unreadable("nobody may look"))
    assert (known, asked) == (None, 0)


@pytest.mark.parametrize(("run_id", "first"), [("r2", "r1"), ("r1", "r1"), ("r1", "r0")])
async def test_a_run_that_was_reset_reads_once(monkeypatch, run_id, first):
    made, known, asked = await looked(monkeypatch, run_id, first, HistoryEvidence())
    assert (made.step.id, known, asked) == ("a", None, 1)


async def test_nothing_is_made_where_histories_cannot_be_read(monkeypatch):
    _, known, asked = await looked(monkeypatch, "r2", "r1", Unreadable("its retention has passed"))
    assert isinstance(known, CallInDoubt)
    assert "nothing was called now: its retention has passed" in known.error
    assert (known.token_lost, asked) == (True, 2)
