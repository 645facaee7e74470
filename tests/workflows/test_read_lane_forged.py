"""The read lane under attack: forged answers, receipts of other keys, contracts that only claim to read."""

import itertools

import pytest
from temporalio.client import Client

from airlock.activities.monitor import start_monitors
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base.keyring import Channel, Key, Keyring
from airlock.base.names import monitor_id
from airlock.client import Airlock
from airlock.plans.catalogue import Catalogue
from airlock.temporal.connection import data_converter
from airlock.worker.roles import build_workers
from tests.running import running
from tests.workflows.attacker import plain
from tests.workflows.conftest import POLICY, approved, awaiting, catalogue, namespace, until
from tests.workflows.protected import LONG_AGO, keyring, place
from tests.workflows.test_read_lane import LANE, calls_of, read_then_put
from tests.workflows.world import WORLD

_NUMBERS = itertools.count(1)


@pytest.fixture
async def where(dev_server):
    return await place(dev_server.client, f"lane{next(_NUMBERS)}", keyring("k"), **LANE)


def shown(preview):
    return {each.id: each for each in preview.sealed.steps}


def forged(output):
    made = {"kind": "live", "step": "see", "output": output}
    read = {"at": "2026-01-01T00:00:00Z", "contract": "0" * 64, "digest": "0" * 64, "proof": "f" * 64}
    return plain({"reads": [{"step": "see", "made": made, "read": read}], "refused": ""})


async def test_a_forged_answer_is_no_answer_and_the_read_is_asked_for_again(where, plan):
    document = read_then_put(plan)
    async with where.working():
        where.holding.hold("read")
        handle = await where.airlock.submit(document)
        await where.answered_for("read", forged({"found": "a lie"}))
        await awaiting(handle)
        by_id = shown(await handle.preview())
        assert by_id["set"].preview.args["value"] == "seen"
        assert by_id["see"].read.proof
        assert [entry.what for entry in (await handle.audit()).entries if entry.kind == "refused"] == ["forged answer"]
        await approved(handle)
        assert (await handle.result()).outcome == "completed"
    assert WORLD.state[document["plan_id"]]["copy"] == "seen"


async def test_without_keys_an_answer_that_is_not_of_its_own_digest_fails_the_read(dev_server, plan):
    where = await place(dev_server.client, f"lane{next(_NUMBERS)}", Keyring(), **LANE)
    async with where.working():
        where.holding.hold("read")
        handle = await where.airlock.submit(read_then_put(plan))
        await where.answered_for("read", forged({"found": "a lie"}))
        result = await handle.result()
    assert result.outcome == "rehearsed"
    assert result.steps[0].reasons == ("its read failed: its output is not the one that was proved",)


async def test_what_a_live_worker_of_another_key_has_read_is_read_again(where, dev_server, plan):
    """An orchestrating worker has no key of the live role: what it would make up has no receipt either."""
    document = read_then_put(plan)
    keys = [Key(channel, b"m" * 32 if channel is Channel.LIVE else b"k" * 32) for channel in Channel]
    address = dev_server.client.service_client.config.target_host
    others = await Client.connect(
        address, namespace=where.workers.namespace, data_converter=data_converter(Keyring(tuple(keys), LONG_AGO))
    )
    async with where.working("orchestrate", "rehearse"):
        async with where.working("live"):
            handle = await where.airlock.submit(document)
            first = await awaiting(handle)
        WORLD.state[document["plan_id"]]["k"] = "seen by the other one"
        async with running(build_workers(others, Toolbox(catalogue(), where.policy), "live")):
            await approved(handle)

            async def previewed_again():
                status = await handle.status()
                return status if status.digest != first.digest and status.state == "AWAITING_APPROVAL" else None

            await until(previewed_again)
            entries = (await handle.audit()).entries
            assert "has no receipt of a live read" in next(e.reason for e in entries if e.what == "entry to LIVE")
            assert calls_of(document, "set") == 0
            await approved(handle)
            assert (await handle.result()).outcome == "completed"
    assert WORLD.state[document["plan_id"]]["copy"] == "seen by the other one"


async def test_a_step_that_only_claims_to_read_is_not_called_before_its_approval(dev_server, plan):
    """The orchestrating and the rehearsing worker say that it reads; the live worker knows better."""
    client = await namespace(dev_server.client, f"claims{next(_NUMBERS)}")
    rules = Policy.model_validate(POLICY.model_dump() | LANE)
    tools = catalogue()
    honest = Catalogue([found for name in tools.names if (found := tools.get(name))], overrides={"look": {"risk": "MEDIUM"}})
    lying = [each for role in ("orchestrate", "rehearse") for each in build_workers(client, Toolbox(tools, rules), role)]
    document = read_then_put(plan)
    async with running([*lying, *build_workers(client, Toolbox(honest, rules), "live")]):
        handle = await Airlock(client).submit(document)
        status = await awaiting(handle)
        assert [each.status for each in status.steps] == ["waiting", "waiting"]
        (entry,) = [each for each in (await handle.audit()).entries if each.what == "not_read"]
        assert "contract" in entry.reason
    assert calls_of(document, "see") == 0


async def test_a_live_worker_whose_policy_has_no_lane_reads_nothing(dev_server, plan):
    client = await namespace(dev_server.client, f"claims{next(_NUMBERS)}")
    rules = Policy.model_validate(POLICY.model_dump() | LANE | {"approval_waived_for": ["LOW"]})
    strict = Policy.model_validate(POLICY.model_dump() | {"approval_waived_for": ["LOW"]})
    ours = [
        each for role in ("orchestrate", "rehearse") for each in build_workers(client, Toolbox(catalogue(), rules), role)
    ]
    document = read_then_put(plan)
    async with running([*ours, *build_workers(client, Toolbox(catalogue(), strict), "live")]):
        handle = await Airlock(client).submit(document)
        await awaiting(handle)
        (entry,) = [each for each in (await handle.audit()).entries if each.what == "not_read"]
    assert "read_lane" in entry.reason
    assert calls_of(document, "see") == 0


async def test_a_read_whose_worker_was_lost_is_made_again(where, plan):
    document = read_then_put(plan)
    async with where.working():
        where.holding.hold("read")
        handle = await where.airlock.submit(document)
        await where.attacker.fail_by_id(*await where.holding.begun("read"))  # Temporal gives it to a worker again
        where.holding.let_go("read")
        await awaiting(handle)
        assert shown(await handle.preview())["set"].preview.args["value"] == "seen"
    assert (calls_of(document, "see"), calls_of(document, "set")) == (1, 0)


async def test_a_monitor_counts_the_report_that_a_run_with_keys_signals_itself(where, plan):
    async with where.working():
        await start_monitors(where.workers, Policy())
        document = {**plan({"id": "see", "agent": "a", "tool": "look", "args": {"key": "k"}, "confidence": 0.95})}
        assert (await (await where.airlock.submit(document)).result()).outcome == "completed"

        monitor = where.airlock.client.get_workflow_handle(monitor_id(0))

        async def counted():
            found = await monitor.query("health")
            return found if found["counted"] or found["refused"] else None

        found = await until(counted)
    assert (found["counted"], found["refused"]) == (1, 0), found["refusals"]
    assert found["windows"]["total"]["tools"]["look"]["live"]["ok"] == 1
