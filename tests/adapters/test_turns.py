"""The ends that a turn may have, on a real server with real files."""

from dataclasses import replace
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from airlock.adapters import turns as turns_module
from airlock.adapters.agent_tools import AgentCall, Answer
from airlock.adapters.turns import StillOpen, Turn
from airlock.client.errors import NoAnswer, PlanConflict
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import PlanResult, StepView
from tests.adapters.conftest import Office, together

STOP = "Do not repeat the call unless the user asks."


def read(book: str) -> AgentCall:
    return AgentCall("read", "notes__read", {"book": book})


def add(book: str, line: str) -> AgentCall:
    return AgentCall(line, "notes__add", {"book": book, "line": line})


def told(answers: dict[str, Answer]) -> list[tuple[bool, str]]:
    return [(answer.in_effect, answer.text) for answer in answers.values()]


async def test_problems_that_only_a_worker_sees_reach_the_model(desk: Office) -> None:
    book = desk.book()
    wrong = AgentCall("wrong", "notes__add", {"book": book, "text": "milk"})
    (ok, said), (other, _) = told(await desk.turns(book).answers([book], [wrong, add(book, "tea")]))
    assert (ok, other) == (False, False)
    assert said.startswith("Refused: no call of this turn was made. steps.1-notes__add.args")
    assert "'line'" in said
    assert said.endswith("Correct the call before you make it again, or tell the user.")
    assert desk.lines(book) == []


async def test_a_turn_that_is_no_plan_starts_nothing(desk: Office) -> None:
    book = desk.book()
    (answer,) = told(await desk.turns(book).answers([book], [AgentCall("a", "notes__add", '{"book": ')]))
    assert answer[1].startswith("Refused: no call of this turn was made. steps.1-notes__add.args: is not a JSON object")
    assert await desk.plans_of(book) == []


async def test_reads_alone_wait_for_nobody(desk: Office) -> None:
    book = desk.book()
    assert told(await desk.turns(book).answers([book], [read(book)])) == [(True, '{"lines": []}')]


async def test_what_was_done_before_a_failure_is_undone_and_the_read_keeps_its_answer(desk: Office) -> None:
    book = desk.book()
    calls = [read(book), add(book, "milk"), add(book, "torn")]
    answers, _ = await together(desk.turns(book).answers([book], calls), desk.decide(book, "approve"))
    looked, milk, torn = told(answers)
    assert looked == (True, '{"lines": []}')
    assert milk[1].startswith("Not in effect any more (undone): the call was made, and compensated. The plan ended aborted")
    assert torn[1].startswith('Not in effect (failed: "the page is torn')
    assert milk[1].endswith(STOP)
    assert torn[1].endswith(STOP)
    assert desk.lines(book) == []


async def test_a_part_that_was_approved_is_in_effect_and_the_rest_is_not(desk: Office) -> None:
    book = desk.book()
    calls = [add(book, "milk"), add(book, "tea")]
    approve = desk.decide(book, "approve", steps=["1-notes__add"])
    answers, _ = await together(desk.turns(book).answers([book], calls), approve)
    milk, (ok, tea) = told(answers)
    assert milk == (True, '{"number": 1}')
    assert (ok, tea.startswith("Not in effect (not_called"), "The plan ended partial: " in tea) == (False, True, True)
    assert desk.lines(book) == ["milk"]


async def test_patience_has_an_end_and_the_same_turn_finds_its_plan(desk: Office) -> None:
    book = desk.book()
    with pytest.raises(StillOpen) as open_still:
        await desk.turns(book, patience=0.05).answers([book], [add(book, "milk")])
    plan_id = await desk.decide(book, "approve")
    assert open_still.value.plan_id == plan_id
    assert told(await desk.turns(book).answers([book], [add(book, "milk")])) == [(True, '{"number": 1}')]
    assert desk.lines(book) == ["milk"]
    assert await desk.plans_of(book) == [plan_id]


async def test_a_plan_that_could_not_be_rehearsed_is_not_started_once_more(desk: Office) -> None:
    book = desk.book()
    calls = [add(book, "unwritable")]
    first = await desk.turns(book).answers([book], calls)
    (plan_id,) = await desk.plans_of(book)
    run = (await desk.airlock.plan(plan_id).facts()).summary.run_id
    assert await desk.turns(book).answers([book], calls) == first
    assert (await desk.airlock.plan(plan_id).facts()).summary.run_id == run
    ((_, said),) = told(first)
    assert "its dry run failed: the book takes no such line" in said
    assert said.endswith("Correct the call before you make it again, or tell the user.")


async def test_a_plan_that_was_terminated_is_called_unknown(desk: Office) -> None:
    book = desk.book()

    async def terminate() -> None:
        await (await desk.waiting(book)).workflow.terminate("a test")

    answers, _ = await together(desk.turns(book).answers([book], [add(book, "milk")]), terminate())
    ((ok, said),) = told(answers)
    assert (ok, said.startswith("Not known: the call may be in effect."), said.endswith(STOP)) == (False, True, True)


async def test_a_turn_with_other_content_is_an_error_of_the_program(desk: Office) -> None:
    book = desk.book()
    await desk.turns(book).propose([book], [add(book, "milk")])
    with pytest.raises(PlanConflict):
        await desk.turns(book).propose([book], [replace(add(book, "milk"), args={"book": book, "line": "tea"})])
    await desk.decide(book, "deny", reason="we have milk")


class Away:
    """A plan whose server is away when it is asked, so many times."""

    plan_id = "turn-1"

    def __init__(self, times: int, status: RPCStatusCode) -> None:
        self.left, self.status = times, status

    async def result(self) -> PlanResult:
        self.left -= 1
        if self.left >= 0:
            raise NoAnswer("no worker answered") from RPCError("away", self.status, b"")
        step = StepView(id="1-notes__add", agent="clerk", tool="notes.add", status="live")
        return PlanResult(
            plan_id="turn-1", outcome=Outcome.COMPLETED, state=State.COMPLETED, why="", digest="d", steps=(step,),
            live=(step.id,), undone=(), kept=(), not_settled=(), outputs={step.id: "ok"},
        )  # fmt: skip


async def test_a_server_that_is_away_for_a_while_is_waited_for(desk: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PAUSE", 0.0)
    away: Any = Away(3, RPCStatusCode.UNAVAILABLE)
    assert told(await Turn(desk.tools(), [add("b", "milk")], away).answers(30)) == [(True, '"ok"')]
    forbidden: Any = Away(1, RPCStatusCode.PERMISSION_DENIED)
    with pytest.raises(NoAnswer):
        await Turn(desk.tools(), [add("b", "milk")], forbidden).answers(30)
