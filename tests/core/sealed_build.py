"""An example of a seal in which every field holds something."""

from airlock.run.sealing.sealed import Sealed
from airlock.run.state import Run
from tests.core.build import awaiting, plan, policy, preview, step


def sealed_of(run: Run) -> Sealed:
    assert run.sealed is not None
    return run.sealed


RULES = policy(approvers=["ann", "bob"], approvals_required=2, signature_required="high")
EXAMPLE = awaiting(
    plan(
        step("find", "read", args={"query": "acme", "deep": {"list": [1, "two", {"three": True}]}}),
        step("make", "write", "find", args={"name": {"$ref": "find.name"}, "key": "k"}),
        step("more", "write", "find", args={"key": "k"}),
        step("tell", "mail", "make"),
        step("weak", "write", confidence=0.7),
        deadline="2h",
        phase21_plan_id="p21",
        phase22_validation_id="v22",
    ),
    RULES,
    make=preview("make", args={"name": "(known after live)"}, output={"id": 4}, undo="deletes it", looked=False),
)
SEALED = sealed_of(EXAMPLE)
