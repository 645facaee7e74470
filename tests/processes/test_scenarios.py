"""Real workers and real servers, really killed: every plan ends as it should, and no effect happens twice."""

import asyncio

import pytest

from tests.processes import blocked, frozen, kills, locked, metrics, race, restarts, roles, sharing, traces  # noqa: F401  they register their scenarios
from tests.processes.registry import SCENARIOS


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_scenario(scenario: str, playing: dict[str, "asyncio.Task[None]"]) -> None:
    await playing[scenario]
