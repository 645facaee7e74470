"""A server over streamable HTTP: its headers hold secrets, and nothing of them is told."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError, InDoubt, ToolFailed
from airlock.tools.loader import load_catalogue
from tests.mcp.attached import NOTES, ODD, attached, pinned
from tests.processes.harness import free_port

TOKEN = "a-token-that-must-not-be-told"


@asynccontextmanager
async def odd_over_http(folder: Path, port: int) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, str(ODD), str(folder), str(port)])
    try:
        deadline = time.monotonic() + 60
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                with suppress(httpx.TransportError):
                    await client.get(f"http://127.0.0.1:{port}/mcp")
                    break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait(10)


def section(port: int, *, pins: bool = True, tools: str = NOTES) -> str:
    more = f"definitions = {str(pinned())!r}" if pins else ""
    headers = 'headers = { Authorization = { "$secret" = "odd" } }'
    return f'[catalogue]\nmodules = []\n[mcp.odd]\nurl = "http://127.0.0.1:{port}/mcp"\n{headers}\n{more}\n{tools}'


async def test_a_server_over_http_lives_dies_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_SECRET_ODD", TOKEN)
    secrets, port = {"AIRLOCK_SECRET_ODD": TOKEN}, free_port()
    die = '[mcp.odd.tools.die]\nrisk = "MEDIUM"\nreversibility = "irreversible"\n'
    async with attached(section(port, tools=NOTES + die), secrets) as server:
        with pytest.raises(ToolFailed, match="cannot be reached") as failed:
            await server.run("odd.write_note", name="a", text="early")
        assert failed.value.retry
        async with odd_over_http(tmp_path, port) as process:
            asked = load_catalogue(parse_config(section(port, pins=False), {}))
            assert asked.contract("odd.read_note").definition == server.catalogue.contract("odd.read_note").definition
            await server.run("odd.write_note", name="a", text="first")
            slow = asyncio.create_task(server.run("odd.slow", seconds=60, tag="x"))
            async with asyncio.timeout(30):
                while not (tmp_path / "calls.log").read_text().endswith("begin x\n"):  # noqa: ASYNC110  # of another process
                    await asyncio.sleep(0.02)
            process.kill()
            with pytest.raises(InDoubt):
                await slow
        with pytest.raises(ToolFailed, match="cannot be reached"):
            await server.run("odd.write_note", name="a", text="between")
        async with odd_over_http(tmp_path, port):
            await server.run("odd.write_note", name="a", text="second")
    assert (tmp_path / "a.note").read_text() == "second"


async def test_no_secret_of_a_header_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with pytest.raises(ConfigError, match="no secret 'odd'"):
        load_catalogue(parse_config(section(port, pins=False), {}))
    monkeypatch.setenv("AIRLOCK_SECRET_ODD", f"{TOKEN}\nx")  # no header can hold it
    with pytest.raises(ConfigError) as error:
        load_catalogue(parse_config(section(port, pins=False), {}))
    assert TOKEN not in str(error.value)
