"""The agents of examples/agents, as programs beside a real worker under the project's own airlock.toml."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from airlock.client import Airlock
from airlock.plans.state import State
from airlock.tools.operator_file import CONFIG_VARIABLE
from devtools.environment import ROOT, Environment, environment
from tests.docs.fences import fences, lines
from tests.docs.installed import command_folders
from tests.processes.harness import Process, until

EXAMPLES = sorted((ROOT / "examples" / "agents").glob("*.py"))
WRITTEN = {
    "clerk_pydantic_ai": "pydantic-ai.md",
    "clerk_langchain": "langchain.md",
    "clerk_openai_agents": "openai-agents.md",
    "clerk_temporal": "temporal.md",
}


GUIDE = ROOT / "docs" / "guides" / "agents.md"


def test_the_guide_shows_what_the_examples_do() -> None:
    sources = [path.read_text() for path in EXAMPLES]
    blocks = fences("python", paths=[GUIDE, ROOT / "README.md"])
    shown = [block for block in blocks if block.path == GUIDE or "airlock_toolset" in block.text]
    assert len(shown) == 6
    for block in shown:
        assert any(block.text in source for source in sources), f"{block} is in no example"


def test_the_guide_names_every_example_and_the_versions_that_are_installed() -> None:
    run = [line for block in fences("sh", paths=[GUIDE]) for line in lines(block) if line.startswith("python ")]
    assert sorted(run) == [f"python {path.relative_to(ROOT).as_posix()}" for path in EXAMPLES]
    for package in ("pydantic-ai-slim", "langchain", "langgraph", "openai-agents", "temporalio"):
        assert f"{package} {'.'.join(version(package).split('.')[:2])}" in GUIDE.read_text()


@pytest.fixture(scope="module")
async def env(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    async with environment(tmp_path_factory.mktemp("agents") / "env") as running:
        (line,) = [line for block in fences("sh", paths=[GUIDE]) for line in lines(block) if "tools --json" in line]
        variables = {**running.cli_environment, "PYTHONPATH": str(ROOT), CONFIG_VARIABLE: str(ROOT / "airlock.toml")}
        variables["PATH"] = os.pathsep.join([*command_folders(), variables["PATH"]])
        command = ["bash", "-euo", "pipefail", "-c", line]
        await asyncio.to_thread(
            subprocess.run, command, cwd=running.folder, env=variables, check=True, timeout=120, stdin=subprocess.DEVNULL
        )
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
async def test_an_example_does_its_work_once_it_is_approved(env: Environment, tmp_path: Path, path: Path) -> None:
    airlock = Airlock(env.client)
    known = {plan.plan_id for plan in await airlock.plans()}
    variables = {
        **env.cli_environment,
        "AIRLOCK_TOOLS": str(env.folder / ".airlock" / "tools.json"),
        "AGENT_STATE": str(tmp_path / "state"),
        "PYTHONPATH": str(ROOT),
    }

    def start(log: str) -> Process:
        return Process([sys.executable, str(path)], tmp_path / log, variables, cwd=ROOT)

    async def waiting() -> str:
        assert agent.running or "waiting for plan" in agent.said(), agent.said()
        plans = [plan for plan in await airlock.plans() if plan.state == State.AWAITING_APPROVAL]
        return next((plan.plan_id for plan in plans if plan.plan_id not in known), "")

    agent = start("first.log")
    handle = airlock.plan(await until(waiting, "no plan waits"))
    written = env.work_folder / "agents" / WRITTEN[path.stem]
    assert not written.exists()
    preview = await handle.preview()
    assert (await handle.decide("approve", by="alice", digest=preview.digest)).accepted
    assert (await handle.result()).outcome == "completed"
    await until(lambda: not agent.running, "the example does not end")
    if "waiting for plan" in agent.said():
        agent = start("second.log")
        await until(lambda: not agent.running, "the example does not end")
    assert "Traceback" not in agent.said(), agent.said()
    assert "ACME" in agent.said() or "acme" in agent.said(), agent.said()
    assert written.read_text() == "ACME pays in 30 days.\n"


@pytest.mark.slow
async def test_an_example_that_was_killed_before_its_model_spoke_proposes(env: Environment, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with AsyncSqliteSaver.from_conn_string(str(state)) as saver:
        agent = create_agent(GenericFakeChatModel(messages=_killed()), checkpointer=saver)
        with pytest.raises(RuntimeError, match="killed"):
            await agent.ainvoke({"messages": [("user", "Look up how ACME pays.")]}, {"configurable": {"thread_id": "acme"}})
    variables = {
        **env.cli_environment,
        "AIRLOCK_TOOLS": str(env.folder / ".airlock" / "tools.json"),
        "AGENT_STATE": str(state),
        "PYTHONPATH": str(ROOT),
    }
    script = str(ROOT / "examples" / "agents" / "clerk_langchain.py")
    again = Process([sys.executable, script], tmp_path / "again.log", variables, cwd=ROOT)
    await until(lambda: not again.running, "the example does not end")
    assert "waiting for plan" in again.said(), again.said()


def _killed() -> Iterator[AIMessage]:
    raise RuntimeError("killed")
    yield AIMessage("")
