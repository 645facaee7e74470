"""LangChain's agent with a scripted model: one turn is one plan, waited for in the graph or across an interrupt."""

from pathlib import Path
from typing import Any

from langchain_core.tools import tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

from tests.adapters.agents import ASKED, THREAD, langchain_agent, langchain_answers
from tests.adapters.conftest import DENIED, DONE, Office, together


@tool
def clock() -> str:
    """Return the time."""
    return '"noon"'


async def test_an_approved_turn_is_in_effect_and_other_tools_are_left_to_the_graph(desk: Office) -> None:
    book = desk.book()
    agent = langchain_agent(desk.turns(book), book, tools=[clock])
    result, _ = await together(agent.ainvoke(ASKED), desk.decide(book, "approve"))
    assert langchain_answers(result) == [*DONE, (True, "noon")]
    assert result["messages"][-1].content == "finished"
    assert desk.lines(book) == ["milk"]


async def test_a_denied_turn_has_no_effect_but_its_reads_are_answered(desk: Office) -> None:
    book = desk.book()
    agent = langchain_agent(desk.turns(book), book)
    result, _ = await together(agent.ainvoke(ASKED), desk.decide(book, "deny", reason="we have milk"))
    assert langchain_answers(result) == DENIED
    assert desk.lines(book) == []


async def test_a_paused_graph_resumes_when_the_plan_has_ended_and_repeats_nothing(desk: Office, tmp_path: Path) -> None:
    book = desk.book()
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "graph.sqlite")) as saver:
        agent = langchain_agent(desk.turns(book), book, pause=True, saver=saver)
        paused = await agent.ainvoke(ASKED, THREAD)
        (interrupted,) = paused["__interrupt__"]
        early = await agent.ainvoke(Command(resume=True), THREAD)
        assert early["__interrupt__"][0].value == interrupted.value
        plan_id = await desk.decide(book, "approve")
        assert interrupted.value == {"type": "airlock_plan", "plan_id": plan_id}
        await desk.airlock.plan(plan_id).result()
        result = await agent.ainvoke(Command(resume=True), THREAD)
    assert langchain_answers(result) == DONE
    assert desk.lines(book) == ["milk"]
    assert await desk.plans_of(book) == [plan_id]


async def test_a_streamed_graph_pauses_and_its_resumption_repeats_nothing(desk: Office, tmp_path: Path) -> None:
    book = desk.book()
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "graph.sqlite")) as saver:
        agent = langchain_agent(desk.turns(book), book, pause=True, saver=saver)

        async def streamed(given: Any) -> list[str]:
            return [name async for update in agent.astream(given, THREAD, stream_mode="updates") for name in update]

        assert (await streamed(ASKED))[-1] == "__interrupt__"
        assert await streamed(Command(resume=True)) == ["__interrupt__"]
        plan_id = await desk.decide(book, "approve")
        await desk.airlock.plan(plan_id).result()
        assert await streamed(Command(resume=True)) == [
            "AirlockMiddleware.after_model",
            "model",
            "AirlockMiddleware.after_model",
        ]
        state = (await agent.aget_state(THREAD)).values
    assert langchain_answers(state) == DONE
    assert desk.lines(book) == ["milk"]
    assert await desk.plans_of(book) == [plan_id]


async def test_a_streamed_graph_waits_inside(desk: Office) -> None:
    book = desk.book()
    agent = langchain_agent(desk.turns(book), book)

    async def streamed() -> list[Any]:
        return [state async for state in agent.astream(ASKED, stream_mode="values")]

    states, _ = await together(streamed(), desk.decide(book, "approve"))
    assert [state["messages"][-1].type for state in states] == ["human", "ai", "tool", "ai"]
    assert langchain_answers(states[-1]) == DONE
    assert desk.lines(book) == ["milk"]
    assert len(await desk.plans_of(book)) == 1
