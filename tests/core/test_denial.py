"""Denials: one denies the plan, and the same refusals as of an approval."""

from typing import Any

import pytest

from airlock.plans.state import State
from airlock.run.outcome import Outcome
from tests.core.approval_build import CHAIN, refused
from tests.core.build import awaiting, policy, say


def test_one_denial_denies() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    say(run, "approve", by="ann")
    assert say(run, "deny", by="bob").accepted
    assert run.state is State.MOCK
    assert run.outcome is Outcome.DENIED


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"digest": "0" * 64}, "not the digest"),
        ({"digest": "ab"}, "12 characters"),
        ({"by": "stranger"}, "not among the approvers"),
    ],
)
def test_a_denial_that_does_not_count(fields: dict[str, Any], words: str) -> None:
    run = awaiting(CHAIN, policy(approvers=["boss"]))
    refused(run, say(run, "deny", **fields), words)
    assert run.outcome is None


def test_a_denial_while_nobody_asks() -> None:
    run = awaiting(CHAIN)
    say(run, "lock")
    verdict = say(run, "deny")
    assert not verdict.accepted
    assert "LOCKED" in verdict.reason


def test_a_denial_may_name_the_digest() -> None:
    run = awaiting(CHAIN)
    assert say(run, "deny", digest=str(run.digest)[:12]).accepted
