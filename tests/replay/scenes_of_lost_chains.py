"""A scene of rules that began with epoch 9: a chain of calls whose worker is gone, and whose record tells too little."""

from unittest.mock import AsyncMock, patch

from airlock.activities.calls.sent_back import SentBackCalls
from tests.replay.scenes_of_epoch_6 import happened, set_back
from tests.replay.scenes_with_keys import Runs, scene
from tests.workflows.conftest import until
from tests.workflows.protected import Place
from tests.workflows.world import WORLD


@scene
async def lost_chain(where: Place, plan_id: str) -> Runs:
    """A client empties the record of a chain whose worker says nothing; a person settles all that may have been made."""
    async with where.working():
        with patch.object(SentBackCalls, "_tell", AsyncMock()):
            handle = await set_back(where, plan_id, in_doubt=3)
            await until(lambda: not WORLD.running)
        await happened(handle, "abc")
    return {"lost-chain": handle.workflow}
