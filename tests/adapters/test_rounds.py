"""Each turn is a plan of its own, also where a model gives the calls of every turn the same ids, as some do."""

from collections.abc import Awaitable
from typing import Any

import pytest
from agents import RunConfig

from tests.adapters.agents import ASKED, langchain_agent, openai_agent, pydantic_agent
from tests.adapters.conftest import Office, together


def pydantic(desk: Office, book: str) -> Awaitable[Any]:
    return pydantic_agent(desk.turns(book), book, inline=True, rounds=2).run("note milk twice")


def langchain(desk: Office, book: str) -> Awaitable[Any]:
    return langchain_agent(desk.turns(book), book, rounds=2).ainvoke(ASKED)


def openai(desk: Office, book: str) -> Awaitable[Any]:
    runner, agent = openai_agent(desk.turns(book), book, rounds=2)
    return runner.run(agent, "note milk twice", run_id=book, run_config=RunConfig(tracing_disabled=True))


@pytest.mark.parametrize("begin", [pydantic, langchain, openai])
async def test_a_second_turn_with_the_same_calls_is_a_second_plan(desk: Office, begin: Any) -> None:
    book = desk.book()

    async def approve_both() -> None:
        first = await desk.decide(book, "approve")
        await desk.airlock.plan(first).result()
        assert await desk.decide(book, "approve") != first

    await together(begin(desk, book), approve_both())
    assert desk.lines(book) == ["milk", "milk"]
    assert len(await desk.plans_of(book)) == 2
