"""pydantic-ai with its own function model: one turn is one plan, waited for in the run or answered from stored messages."""

from typing import Any

import pytest
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessagesTypeAdapter

from airlock.adapters.pydantic_ai import airlock_results
from airlock.adapters.turns import Turns
from tests.adapters.agents import pydantic_agent, pydantic_answers
from tests.adapters.conftest import DENIED, DONE, Office, together


async def test_an_approved_turn_is_in_effect_and_the_model_gets_the_outputs(desk: Office) -> None:
    book = desk.book()
    agent = pydantic_agent(desk.turns(book), book, inline=True)
    result, _ = await together(agent.run("note milk"), desk.decide(book, "approve"))
    assert pydantic_answers(result.all_messages()) == DONE
    assert result.output == "finished"
    assert desk.lines(book) == ["milk"]
    assert len(await desk.plans_of(book)) == 1


async def test_a_denied_turn_has_no_effect_but_its_reads_are_answered(desk: Office) -> None:
    book = desk.book()
    agent = pydantic_agent(desk.turns(book), book, inline=True)
    result, _ = await together(agent.run("note milk"), desk.decide(book, "deny", reason="we have milk"))
    assert pydantic_answers(result.all_messages()) == DENIED
    assert desk.lines(book) == []


async def test_requests_are_answered_from_the_messages_as_often_as_one_likes(desk: Office) -> None:
    book = desk.book()
    turns: Turns = desk.turns(book)
    agent = pydantic_agent(turns, book, inline=False)
    first = await agent.run("note milk")
    requests, messages = first.output, first.all_messages()
    answered, _ = await together(airlock_results(turns, messages, requests), desk.decide(book, "approve"))
    assert await airlock_results(turns, messages, requests) == answered
    result = await agent.run(message_history=messages, deferred_tool_results=answered)
    assert pydantic_answers(result.all_messages()) == DONE
    assert desk.lines(book) == ["milk"]
    assert len(await desk.plans_of(book)) == 1


async def test_a_streamed_run_waits_for_its_plan_inside_the_run(desk: Office) -> None:
    book = desk.book()
    agent = pydantic_agent(desk.turns(book), book, inline=True)

    async def streamed() -> list[Any]:
        async with agent.run_stream_events("note milk") as events:
            return [event async for event in events]

    events, _ = await together(streamed(), desk.decide(book, "approve"))
    kinds = [event.event_kind for event in events]
    assert kinds.index("function_tool_call") < kinds.index("function_tool_result")
    assert kinds[-1] == "agent_run_result"
    assert pydantic_answers(events[-1].result.all_messages()) == DONE
    assert desk.lines(book) == ["milk"]
    assert len(await desk.plans_of(book)) == 1


async def test_run_stream_takes_the_calls_for_its_end_and_proposes_nothing(desk: Office) -> None:
    book = desk.book()
    agent = pydantic_agent(desk.turns(book), book, inline=True)
    async with agent.run_stream("note milk") as stream:
        with pytest.raises(UserError, match="DeferredToolRequests"):
            await stream.get_output()
    assert await desk.plans_of(book) == []


async def test_a_run_that_is_iterated_waits_for_its_plan_between_two_nodes(desk: Office) -> None:
    book = desk.book()
    agent = pydantic_agent(desk.turns(book), book, inline=True)

    async def iterated() -> tuple[list[str], Any]:
        async with agent.iter("note milk") as run:
            nodes = [type(node).__name__ async for node in run]
        return nodes, run.result.all_messages()

    (nodes, messages), _ = await together(iterated(), desk.decide(book, "approve"))
    assert nodes.count("CallToolsNode") == 2
    assert pydantic_answers(messages) == DONE
    assert len(await desk.plans_of(book)) == 1


async def test_a_streamed_run_that_is_continued_elsewhere_repeats_nothing(desk: Office) -> None:
    book = desk.book()
    turns: Turns = desk.turns(book)
    agent = pydantic_agent(turns, book, inline=False)
    async with agent.run_stream("note milk") as stream:
        requests = await stream.get_output()
        messages = ModelMessagesTypeAdapter.validate_json(stream.all_messages_json())
    answered, _ = await together(airlock_results(turns, messages, requests), desk.decide(book, "approve"))
    assert await airlock_results(turns, messages, requests) == answered
    for _ in range(2):
        async with agent.run_stream(message_history=messages, deferred_tool_results=answered) as stream:
            assert await stream.get_output() == "finished"
            assert pydantic_answers(stream.all_messages()) == DONE
    assert desk.lines(book) == ["milk"]
    assert len(await desk.plans_of(book)) == 1
