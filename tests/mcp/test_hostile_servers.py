"""Servers that are slow, stubborn or malicious, and what they cannot do here."""

import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from airlock.activities.functions.secrets import Secrets
from airlock.base.errors import InDoubt, ToolFailed
from airlock.tools.mcp import connection, statuses
from airlock.tools.mcp.child import error_log
from airlock.tools.rated.definitions import Definition, changes, definitions_of, definitions_text
from tests.mcp.attached import attached

RAW = Path(__file__).with_name("raw_server.py")
ROOT = Path(__file__).parents[2]
WORKER = """
import asyncio, pathlib, sys
from tests.mcp.attached import attached

async def call():
    async with attached(pathlib.Path(sys.argv[1], "airlock.toml").read_text()) as server:
        await server.run("raw.write", tag="busy")

asyncio.run(call())
"""
"""A worker in the middle of a call."""
SCHEMA = {"type": "object", "properties": {"tag": {"type": "string"}}}
DEFINITIONS = [Definition(name=name, description=f"To {name}.", input_schema=SCHEMA) for name in ("read", "write")]
READS = '[mcp.raw.tools.read]\nrisk = "LOW"\nreversibility = "read_only"\n'


def raw(folder: Path, kind: str = "usual", more: str = "", tools: str = READS) -> str:
    """Return an `airlock.toml` that attaches the raw server."""
    pins = folder / "pins.json"
    pins.write_text(definitions_text(definitions_of(DEFINITIONS)))
    return f"""
[catalogue]
modules = []
[mcp.raw]
command = {sys.executable!r}
args = [{str(RAW)!r}, {str(folder)!r}, {kind!r}]
definitions = {str(pins)!r}
{more}
{tools}
"""


async def begun(folder: Path, tag: str) -> None:
    async with asyncio.timeout(30):
        while not (folder / f"{tag}.begun").exists():  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.02)


async def test_a_busy_server_is_not_closed_under_a_call_of_another_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with attached(raw(tmp_path)) as server:
        await server.run("raw.read", tag="first")
        busy = asyncio.create_task(server.run("raw.write", tag="busy"))
        await begun(tmp_path, "busy")
        monkeypatch.setattr(connection, "LIST_WITHIN", 0.2)
        with pytest.raises(ToolFailed, match="no answer in time") as failed:
            await server.run("raw.read", tag="second")
        assert failed.value.retry
        monkeypatch.undo()
        (tmp_path / "go").touch()
        assert (await busy)["text"] == "busy", "its session was closed by another call"
        assert (await server.run("raw.read", tag="third"))["text"] == "third"


async def test_a_server_that_hangs_is_started_again_by_short_calls_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with attached(raw(tmp_path)) as server:
        await server.run("raw.read", tag="first")
        shared = server.call("raw.read").shared(server.catalogue.get("raw.read").shared[0])  # type: ignore[union-attr]
        hanging = shared._owner
        busy = asyncio.create_task(server.run("raw.write", tag="busy"))
        await begun(tmp_path, "busy")
        busy.cancel()
        with pytest.raises(InDoubt):
            await busy
        with monkeypatch.context() as only_here:  # a process that is started has all the time that it needs
            only_here.setattr(connection, "LIST_WITHIN", 2.0)
            deadline = time.monotonic() + 40  # it hangs for a minute
            while shared._owner is hanging:
                assert time.monotonic() < deadline, "its session is never given up"
                with suppress(ToolFailed, TimeoutError):
                    async with asyncio.timeout(1.5):
                        await server.run("raw.read", tag="short")
        assert (await server.run("raw.read", tag="again"))["text"] == "again"


