"""Every claim of the chaos run can fail: the same evidence, doctored in one place, is told from the sound one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airlock.plans.state import State
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import PlanResult, StatusView
from devtools.chaos import as_json
from devtools.chaos_checks import CHECKS, Closure, Evidence, judge
from devtools.chaos_plans import Batch, make_plans
from sandbox.chaos_store import Row, Visit
from sandbox.chaos_tools import KEY_HEADER

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def plan(plan_id: str, *steps: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "plan_id": plan_id,
        "steps": [{"id": step, "tool": tool, "args": {"shelf": shelf}} for step, tool, shelf in steps],
    }


def visit(plan_id: str, step: str, shelf: str, began: float, ended: float | None, fence: int | None, **more: Any) -> Visit:
    values = {"kind": "live", "key": f"{plan_id}/{step}", "pid": 1, "clash": "", **more}
    call = f"{plan_id}{step}{began}"
    return Visit(call=call, plan=plan_id, step=step, shelf=shelf, began=began, ended=ended, fence=fence, **values)


def row(plan_id: str, step: str, shelf: str) -> Row:
    return Row(f"{plan_id}/{step}", plan_id, step, shelf)


def mail(key: str, to: str = "jo@chaos.test") -> dict[str, Any]:
    return {"to": [to], "subject": "news", "headers": {KEY_HEADER: key}}


def result(plan_id: str, state: State, outcome: Outcome, *live: str) -> PlanResult:
    return PlanResult(
        plan_id=plan_id, outcome=outcome, state=state, why="", digest=None, steps=(), live=live, undone=(), kept=(),
        not_settled=(),
    )  # fmt: skip


def status(state: State, *possible: str) -> StatusView:
    return StatusView(
        plan_id="p", goal="", requested_by="rita", state=state, since=NOW, why="why", outcome=None, digest=None,
        expires_at=None, approvals=(), approvals_required=1, steps=(), in_flight=(), parked=(), possible=possible, refused=0,
        refusals=(), waits_for="",
    )  # fmt: skip


def sound() -> Evidence:
    """Return three plans at two shelves: one completed, one rolled back, one parked.

    A worker died in the middle of a call.
    """
    batch = Batch(
        (
            plan("done", ("put", "book", "s1"), ("mail", "notify", "s1")),
            plan("back", ("put", "stack", "s1"), ("fail", "book", "s2")),
            plan("parked", ("put", "pin", "s2")),
        ),
        twins=(),
        refused=("back",),
    )
    visits = [
        visit("done", "put", "s1", 10.0, 10.2, 1),
        visit("done", "mail", "s1", 10.5, 10.6, 1),
        visit("back", "put", "s1", 11.0, 11.2, 2),
        visit("back", "fail", "s2", 11.3, 11.4, 1),
        visit("back", "put", "s1", 11.6, 11.7, None, kind="undo"),
        visit("parked", "put", "s2", 30.0, None, 2, pid=7),
    ]
    return Evidence(
        batch=batch,
        ended={
            "done": result("done", State.COMPLETED, Outcome.COMPLETED, "put", "mail"),
            "back": result("back", State.ABORTED, Outcome.ABORTED),
        },
        still={"parked": status(State.LOCKED, "resolve")},
        visits=visits,
        rows=[row("done", "put", "s1")],
        mails=[mail("done/mail")],
        deaths={7: 30.1},
        closure=Closure(20.0, 25.0),
        server_restarts=1,
        replays={"plan-done, run 1": "", "gate-live, run 2": ""},
    )


def add_visit(seen: Evidence, *more: Visit) -> Evidence:
    return replace(seen, visits=sorted([*seen.visits, *more], key=lambda each: each.began))


DOCTORED: dict[str, tuple[str, Callable[[Evidence], Evidence]]] = {
    "nobody-killed": ("chaos_happened", lambda seen: replace(seen, deaths={})),
    "no-restart": ("chaos_happened", lambda seen: replace(seen, server_restarts=0)),
    "no-lock": ("chaos_happened", lambda seen: replace(seen, closure=None)),
    "no-undo": (
        "chaos_happened", lambda seen: replace(seen, visits=[each for each in seen.visits if each.kind != "undo"])
    ),
    "no-mail": ("chaos_happened", lambda seen: replace(seen, mails=[])),
    "stuck-in-live": ("all_settled", lambda seen: replace(seen, still={"parked": status(State.LIVE)})),
    "locked-for-ever": ("all_settled", lambda seen: replace(seen, still={"parked": status(State.LOCKED)})),
    "no-answer": ("all_settled", lambda seen: replace(seen, still={"parked": "no worker polls"})),
    "unheard": ("all_settled", lambda seen: replace(seen, still={}, lost_tasks=("another",))),
    "forgotten": ("all_settled", lambda seen: replace(seen, still={})),
    "same-mail-again": ("mails_once", lambda seen: replace(seen, mails=[*seen.mails, mail("done/mail", "another")])),
    "mail-of-a-twin": ("mails_once", lambda seen: replace(seen, mails=[*seen.mails, mail("twin/mail")])),
    "mail-of-nobody": ("mails_once", lambda seen: replace(seen, mails=[*seen.mails, mail("", "another")])),
    "row-left": ("nothing_left", lambda seen: replace(seen, rows=[*seen.rows, row("back", "put", "s1")])),
    "not-rolled-back": (
        "nothing_left",
        lambda seen: replace(seen, ended={**seen.ended, "back": result("back", State.COMPLETED, Outcome.PARTIAL, "put")}),
    ),
    "row-twice": ("as_reported", lambda seen: replace(seen, rows=[*seen.rows, row("done", "put", "s1")])),
    "row-lost": ("as_reported", lambda seen: replace(seen, rows=[])),
    "mail-lost": ("as_reported", lambda seen: replace(seen, mails=[])),
    "row-unreported": (
        "as_reported",
        lambda seen: replace(seen, ended={**seen.ended, "done": result("done", State.COMPLETED, Outcome.PARTIAL, "mail")}),
    ),
    "found-somebody": (
        "alone", lambda seen: add_visit(seen, visit("parked", "put", "s1", 9.0, 9.1, 0, clash="done"))
    ),
    "at-the-same-moment": ("alone", lambda seen: add_visit(seen, visit("parked", "put", "s1", 10.1, 10.15, 3))),
    "between-two-calls": ("alone", lambda seen: add_visit(seen, visit("parked", "put", "s1", 10.3, 10.4, 3))),
    "during-an-undo": ("alone", lambda seen: add_visit(seen, visit("parked", "put", "s1", 11.65, 11.8, 3))),
    "before-the-dead-was-dead": ("alone", lambda seen: add_visit(seen, visit("done", "x", "s2", 30.05, 30.2, 3))),
    "never-ended-and-alive": (
        "alone", lambda seen: add_visit(replace(seen, deaths={8: 1.0}), visit("done", "x", "s2", 99.0, 99.1, 3))
    ),
    "no-token": ("fences_grow", lambda seen: add_visit(seen, visit("done", "x", "s9", 12.0, 12.1, None))),
    "token-went-back": ("fences_grow", lambda seen: add_visit(seen, visit("done", "x", "s1", 12.0, 12.1, 1))),
    "one-token-for-two": ("fences_grow", lambda seen: add_visit(seen, visit("parked", "x", "s1", 12.0, 12.1, 2))),
    "began-while-locked": ("still_while_locked", lambda seen: add_visit(seen, visit("done", "x", "s3", 21.0, 21.1, 1))),
    "ran-into-the-lock": ("still_while_locked", lambda seen: add_visit(seen, visit("done", "x", "s3", 19.9, 20.1, 1))),
    "lock-at-the-end": ("still_while_locked", lambda seen: replace(seen, closure=Closure(100.0, 105.0))),
    "lock-at-the-beginning": ("still_while_locked", lambda seen: replace(seen, closure=Closure(1.0, 5.0))),
    "lock-without-proof": ("still_while_locked", lambda seen: replace(seen, closure=None)),
    "stuck-gate": ("histories_replay", lambda seen: replace(seen, replays={**seen.replays, "gate-x, run 3": "[TMPRL1100]"})),
    "no-history": ("histories_replay", lambda seen: replace(seen, replays={})),
}  # fmt: skip


def failing(evidence: Evidence) -> set[str]:
    return {check.__name__ for check in CHECKS if check(evidence).wrong}


def test_sound_evidence_passes_every_check() -> None:
    assert [finding for finding in judge(sound()) if not finding.holds] == []


@pytest.mark.parametrize("doctored", DOCTORED)
def test_doctored_evidence_is_found_out(doctored: str) -> None:
    check, change = DOCTORED[doctored]
    assert check in failing(change(sound()))


def test_every_check_can_fail() -> None:
    assert {check for check, _ in DOCTORED.values()} == {check.__name__ for check in CHECKS}


def test_another_plan_may_come_once_the_dead_is_dead() -> None:
    assert failing(add_visit(sound(), visit("done", "x", "s2", 30.2, 30.3, 3))) == set()


def test_a_failed_claim_fails_the_whole_run() -> None:
    wrong = judge(replace(sound(), rows=[]))
    assert '"ok": false' in as_json(wrong, 1, 3, 1.0)
    assert '"ok": true' in as_json(judge(sound()), 1, 3, 1.0)


def test_plans_are_the_same_for_the_same_seed() -> None:
    batch = make_plans(7, 100)
    assert batch == make_plans(7, 100)
    assert batch != make_plans(8, 100)
    assert len(batch.plans) == 100
    by_id = {each["plan_id"]: each for each in batch.plans}
    assert len(by_id) == 100
    for first, second in batch.twins:
        assert by_id[first]["steps"] == by_id[second]["steps"]
        assert any(step["tool"] == "notify" for step in by_id[first]["steps"])
    for plan_id in batch.refused:
        assert sum(bool(step["args"].get("refuse")) for step in by_id[plan_id]["steps"]) == 1
    for each in batch.plans:
        assert 2 <= len(each["steps"]) <= 5
        assert 1 <= len({step["args"]["shelf"] for step in each["steps"]}) <= 3
