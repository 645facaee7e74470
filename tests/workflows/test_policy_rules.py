"""Rules of the policy on a server: what they deny, ask and allow, and that today's count at LIVE."""

import asyncio
from typing import Any

import pytest
from typer.testing import CliRunner

from airlock.cli.app import app
from airlock.plans.state import State
from tests.replay.replay import replayer
from tests.workflows.conftest import awaiting, signal, step, until
from tests.workflows.test_approval_today import worker  # noqa: F401
from tests.workflows.world import WORLD

ROLES = {"finance": ["finn", "fay"]}
BIG = {"id": "big", "when": "step.tool == 'put' && step.args.value > 1000", "then": 'ask(2, "finance")', "reason": "much"}


def rules(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"rule": list(found), "roles": ROLES, **more}


async def ceilings(handle) -> dict[str, str]:
    return {each.id: each.ceiling for each in (await handle.preview()).sealed.steps}


async def test_a_denied_step_stays_a_dry_run_and_so_does_what_depends_on_it(airlock_with, plan):
    deny = {"id": "no-mail", "when": "step.tool == 'send' && !step.args.to.endsWith('@acme.test')", "then": "deny"}
    airlock = await airlock_with(**rules(deny))
    handle = await airlock.submit(
        plan(
            step("mail", "send", to="jo@else.test"),
            step("note", "put", after=("mail",), key="a", value=1),
            step("own", "send", to="jo@acme.test"),
        )
    )
    status = await awaiting(handle)
    assert await ceilings(handle) == {"mail": "DRY_RUN", "note": "DRY_RUN", "own": "LIVE"}
    assert "the policy denies it (rule no-mail)" in (await handle.preview()).text
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert (await handle.result()).outcome == "partial"
    assert WORLD.state[handle.plan_id]["sent"] == ["jo@acme.test"]
    await replayer().replay_workflow(await handle.workflow.fetch_history())


async def test_two_of_finance_approve_and_nobody_else_in_their_place(airlock_with, plan):
    airlock = await airlock_with(**rules(BIG))
    handle = await airlock.submit(plan(step("much", "put", key="a", value=5000), step("little", "put", key="b", value=1)))
    status = await awaiting(handle)
    assert status.waits_for.startswith("1 approval and 2 approvals of finance (rule big) until")
    text = (await handle.preview()).text
    assert "needs 2 approvals of finance (rule big)" in text
    assert "rule big: much" in text
    for by in ("alice", "finn"):
        assert (await handle.decide("approve", by=by, digest=status.digest)).accepted
    status = await handle.status()
    assert status.state is State.AWAITING_APPROVAL
    assert status.waits_for.startswith("1 approval of finance (rule big) until")
    verdict = await handle.decide("approve", by="Finn", digest=status.digest)
    assert not verdict.accepted
    await signal(handle, "approve", {"by": "fay", "digest": status.digest})
    assert (await handle.result()).outcome == "completed"
    assert WORLD.state[handle.plan_id] == {"a": 5000, "b": 1}
    await replayer().replay_workflow(await handle.workflow.fetch_history())


async def test_what_a_rule_allows_needs_nobody(airlock_with, plan):
    airlock = await airlock_with(**rules({"id": "small", "when": "step.args.value < 10", "then": "allow"}))
    result = await (await airlock.submit(plan(step("one", "put", key="a", value=1)))).result()
    assert result.outcome == "completed"
    handle = await airlock.submit(plan(step("two", "put", key="a", value=10)))
    await awaiting(handle)
    assert (await handle.decide("abort", by="alice", reason="enough")).accepted


async def test_a_rule_of_today_is_asked_by_the_live_role(worker, plan):  # noqa: F811
    async with worker(**rules()) as airlock:
        handle = await airlock.submit(plan(step("one", "put", key="a", value=5000)))
        digest = (await awaiting(handle)).digest
    async with worker(**rules({"id": "new", "when": "step.args.value > 1000", "then": "deny"})):
        await handle.decide("approve", by="alice", digest=digest)
        result = await handle.result()
        audit = [entry.reason for entry in (await handle.audit()).entries]
    # the live role turned it away, and what it was admitted under then is today's policy
    assert result.outcome == "rehearsed"
    assert not WORLD.effects[f"{handle.plan_id}/one"]
    assert any("today's policy: step 'one' cannot go live: the policy denies it (rule new)" in reason for reason in audit)
    await replayer().replay_workflow(await handle.workflow.fetch_history())


