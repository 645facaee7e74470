"""A deployment that rolls: live workers of two generations serve one queue, and no real work is undone because of it."""

from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from airlock.activities.toolbox import Toolbox
from airlock.base import names
from airlock.client import Airlock
from airlock.client.undo import undo
from airlock.plans.catalogue import Catalogue
from airlock.plans.state import State
from airlock.run.handed_back import PATIENCE
from airlock.temporal.connection import connect_to
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, namespace, skipping_server, step, until
from tests.workflows.world import WORLD

OLD = catalogue()
NEW = Catalogue([found for name in OLD.names if (found := OLD.get(name))], overrides={"put": {"timeout": 25.0}})
"""The same tools; the timeout of one of them was changed, as in the next release."""


async def workers(client: Client, tools: Catalogue, *roles: str) -> list[Worker]:
    """Return workers with a connection of their own: one connection takes no two workers of one queue."""
    own = await connect_to(client.service_client.config.target_host, client.namespace)
    return [each for role in roles for each in build_workers(own, Toolbox(tools, POLICY), role)]


def serving(found: list[Worker], *queues: str) -> list[Worker]:
    return [each for each in found if each.task_queue in queues]


async def handed_back(handle: Any) -> list[str | None]:
    return [entry.step for entry in (await handle.audit()).entries if entry.what == "handed_back"]


async def test_a_call_goes_to_the_worker_that_has_its_contract(dev_server: Any, plan: Any) -> None:
    client = await namespace(dev_server.client, "rolling")
    steps = [step("s0", "look", key="k")]
    steps += [step(f"s{n}", "put", after=(f"s{n - 1}",), key=f"k{n}", value=n) for n in range(1, 12)]
    asked = plan(*steps)
    entries = serving(await workers(client, OLD, "live"), names.PERMIT_QUEUE)
    new = serving(await workers(client, NEW, "live"), names.LIVE_QUEUE, names.UNDO_QUEUE)
    async with running([*await workers(client, OLD, "orchestrate", "rehearse"), *entries, *new]):
        handle = await Airlock(client).submit(asked)
        await approved(handle)
        assert await until(lambda: handed_back(handle)) == ["s1"]
        status = await handle.status()
        assert status.state is State.LIVE
        assert [each.id for each in status.steps if each.status == "live"] == ["s0"]
        async with running(serving(await workers(client, OLD, "live"), names.LIVE_QUEUE)):
            result = await handle.result()
    assert (result.outcome, len(result.live), result.undone) == ("completed", 12, ())
    effects = {key: times for key, times in WORLD.effects.items() if f"{asked['plan_id']}/" in key}
    assert set(effects.values()) == {1}
    assert not [entry for entry in WORLD.log if entry[0] == "undo" and entry[1] == asked["plan_id"]]


async def test_without_such_a_worker_the_plan_locks_and_keeps_what_is_live(plan: Any) -> None:
    document = plan(
        step("one", "look", key="k"), step("two", "once", ("one",), key="a"), step("three", "put", ("two",), key="b")
    )
    async with skipping_server() as env:
        client = env.client
        entries = serving(await workers(client, OLD, "live"), names.PERMIT_QUEUE)
        calls = serving(await workers(client, NEW, "live"), names.LIVE_QUEUE, names.UNDO_QUEUE)
        async with running([*await workers(client, OLD, "orchestrate", "rehearse"), *entries, *calls]):
            handle = await Airlock(client).submit(document)
            await approved(handle)
            assert await until(lambda: handed_back(handle)) == ["three"]
            await env.sleep(PATIENCE - timedelta(minutes=1))
            assert (await handle.status()).state is State.LIVE
            await env.sleep(timedelta(minutes=2))
            status = await handle.wait_for(State.LOCKED)
            assert "no live worker with the approved contract answered for 10 minutes" in status.why
            assert {each.id: each.status for each in status.steps} == {"one": "live", "two": "live", "three": "waiting"}
            assert len(await handed_back(handle)) == 1
            assert (await handle.decide("unlock", by="olga", reason="preview it under the new contract")).accepted
            assert (await awaiting(handle)).approvals == ()
            assert WORLD.effects[f"{handle.plan_id}/two"] == 1
            await handle.decide("abort", by="olga", reason="seen")


async def previewed_again(handle: Any) -> bool:
    return any(entry.what == "handed_back" for entry in (await handle.audit()).entries)


