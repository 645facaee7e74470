"""One agent of each framework, with the framework's own test model; and the same agents as programs that can be killed.

    python -m tests.adapters.agents FRAMEWORK BOOK FOLDER

A program keeps what it knows in FOLDER. Started once more, it continues, and prints the answers that its model got.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from airlock.adapters.agent_tools import AgentTools
from airlock.adapters.turns import Turns
from airlock.client import Airlock

ASKED = {"messages": [("user", "note milk")]}
THREAD = {"configurable": {"thread_id": "one"}}
Answers = list[tuple[bool, Any]]
"""Of each call: True if it is in effect, and what the model was told."""


def wishes(book: str) -> list[tuple[str, str, dict[str, str]]]:
    """Return the calls of the agent's one turn: id, name, arguments."""
    return [("a", "notes__read", {"book": book}), ("b", "notes__add", {"book": book, "line": "milk"})]


# pydantic-ai


def pydantic_agent(turns: Turns, book: str, *, inline: bool, rounds: int = 1, keep: Any = None) -> Any:
    from pydantic_ai import Agent, DeferredToolRequests
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

    from airlock.adapters.pydantic_ai import airlock_capability, airlock_toolset

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        described = {tool.name: tool.description or "" for tool in info.function_tools}
        assert described.keys() == {"notes__read", "notes__add"}
        assert '"number"' in described["notes__add"], "the schema of its output is told"
        if len(pydantic_answers(messages)) == 2 * rounds:
            return ModelResponse(parts=[TextPart("finished")])
        return ModelResponse(parts=[ToolCallPart(name, args, tool_call_id=id) for id, name, args in wishes(book)])

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        for index, part in enumerate(answer(messages, info).parts):
            if isinstance(part, TextPart):
                yield part.content[:3]
                yield part.content[3:]
            elif isinstance(part, ToolCallPart):
                yield {index: DeltaToolCall(part.tool_name, json.dumps(part.args), tool_call_id=part.tool_call_id)}

    capabilities = [airlock_capability(turns, keep=keep)] if inline else []
    output: Any = str if inline else [str, DeferredToolRequests]
    model = FunctionModel(answer, stream_function=stream)
    return Agent(model, output_type=output, toolsets=[airlock_toolset(turns.tools)], capabilities=capabilities)


