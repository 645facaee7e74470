"""Fake tools, and plans over them: each failure that a tool can have, and each answer that a script can give."""

import subprocess
import sys
from typing import Any

import pytest

from airlock.admission.policy import AgentPolicy, Policy
from airlock.base.errors import AirlockError, ContractError
from airlock.plans.contract import Mode, Risk
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from airlock.testing import PlanStuck, PromiseBroken, check_tool, fake_tool, run_plan, servers, temporal_server


def plan(*steps: tuple[str, str], plan_id: str = "fakes-1", **more: Any) -> dict[str, Any]:
    """Return a plan whose steps run one after the other, each given by its id and its tool."""
    made = [
        {"id": id, "agent": "agent", "tool": tool, "args": {"n": number}, "confidence": 0.99}
        | ({"after": [steps[number - 1][0]]} if number else {})
        for number, (id, tool) in enumerate(steps)
    ]
    return {"plan_id": plan_id, "goal": "test", "requested_by": "rita", "steps": made, **more}


@pytest.mark.parametrize("reversibility", ["read_only", "reversible", "compensable", "irreversible"])
@pytest.mark.parametrize("probe", [True, False])
async def test_every_kind_of_fake_keeps_its_contract(reversibility, probe):
    fake = fake_tool("put", risk="MEDIUM", reversibility=reversibility, probe=probe)
    if reversibility == "read_only" and probe:
        with pytest.raises(PromiseBroken, match="does not deny a call"):  # nothing was left behind that it could find
            await check_tool(fake, {"key": "a"}, snapshot=lambda: fake.effects)
        return
    report = await check_tool(fake, {"key": "a"}, snapshot=lambda: fake.effects)
    assert ("probe" in report.skipped) is not probe
    assert bool(fake.effects) is (reversibility == "irreversible")


def test_the_contract_is_the_chosen_one():
    contract = fake_tool("pay", risk="HIGH", reversibility="irreversible", permissions={"pay"}, timeout=3).contract()
    assert (contract.risk, contract.irreversible, contract.permissions, contract.timeout) == (Risk.HIGH, True, ("pay",), 3.0)
    assert (contract.has_dry_run, contract.has_compensate, contract.has_probe) == (True, False, False)
    assert fake_tool(dry_run=False).contract().has_dry_run is False


@pytest.mark.parametrize(
    ("promises", "message"),
    [
        ({"risk": "HIGH", "reversibility": "read_only"}, "cannot be HIGH risk"),
        ({"risk": "HUGE"}, "risk"),
        ({"rate_limit": "often"}, "rate_limit"),
    ],
)
def test_a_contract_that_cannot_be_is_refused(promises, message):
    with pytest.raises(ContractError, match=message):
        fake_tool("put", **promises)


def test_an_unknown_function_cannot_fail():
    with pytest.raises(ValueError, match="name one of live, mock"):
        fake_tool().fail(kind="alive")


async def test_calls_are_recorded_with_mode_and_key():
    put = fake_tool("put")
    run = await run_plan(plan(("one", "put")), [put])
    assert run.result.outputs == {"one": {"n": 0}}
    assert [(call.kind, call.mode, call.args) for call in put.calls] == [
        ("mock", Mode.MOCK, {"n": 0}),
        ("dry_run", Mode.DRY_RUN, {"n": 0}),
        ("live", Mode.LIVE, {"n": 0}),
    ]
    assert {call.idempotency_key for call in put.calls} == {"fakes-1/one"}
    assert put.effects == {"fakes-1/one": {"n": 0}}


async def test_a_failure_is_tried_again_and_its_wait_is_skipped():
    put = fake_tool("put").fail("busy", retry=True, times=2)
    run = await run_plan(plan(("one", "put")), [put])
    assert run.result.outcome is Outcome.COMPLETED
    assert [call.attempt for call in put.calls if call.kind == "live"] == [1, 2, 3]


async def test_a_failure_takes_the_earlier_steps_back():
    put, pay = fake_tool("put"), fake_tool("pay", reversibility="irreversible").fail("no credit")
    run = await run_plan(plan(("one", "put"), ("two", "pay")), [put, pay])
    assert (run.result.state, run.result.undone, run.step("two").error) == (State.ABORTED, ("one",), "no credit")
    assert put.effects == pay.effects == {}