async def test_a_question_of_today_brings_the_plan_back_to_its_approvers(worker, plan):  # noqa: F811
    async with worker(**rules()) as airlock:
        handle = await airlock.submit(plan(step("one", "put", key="a", value=5000)))
        digest = (await awaiting(handle)).digest
    async with worker(**rules(BIG)):
        await handle.decide("approve", by="alice", digest=digest)

        async def asked() -> Any:
            status = await handle.status()
            return status if status.state is State.AWAITING_APPROVAL and status.digest != digest else None

        status = await until(asked)
        assert status.waits_for.startswith("1 approval and 2 approvals of finance (rule big)")
        for by in ("finn", "fay"):
            await handle.decide("approve", by=by, digest=status.digest)
        assert (await handle.result()).outcome == "completed"
    assert WORLD.state[handle.plan_id] == {"a": 5000}


@pytest.mark.parametrize(
    ("reference", "ceiling"),
    [
        ("first.key", "DRY_RUN"),  # known after live: it may be what the rule denies
        ("first.step", "LIVE"),  # foreseen by the preview, and the call is held to it
    ],
)
async def test_a_value_that_is_known_only_after_live_is_denied_before_it(airlock_with, plan, reference, ceiling):
    deny = {"id": "no-keys", "when": "step.id == 'second' && step.args.value != 'first'", "then": "deny"}
    airlock = await airlock_with(**rules(deny))
    proposed = plan(step("first", "put", key="a", value=1), step("second", "put", key="b", value={"$ref": reference}))
    handle = await airlock.submit(proposed)
    status = await awaiting(handle)
    assert (await ceilings(handle))["second"] == ceiling
    if ceiling == "DRY_RUN":
        assert "the policy may deny it (rule no-keys; not known yet: step.args.value)" in (await handle.preview()).text
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    result = await handle.result()
    assert result.outcome == ("completed" if ceiling == "LIVE" else "partial")
    assert WORLD.state[handle.plan_id].get("b") == ("first" if ceiling == "LIVE" else None)
    await replayer().replay_workflow(await handle.workflow.fetch_history())


async def test_a_read_that_a_rule_asks_about_waits_for_people_in_spite_of_the_read_lane(airlock_with, plan):
    asking = {"id": "ask", "when": "step.args.key == 'secret'", "then": "ask(1)"}
    airlock = await airlock_with(**rules(asking, read_lane=True))
    handle = await airlock.submit(plan(step("open", "look", key="a"), step("closed", "look", key="secret")))
    status = await awaiting(handle)
    assert WORLD.effects[f"{handle.plan_id}/open"] == 1
    assert not WORLD.effects[f"{handle.plan_id}/closed"]
    assert (await handle.decide("approve", by="alice", digest=status.digest)).accepted
    assert (await handle.result()).outcome == "completed"


async def test_a_submitted_plan_is_explained_by_its_preview_and_the_rules_of_here(
    airlock_with, plan, tmp_path, monkeypatch, dev_server
):
    airlock = await airlock_with(**rules(BIG))
    handle = await airlock.submit(plan(step("much", "put", key="a", value=5000)))
    await awaiting(handle)
    (tmp_path / "airlock.toml").write_text(
        '[catalogue]\nmodules = ["tests.workflows.world"]\n[policy.agents."*"]\npermissions = ["*"]\n'
        '[[policy.rule]]\nid = "new"\nwhen = "step.args.value > 10"\nthen = "deny"\n'
    )
    monkeypatch.setenv("TEMPORAL_ADDRESS", dev_server.client.service_client.config.target_host)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", airlock.client.namespace)
    arguments = ["policy", "explain", handle.plan_id, "--config", str(tmp_path / "airlock.toml")]
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert done.exit_code == 0, done.output
    assert "much  put: deny" in done.stdout
    assert "in the preview: needs 2 approvals of finance (rule big), but airlock.toml has no such rule" in done.stdout
    assert "not in the preview: the policy denies it (rule new)" in done.stdout
    assert (await handle.decide("abort", by="alice", reason="enough")).accepted
