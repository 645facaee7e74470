"""An agent's process is killed while its plan waits. A new process continues, and the call is made once."""

import json
from pathlib import Path

import pytest

from airlock.plans.tool_document import catalogue_document
from tests.adapters.agents import PROGRAMS
from tests.adapters.conftest import DONE, Office
from tests.processes.harness import until

PAUSED = ("langgraph_paused",)
"""Programs that end by themselves while the plan waits."""


@pytest.mark.slow
@pytest.mark.parametrize("framework", PROGRAMS)
async def test_another_process_continues_and_the_call_is_made_once(desk: Office, tmp_path: Path, framework: str) -> None:
    book = desk.book()
    (tmp_path / "tools.json").write_text(json.dumps(catalogue_document(desk.catalogue)))
    started = ["tests.adapters.agents", framework, book, str(tmp_path)]
    first = desk.agent_process(*started, log=tmp_path / "first.log")
    plan = await desk.waiting(book)
    if framework in PAUSED:
        await until(lambda: not first.running, "the first process does not end")
    else:
        assert first.running, first.said()
    first.kill()
    assert desk.lines(book) == []

    second = desk.agent_process(*started, log=tmp_path / "second.log")
    if framework in PAUSED:  # too early: it pauses again
        await until(lambda: not second.running, "the second process does not end")
        assert "ANSWERS []" in second.said()
    await desk.decide(book, "approve")
    assert (await plan.result()).live == ("1-notes__read", "2-notes__add")
    if framework in PAUSED:
        second = desk.agent_process(*started, log=tmp_path / "third.log")
    await until(lambda: not second.running, "the last process does not end")
    (answers,) = [line for line in second.said().splitlines() if line.startswith("ANSWERS ")]
    assert [tuple(answer) for answer in json.loads(answers.removeprefix("ANSWERS "))] == DONE
    assert desk.lines(book) == ["milk"]
    assert await desk.plans_of(book) == [plan.plan_id]
