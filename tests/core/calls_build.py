"""A chain of calls, and runs of it in doubt and in rollback, shared by the tests of outcomes."""

from typing import Any

from airlock.plans.outcome import CallInDoubt
from airlock.plans.state import State
from airlock.run.state import Run
from tests.core.build import call, live, live_run, plan, policy, say, step

CHAIN = plan(step("a"), step("b", "order", "a"), step("c", "mail", "b"), step("r", "read"))
KEEP = policy(enable_rollback_on_failure=False)
DOUBT = CallInDoubt(step="b", error="connection lost", undo={"token": "half"})


def status(run: Run, name: str) -> str:
    return run.calls[name].status.value


def in_doubt(rules: Any = None, **more: Any) -> Run:
    run = live_run(CHAIN, rules) if rules else live_run(CHAIN)
    return call(run, live("a"), DOUBT, **more)


def rolling(to_step: str | None = None) -> Run:
    run = call(live_run(CHAIN), live("a"), live("r"), live("b"), live("c"))
    assert say(run, "rollback", to_step=to_step).accepted
    assert run.state is State.ROLLBACK
    return run
