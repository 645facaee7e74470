"""The OpenAI Agents SDK with its own scripted model: one turn is one plan, and its state goes through JSON."""

from typing import Any

from agents import RunConfig, RunState, function_tool

from airlock.adapters.openai_streams import run_streamed
from tests.adapters.agents import openai_agent, openai_answers
from tests.adapters.conftest import DENIED, DONE, Office, together

QUIET = RunConfig(tracing_disabled=True)


@function_tool(needs_approval=True)
def zeta() -> str:
    """Return a letter."""
    return '"zeta"'


async def test_a_denied_turn_has_no_effect_but_its_reads_are_answered(desk: Office) -> None:
    book = desk.book()
    runner, agent = openai_agent(desk.turns(book), book)
    run = runner.run(agent, "note milk", run_id=book, run_config=QUIET)
    result, _ = await together(run, desk.decide(book, "deny", reason="we have milk"))
    assert openai_answers(result) == DENIED
    assert desk.lines(book) == []


async def test_a_state_that_went_through_json_finds_the_same_plan(desk: Office) -> None:
    book = desk.book()
    kept: list[str] = []

    async def keep(state: str) -> None:
        kept.append(state)

    runner, agent = openai_agent(desk.turns(book), book)
    run = runner.run(agent, "note milk", run_id=book, keep=keep, run_config=QUIET)
    result, _ = await together(run, desk.decide(book, "approve"))
    assert openai_answers(result) == DONE
    assert result.final_output == "finished"
    runner, agent = openai_agent(desk.turns(book), book, resumed=True)
    state = await RunState.from_string(agent, kept[0])
    assert openai_answers(await runner.run(agent, state, run_id=book, run_config=QUIET)) == DONE
    assert desk.lines(book) == ["milk"]
    assert len(await desk.plans_of(book)) == 1


async def test_a_tool_that_a_person_must_approve_elsewhere_stays_an_interruption(desk: Office) -> None:
    book = desk.book()
    runner, agent = openai_agent(desk.turns(book), book, tools=[zeta])
    run = runner.run(agent, "note milk", run_id=book, run_config=QUIET)
    result, _ = await together(run, desk.decide(book, "approve"))
    (left,) = result.interruptions
    assert left.name == "zeta"
    state = result.to_state()
    state.approve(left)
    result = await runner.run(agent, state, run_id=book, run_config=QUIET)
    assert openai_answers(result) == [*DONE, (True, "zeta")]
    assert desk.lines(book) == ["milk"]


async def test_a_streamed_run_tells_its_events_and_its_resumption_repeats_nothing(desk: Office) -> None:
    book = desk.book()
    kept: list[str] = []

    async def keep(state: str) -> None:
        kept.append(state)

    async def streamed(given: Any, *, resumed: bool = False) -> tuple[list[str], Any]:
        runner, agent = openai_agent(desk.turns(book), book, resumed=resumed)
        told, stretch = [], None
        async for stretch in run_streamed(runner, agent, given, run_id=book, keep=keep, run_config=QUIET):
            told += [event.name async for event in stretch.stream_events() if event.type == "run_item_stream_event"]
        return told, stretch

    (told, result), _ = await together(streamed("note milk"), desk.decide(book, "approve"))
    assert openai_answers(result) == DONE
    assert result.final_output == "finished"
    assert told.index("tool_called") < told.index("tool_output") < told.index("message_output_created")
    _, agent = openai_agent(desk.turns(book), book, resumed=True)
    again = await RunState.from_string(agent, kept[0])
    _, result = await streamed(again, resumed=True)
    assert openai_answers(result) == DONE
    assert desk.lines(book) == ["milk"]
    assert len(await desk.plans_of(book)) == 1


async def test_a_streamed_run_and_one_that_is_not_make_the_same_plan(desk: Office) -> None:
    book = desk.book()
    runner, agent = openai_agent(desk.turns(book), book)
    run = runner.run(agent, "note milk", run_id=book, run_config=QUIET)
    await together(run, desk.decide(book, "deny", reason="we have milk"))
    runner, agent = openai_agent(desk.turns(book), book)
    stretches = [each async for each in run_streamed(runner, agent, "note milk", run_id=book, run_config=QUIET)]
    assert openai_answers(stretches[-1]) == DENIED
    assert len(stretches) == 2
    assert len(await desk.plans_of(book)) == 1
