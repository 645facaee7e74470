"""Real services for the tests of the sandbox; one CRM for all of them, emptied before each test."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sandbox.processes import SandboxProcess, start

HEADERS = {"Authorization": "Bearer test-token", "Version": "2021-07-28"}


@pytest.fixture(scope="session")
def crm_process() -> Iterator[SandboxProcess]:
    with start("crm") as process:
        yield process


@pytest.fixture
def crm(crm_process: SandboxProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=crm_process.url, headers=HEADERS, trust_env=False) as client:
        assert client.post("/_sandbox/reset").json() == {"ok": True}
        yield client


@pytest.fixture(scope="session")
def corpus() -> Iterator[httpx.Client]:
    with (
        start("corpus") as process,
        httpx.Client(base_url=process.url, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[SandboxProcess]:
    with start("smtp", mailbox=tmp_path / "mailbox", slow_seconds=3) as process:
        yield process


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    def poll(holds: Callable[[], bool], within: float = 120.0) -> None:
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.01)

    return poll
