from collections.abc import AsyncIterator

import pytest

from tests.mcp_server.place import Place


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    made = Place(tmp_path_factory.mktemp("mcp") / "place")
    try:
        await made.start()
        yield made
    finally:
        made.close()
