"""`airlock console` as a process: it says where it is, refuses what would not be safe, and ends at once."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment

from tests.console.desk import free_port
from tests.processes.harness import ROOT, Process


def environment(server: WorkflowEnvironment) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRLOCK_", "TEMPORAL_"))}
    address = server.client.service_client.config.target_host
    return {**kept, "PYTHONPATH": str(ROOT), "TEMPORAL_ADDRESS": address}


async def test_it_listens_where_the_file_says_and_ends_with_a_stream_open(
    console_server: WorkflowEnvironment, tmp_path: Path
) -> None:
    url = f"http://localhost:{free_port()}"
    (tmp_path / "airlock.toml").write_text(f'[console]\nurl = "{url}"\n', encoding="utf-8")
    command = [sys.executable, str(ROOT / "starter.py"), "console", "--config", str(tmp_path / "airlock.toml")]
    process = Process(command, tmp_path / "console.log", environment(console_server))
    try:
        await process.says("Ctrl-C ends it")
        assert "make a passkey first" in process.said()
        async with httpx.AsyncClient(trust_env=False) as client:
            page = await client.get(f"{url}/login")
            assert "Sign in with a passkey" in page.text
            assert (await client.get(f"{url}/events")).status_code == 204
        process.terminate()
        assert await process.code() == 0
        assert "Traceback" not in process.said()
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("toml", "options", "said"),
    [
        ('url = "http://localhost:8780"', ["--host", "0.0.0.0"], "https://"),
        ('url = "http://localhost:8780"', ["--port", "9000"], "http://localhost:9000"),
        ('url = "http://console.example.com"', [], "console.url"),
        ('people = "olga"', [], "console.people"),
    ],
)
def test_what_would_not_be_safe_is_refused_with_the_fix(
    console_server: WorkflowEnvironment, tmp_path: Path, toml: str, options: list[str], said: str
) -> None:
    path = tmp_path / "airlock.toml"
    path.write_text(f"[console]\n{toml}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(ROOT / "starter.py"), "console", "--config", str(path), *options],
        cwd=ROOT, env=environment(console_server), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr
