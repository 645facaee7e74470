"""A chain of steps, the refusal of its approval, and its next rehearsal, for the tests of approvals."""

from airlock.base.incoming import Verdict
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.state import Run
from tests.core.build import plan, rehearse, say, step

CHAIN = plan(step("a"), step("b", "write", "a"), step("c", "mail", "b"), step("weak", confidence=0.7))


def refused(run: Run, verdict: Verdict, *words: str) -> None:
    """The message changed nothing, and the audit tells why."""
    assert not verdict.accepted
    for word in words:
        assert word in verdict.reason
    assert run.audit[-1].kind is AuditKind.REFUSED
    assert run.audit[-1].reason == verdict.reason
    assert run.state is not State.LIVE
    assert run.approved == ()


def rehearse_again(run: Run) -> None:
    say(run, "lock")
    say(run, "unlock")
    rehearse(run)