async def test_a_stale_call_brings_a_second_preview():
    put = fake_tool("put").be_stale()
    run = await run_plan(plan(("one", "put")), [put])
    assert (len(run.previews), put.count("dry_run"), run.result.outcome) == (2, 2, Outcome.COMPLETED)
    assert run.previews[0].digest != run.previews[1].digest


@pytest.mark.parametrize("took_effect", [True, False])
async def test_a_call_in_doubt_is_settled_by_the_probe(took_effect):
    pay = fake_tool("pay", reversibility="irreversible", probe=True).be_in_doubt(took_effect=took_effect)
    run = await run_plan(plan(("one", "pay")), [pay])
    assert pay.count("probe") == 1
    assert bool(pay.effects) is took_effect
    assert run.result.live == (("one",) if took_effect else ())


@pytest.mark.parametrize(("outcome", "live"), [("happened", ("one",)), ("did_not_happen", ())])
async def test_a_call_in_doubt_is_settled_by_the_script(outcome, live):
    pay = fake_tool("pay", reversibility="irreversible").be_in_doubt()
    run = await run_plan(plan(("one", "pay")), [pay], resolve={"one": outcome})
    assert (run.result.live, run.result.not_settled) == (live, ())


async def test_a_compensation_that_fails_is_skipped_by_the_script():
    put = fake_tool("put").fail("cannot be undone now", kind="compensate")
    pay = fake_tool("pay", reversibility="irreversible").fail()
    steps = plan(("one", "put"), ("two", "pay"))
    run = await run_plan(steps, [put, pay], resolve={"one": "skip"})
    assert (run.result.kept, list(put.effects)) == (("one",), ["fakes-1/one"])


async def test_a_dry_run_that_fails_keeps_the_step_from_going_live():
    put = fake_tool("put").fail("no such thing", kind="dry_run", times=10)
    run = await run_plan(plan(("one", "put")), [put])
    assert put.count("live") == 0
    assert "no such thing" in " ".join(run.step("one").reasons)


async def test_several_approvers_answer_and_the_requester_is_left_out():
    policy = Policy(agents={"*": AgentPolicy(permissions=("*",))}, approvals_required=2, approvers=("rita", "alice", "bob"))
    put = fake_tool("put")
    run = await run_plan(plan(("one", "put")), [put], policy=policy)
    voters = [entry.by for entry in run.audit.entries if entry.what == "approve"]
    assert (voters, run.result.outcome) == (["alice", "bob"], Outcome.COMPLETED)


async def test_several_plans_share_a_dev_server():
    put = fake_tool("put")
    async with temporal_server("dev") as server:
        for number in (1, 2):
            await run_plan(plan(("one", "put"), plan_id=f"fakes-{number}"), [put], server=server)
    assert list(put.effects) == ["fakes-1/one", "fakes-2/one"]


async def test_a_time_skipping_server_is_not_shared():
    async with temporal_server() as server:
        with pytest.raises(AirlockError, match="plans share dev servers only"):
            await run_plan(plan(("one", "put")), [fake_tool("put")], server=server)


async def test_a_plan_that_does_not_end_in_time_says_where_it_is():
    put = fake_tool("put", rate_limit="1/d")
    steps = plan(("one", "put"), ("two", "put"))
    for within in (2, 20, 120):  # on a busy machine two seconds end before the plan is live
        with pytest.raises(PlanStuck, match=f"has not ended within {within} s: in ") as stuck:
            await run_plan(steps, [put], within=within, server="dev")
        if "in LIVE" in str(stuck.value):
            break
    assert "in LIVE, it waits for" in str(stuck.value)


async def test_a_missing_server_names_the_extra(monkeypatch):
    monkeypatch.setattr(servers.shutil, "which", lambda *_args, **_more: None)
    with pytest.raises(AirlockError, match=r"pip install 'airlock-temporal\[servers\]'"):
        await run_plan(plan(("one", "put")), [fake_tool("put")])


def test_it_needs_no_pytest():
    code = "import sys, airlock.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