def pydantic_answers(messages: Sequence[Any]) -> Answers:
    from pydantic_ai.messages import ToolReturnPart

    parts = [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
    return [(part.outcome == "success", part.content) for part in parts]


async def pydantic_program(turns: Turns, book: str, folder: Path) -> Answers:
    from pydantic import TypeAdapter
    from pydantic_ai import DeferredToolRequests
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    from airlock.adapters.pydantic_ai import airlock_results

    agent, kept = pydantic_agent(turns, book, inline=False), folder / "messages.json"
    asked = TypeAdapter(DeferredToolRequests)
    if not kept.exists():
        first = await agent.run("note milk")
        (folder / "requests.json").write_bytes(asked.dump_json(first.output))
        kept.write_bytes(first.all_messages_json())
    messages = ModelMessagesTypeAdapter.validate_json(kept.read_bytes())
    requests = asked.validate_json((folder / "requests.json").read_bytes())
    results = await airlock_results(turns, messages, requests)
    done = await agent.run(message_history=messages, deferred_tool_results=results)
    return pydantic_answers(done.all_messages())


async def pydantic_inline_program(turns: Turns, book: str, folder: Path) -> Answers:
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    kept = folder / "messages.json"

    async def keep(messages: str) -> None:
        kept.write_text(messages)

    stored = ModelMessagesTypeAdapter.validate_json(kept.read_bytes()) if kept.exists() else None
    agent = pydantic_agent(turns, book, inline=True, keep=keep)
    done = await agent.run(None if stored else "note milk", message_history=stored)
    return pydantic_answers(done.all_messages())


# LangChain


def langchain_agent(
    turns: Turns,
    book: str,
    *,
    pause: bool = False,
    saver: Any = None,
    tools: Sequence[Any] = (),
    resumed: bool = False,
    rounds: int = 1,
) -> Any:
    from langchain.agents import create_agent
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    from airlock.adapters.langchain import AirlockMiddleware

    class Scripted(GenericFakeChatModel):
        def bind_tools(self, given: Any, **more: Any) -> "Scripted":
            assert {"notes__read", "notes__add"} <= {each.name for each in given}
            return self

    def script() -> Iterator[AIMessage]:
        for _ in range(0 if resumed else rounds):
            calls = [{"id": id, "name": name, "args": args} for id, name, args in wishes(book)]
            calls += [{"id": each.name, "name": each.name, "args": {}} for each in tools]
            yield AIMessage("", tool_calls=calls)
        yield AIMessage("finished")

    middleware = [AirlockMiddleware(turns, pause=pause)]
    return create_agent(Scripted(messages=script()), tools=list(tools), middleware=middleware, checkpointer=saver)


def langchain_answers(result: dict[str, Any]) -> Answers:
    from langchain_core.messages import ToolMessage

    messages = [message for message in result["messages"] if isinstance(message, ToolMessage)]
    read = {True: json.loads, False: str}
    return [(said := message.status == "success", read[said](message.content)) for message in messages]


async def langchain_program(turns: Turns, book: str, folder: Path, *, pause: bool = False) -> Answers:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.types import Command

    async with AsyncSqliteSaver.from_conn_string(str(folder / "graph.sqlite")) as saver:
        resumed = await saver.aget_tuple(THREAD) is not None
        agent = langchain_agent(turns, book, pause=pause, saver=saver, resumed=resumed)
        given = (Command(resume=True) if pause else None) if resumed else ASKED
        return langchain_answers(await agent.ainvoke(given, THREAD))


async def langgraph_program(turns: Turns, book: str, folder: Path) -> Answers:
    return await langchain_program(turns, book, folder, pause=True)


# OpenAI Agents SDK


def openai_agent(turns: Turns, book: str, *, tools: Sequence[Any] = (), resumed: bool = False, rounds: int = 1) -> Any:
    from agents import Agent
    from agents.testing import ScriptedModel, assistant_message, function_call

    from airlock.adapters.openai_agents import AirlockRunner

    runner = AirlockRunner(turns)
    script: list[Any] = []
    for number in range(0 if resumed else rounds):  # the SDK takes an id that comes again for the same call
        calls = [function_call(name, args, call_id=f"{id}{number}") for id, name, args in wishes(book)]
        script.append(calls + [function_call(each.name, {}, call_id=each.name) for each in tools])
    script.append([assistant_message("finished")])
    return runner, Agent(name="clerk", model=ScriptedModel(script), tools=[*runner.tools(), *tools])


def openai_answers(result: Any) -> Answers:
    told = {item.raw_item["call_id"]: item.output for item in result.new_items if item.type == "tool_call_output_item"}
    return [(said := told[id].startswith(("{", '"')), json.loads(told[id]) if said else told[id]) for id in sorted(told)]


async def openai_program(turns: Turns, book: str, folder: Path) -> Answers:
    from agents import RunConfig, RunState

    kept = folder / "state.json"

    async def keep(state: str) -> None:
        kept.write_text(state)

    runner, agent = openai_agent(turns, book, resumed=kept.exists())
    given = await RunState.from_string(agent, kept.read_text()) if kept.exists() else "note milk"
    quiet = RunConfig(tracing_disabled=True)
    return openai_answers(await runner.run(agent, given, run_id=book, keep=keep, run_config=quiet))


PROGRAMS = {
    "pydantic_ai": pydantic_program,
    "pydantic_ai_inline": pydantic_inline_program,
    "langchain": langchain_program,
    "langgraph_paused": langgraph_program,
    "openai_agents": openai_program,
}


async def main(framework: str, book: str, folder: Path) -> None:
    tools = AgentTools(folder / "tools.json", agent="clerk", requested_by="rita", goal=f"Notes in {book}")
    answers = await PROGRAMS[framework](Turns(await Airlock.connect(), tools), book, folder)
    print("ANSWERS", json.dumps(answers), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
