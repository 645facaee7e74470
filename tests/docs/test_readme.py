"""Every command of the README, run in its order against a real environment; and the lines of Python."""

import asyncio
import os
import subprocess
import sys

import pytest

from devtools.environment import environment
from tests.docs.fences import ROOT, fences, lines
from tests.docs.installed import command_folders

README = [ROOT / "README.md"]
OUTSIDE = ("make ", ". .venv/bin/activate")
"""Run by other tests (make), or of no use in a shell of its own (activate)."""


def blocks() -> list[str]:
    return [fence.text for fence in fences("sh", paths=README) if not all(line.startswith(OUTSIDE) for line in lines(fence))]


def offline() -> list[str]:
    found = [line for fence in fences("sh") for line in lines(fence)]
    return sorted({line for line in found if line.startswith(("airlock check", "airlock tools"))})


def shell(script: str, variables: dict[str, str]) -> str:
    """Run a block as a person would, with the commands of the environment on the path, and return what it said."""
    path = os.pathsep.join([*command_folders(), variables["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env={**variables, "PATH": path}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("line", offline())
def test_commands_that_need_no_server(line):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRLOCK_", "TEMPORAL_"))}
    assert shell(line, {**clean, "TEMPORAL_ADDRESS": "127.0.0.1:1"})


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_every_command_in_its_order(tmp_path):
    found = blocks()
    assert len(found) == 8
    async with environment(tmp_path / "env") as env:

        async def run(script: str) -> str:
            return await asyncio.to_thread(shell, script, env.cli_environment)

        # without a terminal `approve` wants a digest: the command for the Temporal CLI, the next block, approves instead
        asks = "airlock approve onboard-acme-001 --by alice\n"
        assert asks in found[1]
        said = [await run(script.replace(asks, "")) for script in found[:3]]
        assert "0 errors" in said[0]
        assert "Digest:" in said[1]
        await run("airlock watch onboard-acme-001")
        assert "completed" in await run("airlock list --json")
        said = [await run(script) for script in found[3:]]
        assert "unlock accepted" in said[0]
        assert "rollback accepted" in said[2]
        assert "health" in said[3].lower()
        assert "http_request" in said[4]


@pytest.mark.slow
async def test_the_python_door(tmp_path):
    (snippet,) = [fence.text for fence in fences("python", paths=README) if "Airlock.connect" in fence.text]
    body = snippet.replace("print(status.state, status.waits_for)", "await seen(run, status)").rstrip()
    program = "\n".join(
        [
            "import asyncio",
            "from airlock import Airlock",
            "async def seen(run, status):",
            "    print(status.state, status.waits_for)",
            "    if status.digest and status.state == 'AWAITING_APPROVAL':",
            "        print(await run.decide('approve', by='alice', digest=status.digest))",
            "async def main():",
            *(f"    {line}" for line in body.splitlines()),
            "asyncio.run(main())",
        ]
    )
    async with environment(tmp_path / "env") as env:
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program], cwd=ROOT, env=env.cli_environment, capture_output=True,
            text=True, timeout=240, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("completed")