async def test_one_call_does_not_close_the_session_that_another_has_opened(tmp_path: Path) -> None:
    async with attached(raw(tmp_path)) as server:
        await server.run("raw.read", tag="first")
        shared = server.call("raw.read").shared(server.catalogue.get("raw.read").shared[0])  # type: ignore[union-attr]
        lost = shared._owner
        await shared._drop(lost)
        busy = asyncio.create_task(server.run("raw.write", tag="busy"))
        await begun(tmp_path, "busy")
        await shared._drop(lost)  # a call that found out later
        (tmp_path / "go").touch()
        assert (await busy)["text"] == "busy"


async def test_a_call_whose_time_is_over_before_it_was_sent_was_certainly_not_made(tmp_path: Path) -> None:
    async with attached(raw(tmp_path, "mute")) as server:
        with pytest.raises(ToolFailed, match="was not ready in time: the call was not made") as failed:
            async with asyncio.timeout(0.5):
                await server.run("raw.write", tag="a")
    assert failed.value.retry
    assert not (tmp_path / "a.begun").exists()


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("mark", ["airlock/http", statuses.MARK], ids=["guessed", "known"])
async def test_an_error_of_a_command_stands_for_no_http_status(tmp_path: Path, mark: str, status: int) -> None:
    error = {"code": -32603, "message": "I was not here", "data": {mark: {"status": status}}}
    (tmp_path / "answers.json").write_text(json.dumps({"write": {"error": error}}))
    async with attached(raw(tmp_path)) as server:
        with pytest.raises(InDoubt, match="I was not here"):
            await server.run("raw.write", tag="a")


async def test_a_number_that_json_has_not_makes_no_output(tmp_path: Path) -> None:
    async with attached(raw(tmp_path)) as server:
        assert "cannot be kept" in (await server.run("raw.write", tag="nan"))["note"]
        with pytest.raises(ToolFailed, match="cannot be kept"):
            await server.run("raw.read", tag="nan")


def test_a_difference_is_told_whatever_the_keys_of_a_schema_are() -> None:
    def defined(value: int) -> dict[str, Definition]:
        schema = {"type": "object", "required": ["x"], "required[b]": value, "required[7]": value, "a.b": value}
        return definitions_of([Definition(name="t", input_schema=schema)])

    told = changes(defined(1), defined(2), "t")
    assert "input_schema.required[b]" in told
    assert "input_schema.required[7]" in told


async def test_a_worker_that_is_killed_takes_its_servers_along(tmp_path: Path) -> None:
    (tmp_path / "airlock.toml").write_text(raw(tmp_path, "stubborn"))
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, str(tmp_path), cwd=ROOT)
    await begun(tmp_path, "busy")
    worker.kill()
    await worker.wait()
    stat = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    async with asyncio.timeout(30):
        while stat.exists() and stat.read_text().split()[2] != "Z":  # noqa: ASYNC110  # the kernel ends it
            await asyncio.sleep(0.02)


async def test_the_errors_of_a_server_reach_a_log_without_secrets_and_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    with error_log("raw", lambda text: text.replace("s3cret", "***")) as errors:
        errors.write("token s3cret \x1b[31mred \u202eback\n")
        errors.flush()
        said = ""
        async with asyncio.timeout(30):
            while not said.endswith("\n"):
                said += capsys.readouterr().err
                await asyncio.sleep(0.01)
    assert said == "[mcp.raw] token *** \N{REPLACEMENT CHARACTER}[31mred \N{REPLACEMENT CHARACTER}back\n"


async def test_a_secret_that_a_server_echoes_in_its_first_answer_is_redacted(tmp_path: Path) -> None:
    value = "s3cret-token-of-the-server"
    more = 'env = { TOKEN = { "$secret" = "raw" } }'
    async with attached(raw(tmp_path, more=more), {"AIRLOCK_SECRET_RAW": value}) as server:
        secrets = Secrets({})
        found = server.call("raw.read", find_shared=server.finder("raw.read", secrets))
        answer = await server.run("raw.read", "live", found, tag=value)  # the connection is opened in this call
    assert answer["text"] == value
    assert value not in str(secrets.redact(answer))
