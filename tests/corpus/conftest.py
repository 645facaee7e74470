from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from devtools.corpus_run import Corpus, running_corpus
from sandbox.processes import start


@pytest.fixture(scope="session")
async def corpus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Corpus]:
    """Yield a real Temporal server, a real worker process with the corpus catalogue, the corpus service."""
    async with running_corpus(tmp_path_factory.mktemp("corpus") / "run") as running:
        yield running


@pytest.fixture
def service() -> Iterator[httpx.Client]:
    """Yield the corpus service alone, with one world `w`."""
    with start("corpus") as process, httpx.Client(base_url=process.url, trust_env=False) as client:
        client.post("/worlds/w", json={"classes": ["GorillaFileSystem"]}).raise_for_status()
        yield client
