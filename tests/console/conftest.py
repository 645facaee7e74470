from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from temporalio.testing import WorkflowEnvironment

from tests import running
from tests.cli.browser import Browser, browser
from tests.console.desk import Desk, Reader, desk_in
from tests.console.web import Web

SIGNED = """
[policy.decisions.approve.by_risk.HIGH]
evidence = "passkey"
"""


@pytest.fixture(scope="session")
async def console_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkflowEnvironment]:
    async with running.dev_server(tmp_path_factory.mktemp("console-server")) as env:
        yield env


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium") / "profile") as opened:
        yield opened


@pytest.fixture(scope="module")
async def desk(
    console_server: WorkflowEnvironment, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Desk, Reader]]:
    """Yield a desk at which olga is signed in by a passkey that the policy knows, and a worker under that policy."""
    async with desk_in(console_server.client, tmp_path_factory.mktemp("desk")) as made:
        olga = Reader(chromium, made.url)
        await olga.holds_passkeys()
        made.policy += await olga.makes_passkey("olga") + SIGNED
        made.write()
        async with made.working():
            await olga.signs_in()
            yield made, olga


@pytest.fixture
async def visitor() -> AsyncIterator[Callable[[Desk], Web]]:
    """Make programs that visit a console; their connections end with the test."""
    made: list[Web] = []

    def make(desk: Desk) -> Web:
        made.append(Web(desk))
        return made[-1]

    yield make
    for each in made:
        await each.client.aclose()
