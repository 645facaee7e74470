"""pydantic-ai with its own function model: one turn is one plan, waited for in the run or answered from stored messages."""

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
