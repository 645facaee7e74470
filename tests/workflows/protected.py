"""An Airlock whose workers have keys, in a namespace of its own; people and attackers have none."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio import activity, client
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

from airlock.activities.entry import EntryActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.base.keyring import Channel, Key, Keyring
from airlock.client import Airlock
from airlock.temporal.connection import data_converter, keyring_of
from airlock.worker.roles import build_workers, patient, runner
from airlock.workflows.interceptors import EndedPlans, SafeSignals
from airlock.workflows.registry import WORKFLOWS
from airlock.workflows.resets import Resets
from tests import running
from tests.workflows import world
from tests.workflows.attacker import Attacker
from tests.workflows.conftest import POLICY, catalogue, namespace

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def keyring(*letters: str, demanded: datetime | None = LONG_AGO) -> Keyring:
    """Keys made of letters, the first of which signs; without letters no keys."""
    keys = [Key(channel, letter.encode() * 32) for channel in Channel for letter in letters]
    return Keyring(tuple(keys), demanded)


class Holding(Interceptor):
    """Lets an honest worker begin an activity and then wait, so that an attacker is faster with an answer."""

    def __init__(self) -> None:
        self._held: dict[str, asyncio.Event] = {}
        self._begun: dict[str, asyncio.Future[tuple[str, str]]] = {}

    def hold(self, *kinds: str) -> None:
        """Hold the next activity of each kind."""
        for kind in kinds:
            self._held[kind] = asyncio.Event()
            self._begun[kind] = asyncio.get_running_loop().create_future()

    async def begun(self, kind: str, within: float = 60.0) -> tuple[str, str]:
        """Workflow id and activity id of the activity that is held."""
        return await asyncio.wait_for(asyncio.shield(self._begun[kind]), within)

    def let_go(self, kind: str) -> None:
        """Let the activity end without having done anything."""
        self._held.pop(kind).set()

    async def before(self) -> None:
        info = activity.info()
        event, begun = self._held.get(info.activity_type), self._begun.get(info.activity_type)
        if event is None or begun is None or begun.done():
            return
        begun.set_result((info.workflow_id or "", info.activity_id))
        await event.wait()
        raise ApplicationError("the attacker was faster", type="Held", non_retryable=True)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        holding = self

        class Waiting(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:
                await holding.before()
                return await super().execute_activity(input)

        return Waiting(next)


class HoldingClient(Holding, client.Interceptor):
    """The same as an interceptor of a client, which hands it to its workers."""


@dataclass(frozen=True)
class Place:
    """One namespace: `workers` connect with the keys, `airlock` is what a person has."""

    workers: Client
    airlock: Airlock
    attacker: Attacker
    policy: Policy
    holding: Holding

    async def answered_for(self, kind: str, answer: Payload | None = None) -> tuple[str, str]:
        """Answer the activity that is held, with nothing unless told otherwise."""
        place = await self.holding.begun(kind)
        await self.attacker.complete_by_id(*place, answer)
        self.holding.let_go(kind)
        return place

    @asynccontextmanager
    async def working(self, *roles: str) -> AsyncIterator[None]:
        """Run the workers of some roles; `all` unless given. `entries` lets runs into LIVE and makes no call."""
        toolbox = Toolbox(catalogue(), self.policy)
        workers = [
            worker
            for role in roles or ("all",)
            for worker in ([self._entries(toolbox)] if role == "entries" else build_workers(self.workers, toolbox, role))
        ]
        async with self._running(workers):
            yield

    def _entries(self, toolbox: Toolbox) -> Worker:
        entries = EntryActivities(toolbox, keyring_of(self.workers))
        return Worker(self.workers, task_queue=names.PERMIT_QUEUE, activities=[entries.acquire])

    @asynccontextmanager
    async def only_workflows(self) -> AsyncIterator[None]:
        """Run a worker that carries out workflows, and takes no activity."""
        resets = Resets(keyring_of(self.workers).demands)
        worker = Worker(
            self.workers, task_queue=names.WORKFLOW_QUEUE, workflows=list(WORKFLOWS), workflow_runner=runner(),
            interceptors=[SafeSignals(), resets, EndedPlans()],
        )  # fmt: skip
        async with self._running([patient(worker)]):
            yield

    @asynccontextmanager
    async def _running(self, workers: Sequence[Worker]) -> AsyncIterator[None]:
        async with running.running(workers):
            try:
                yield
            finally:
                # a test that failed holds up no worker, which waits for its calls; a worker that makes none lets none go on
                if any(worker.task_queue == names.LIVE_QUEUE for worker in workers):
                    world.WORLD.release()


async def place(server: Client, name: str, keys: Keyring, identity: str | None = None, **policy: object) -> Place:
    """Make a new namespace on a server."""
    await namespace(server, name)
    address = server.service_client.config.target_host
    people = await Client.connect(address, namespace=name, data_converter=data_converter(), identity=identity)
    holding = HoldingClient()
    workers = await Client.connect(
        address, namespace=name, data_converter=data_converter(keys), interceptors=[holding], identity=identity
    )
    plain = await Client.connect(address, namespace=name, data_converter=pydantic_data_converter)
    return Place(workers, Airlock(people), Attacker(plain), Policy.model_validate(POLICY.model_dump() | policy), holding)
