"""Scenes of rules that began with epoch 3: calls handed back by workers of another generation, a plan's own steps."""

import tempfile

from temporalio.client import Client
from temporalio.worker import Worker

from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.client.undo import undo
from airlock.plans.catalogue import Catalogue
from airlock.temporal.connection import data_converter
from airlock.tools.files.file_deleting import file_delete
from airlock.tools.files.file_writing import file_write
from airlock.worker.roles import build_workers
from tests.replay.replay import KEYS
from tests.replay.scenes import submit
from tests.replay.scenes_with_keys import Runs, ended, scene
from tests.running import running
from tests.workflows.conftest import approved, step, until
from tests.workflows.protected import Place
from tests.workflows.test_own_steps import toss
from tests.workflows.test_two_generations import NEW, OLD, handed_back, serving


async def _live(where: Place, tools: Catalogue) -> list[Worker]:
    """Return live workers with a connection of their own: one connection takes no two workers of one queue."""
    address = where.workers.service_client.config.target_host
    own = await Client.connect(
        address, namespace=where.workers.namespace, data_converter=data_converter(KEYS), identity="recorded"
    )
    return build_workers(own, Toolbox(tools, where.policy), "live")


@scene
async def handed_back_and_made(where: Place, plan_id: str) -> Runs:
    """The only live worker has another contract; then one with the approved contract begins."""
    entries = serving(await _live(where, OLD), names.PERMIT_QUEUE)
    toolbox = Toolbox(OLD, where.policy)
    rest = [each for role in ("orchestrate", "rehearse") for each in build_workers(where.workers, toolbox, role)]
    async with running([*rest, *entries]):
        async with running(serving(await _live(where, NEW), names.LIVE_QUEUE)):
            handle = await submit(
                where.airlock, plan_id, step("a", "once", key="a", value=1), step("b", "put", ("a",), key="b", value=2)
            )
            await approved(handle)
            await until(lambda: handed_back(handle))
        async with running(serving(await _live(where, OLD), names.LIVE_QUEUE)):
            await ended(handle, "completed")
    return {"handed-back-and-made": handle.workflow}


@scene
async def own_steps(where: Place, plan_id: str) -> Runs:
    """A plan writes a file, writes it again and deletes it, under one approval; then it is undone."""
    with tempfile.TemporaryDirectory() as folder:
        tools = Catalogue([file_write, file_delete], settings={"files": {"root": folder}})
        async with running(build_workers(where.workers, Toolbox(tools, where.policy))):
            handle = await submit(
                where.airlock, plan_id,
                step("draft", "file_write", path="note.md", content="draft\n"),
                step("final", "file_write", ("draft",), path="note.md", content="final\n"),
                step("gone", "file_delete", ("final",), path="note.md"),
            )  # fmt: skip
            await approved(handle)
            await ended(handle, "completed")
            back = await undo(where.airlock.client, plan_id, by="carol", reason="not wanted")
            await approved(back)
            await ended(back, "aborted")
    return {"own-steps": handle.workflow, "own-steps-undone": back.workflow}


@scene
async def left_in_live(where: Place, plan_id: str) -> Runs:
    """Steps compare with what earlier calls left, which only these know, inside a chain and beside it; one approval."""
    with tempfile.TemporaryDirectory() as folder:
        tools = Catalogue([file_write, file_delete, toss], settings={"files": {"root": folder}})
        async with running(build_workers(where.workers, Toolbox(tools, where.policy))):
            text = {"$ref": "coin.text"}
            handle = await submit(
                where.airlock, plan_id, step("coin", "toss"),
                step("draft", "file_write", path="note.md", content=text),
                step("final", "file_write", ("draft",), path="note.md", content="final\n"),
                step("gone", "file_delete", ("final",), path="note.md"),
                step("left", "file_write", path="left.md", content=text),
                step("right", "file_write", path="right.md", content=text),
                step("left-2", "file_write", ("left", "right"), path="left.md", content="l"),
                step("right-2", "file_write", ("left", "right"), path="right.md", content="r"),
            )  # fmt: skip
            await approved(handle)
            await ended(handle, "completed")
    return {"left-in-live": handle.workflow}