async def test_a_preview_goes_to_the_worker_that_has_the_contracts(dev_server: Any, plan: Any) -> None:
    """The plan is admitted by the new generation; the only rehearsing worker is an old one, and then there are both."""
    client = await namespace(dev_server.client, "rolling-previews")
    asked = plan(step("one", "put", key="k", value=1))
    async with running([*await workers(client, NEW, "orchestrate", "live"), *await workers(client, OLD, "rehearse")]):
        handle = await Airlock(client).submit(asked)
        assert await until(lambda: previewed_again(handle))
        status = await handle.status()
        assert status.state is State.MOCK
        assert "a rehearsing worker with the plan's contracts, asked for since" in status.waits_for
        assert "the contract of put on this worker is not the one that the plan was admitted with" in str(status.refusals)
        async with running(await workers(client, NEW, "rehearse")):
            await approved(handle)
            result = await handle.result()
    assert (result.outcome, len(result.live)) == ("completed", 1)


async def test_a_preview_that_no_worker_can_make_ends_the_plan_with_the_reason(plan: Any) -> None:
    asked = plan(step("one", "put", key="k", value=1))
    async with skipping_server() as env:
        lacking = Catalogue([found for name in OLD.names if name != "put" and (found := OLD.get(name))])
        made = [*await workers(env.client, OLD, "orchestrate", "live"), *await workers(env.client, lacking, "rehearse")]
        async with running(made):
            handle = await Airlock(env.client).submit(asked)
            assert await until(lambda: previewed_again(handle))
            await env.sleep(PATIENCE - timedelta(minutes=1))
            assert (await handle.status()).state is State.MOCK
            await env.sleep(timedelta(minutes=2))
            result = await handle.result()
    assert result.outcome == "unrehearsed"
    assert "no rehearsing worker with the contracts of this plan answered for 10 minutes" in result.why
    assert "step 'one': this worker's catalogue has no tool 'put'" in result.why


async def test_behind_a_lock_a_preview_that_no_worker_can_make_locks_again(plan: Any) -> None:
    asked = plan(step("one", "once", key="a"), step("two", "put", ("one",), key="b"))
    async with skipping_server() as env:
        client = env.client
        entries = serving(await workers(client, OLD, "live"), names.PERMIT_QUEUE)
        calls = serving(await workers(client, NEW, "live"), names.LIVE_QUEUE, names.UNDO_QUEUE)
        async with running([*await workers(client, OLD, "orchestrate"), *entries, *calls]):
            handle = await Airlock(client).submit(asked)
            async with running(await workers(client, OLD, "rehearse")):
                await approved(handle)
                assert await until(lambda: handed_back(handle)) == ["two"]
                assert (await handle.decide("lock", by="olga", reason="a deployment rolls")).accepted
                await handle.wait_for(State.LOCKED)
            async with running(await workers(client, NEW, "rehearse")):
                assert (await handle.decide("unlock", by="olga", reason="go on")).accepted
                await env.sleep(PATIENCE + timedelta(minutes=1))
                status = await handle.wait_for(State.LOCKED)
    assert "no rehearsing worker with the contracts of this plan answered" in status.why
    assert {each.id: each.status for each in status.steps}["one"] == "live"
    assert WORLD.effects[f"{handle.plan_id}/one"] == 1
    assert not [entry for entry in WORLD.log if entry[0] == "undo" and entry[1] == asked["plan_id"]]


async def test_an_undo_whose_tools_no_rehearsing_worker_has_is_previewed_without_a_look(dev_server: Any, plan: Any) -> None:
    """An undo is urgent: after seconds its preview says what it could not look at, and the live worker makes it."""
    client = await namespace(dev_server.client, "rolling-undo")
    lacking = Catalogue([found for name in OLD.names if name != "put" and (found := OLD.get(name))])
    async with running(await workers(client, OLD, "orchestrate", "live")):
        async with running(await workers(client, OLD, "rehearse")):
            handle = await Airlock(client).submit(plan(step("one", "put", key="k", value=1)))
            await approved(handle)
            await handle.result()
        async with running(await workers(client, lacking, "rehearse")):
            undoing = await undo(client, handle.plan_id, by="carol", reason="wrong customer")
            assert await until(lambda: previewed_again(undoing))
            assert (await undoing.status()).state is State.DRY_RUN
            status = await awaiting(undoing)
            assert "this worker's catalogue has no tool 'put'" in (await undoing.preview()).text
            assert (await undoing.decide("approve", by="alice", digest=status.digest)).accepted
            assert (await undoing.result()).undone == ("one",)
