"""Arbitrary messages and events against one run: nothing goes live that the quorum did not approve as it is sealed.

The machine plays the workflow (stages, calls, compensations), everybody who may send something, and the outside world,
which keeps its own books of what was said and what really took effect.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airlock.base.incoming import MalformedMessage
from airlock.plans.contract import Mode
from airlock.plans.outcome import CallInDoubt, CallStale, MockFailed, PreviewFailed, ProbeAnswer, UndoFailed, Undone
from airlock.plans.parents import reversed_parents
from airlock.plans.seal import seal
from airlock.plans.state import Event, State
from airlock.run.audit import MAX_REFUSALS
from airlock.run.call_record import CallStatus
from airlock.run.decisions.approval import waived_by_policy
from airlock.run.decisions.decision import decide, refuse
from airlock.run.live.call_results import after_calls, after_rollback, keep, outcome_of, take_outcomes, take_probe, take_undo
from airlock.run.messages import Approve, Resolve, parse_message
from airlock.run.outcome import Outcome
from airlock.run.rehearsal import begin_rehearsal, seal_run, take_mocks, take_previews
from airlock.run.state import Run
from airlock.run.undo_scope import steps_to_undo
from tests.core.build import (
    NOW,
    TOOLS,
    dags,
    failed,
    json_values,
    later,
    live,
    new_run,
    plan_of,
    policy,
    preview,
    waive,
)

PEOPLE = ("ann", "bob", "eve", "author", "bot", " ann")
PARKED = (CallStatus.IN_DOUBT, CallStatus.UNDO_FAILED)
SIGNALS = ("approve", "deny", "lock", "unlock", "rollback", "abort", "resolve")
# what ends a plan is said rarely, so that there is something to end
OFTEN = (*["approve", "lock", "unlock", "resolve"] * 4, "rollback", "rollback", "deny", "abort")
ENDS = ("live", "live", "live", "live", "failed", "half", "stale", "doubt", "nan")
SETTLEMENTS = ("happened", "did_not_happen", "retry", "skip", "compensated")


class Airlock(RuleBasedStateMachine):
    """One run under everything that can happen to it."""

    @initialize(data=st.data(), parents=dags(max_size=5))
    def propose(self, data: st.DataObject, parents: dict[str, tuple[str, ...]]) -> None:
        self.tools = {name: data.draw(st.sampled_from(TOOLS)) for name in parents}
        self.rules = policy(
            approvals_required=data.draw(st.integers(1, 2)),
            approvers=data.draw(st.sampled_from([(), ("ann", "bob", "eve"), ("ann", "author", "bot")])),
            approval_waived_for=data.draw(st.sampled_from([(), ("LOW",), ("LOW", "MEDIUM", "HIGH")])),
            enable_rollback_on_failure=data.draw(st.booleans()),
            rollback_on_stale=data.draw(st.booleans()),
        )
        self.names = sorted(parents)
        self.run = new_run(plan_of(parents, self.tools), self.rules)
        self.now: datetime = NOW
        self.said: dict[str, list[tuple[str, frozenset[str] | None]]] = defaultdict(list)
        self.used: list[str] = []
        self.digests: list[str] = []
        self.effect: dict[str, str] = dict.fromkeys(parents, "none")  # none, done, unknown
        self.ended: tuple[State, Outcome | None] | None = None
        self.whole_rollback = False
        self.looked = 0
        self.rehearse_well()

    # the workflow

    @property
    def open(self) -> bool:
        return not self.run.state.closed and self.run.outcome is None

    def at(self, state: State) -> bool:
        return self.open and self.run.state is state

    @precondition(lambda self: self.at(State.MOCK))
    @rule(data=st.data())
    def rehearse(self, data: st.DataObject) -> None:
        self.rehearse_well(data.draw(st.lists(st.sampled_from(self.names), max_size=1)))

    def rehearse_well(self, broken: Sequence[str] = ()) -> None:
        assert not self.run.in_flight
        begin_rehearsal(self.run, self.run.contracts())
        take_mocks(self.run, [MockFailed(step=name, error="no") for name in broken if name in self.run.left(Mode.MOCK)])
        self.run.apply(Event.REHEARSED if self.run.left(Mode.DRY_RUN) else Event.CAPPED, self.now)

    @precondition(lambda self: self.at(State.DRY_RUN))
    @rule(data=st.data(), changed=st.booleans())
    def look(self, data: st.DataObject, changed: bool) -> None:
        self.looked += changed
        self.look_well(data.draw(st.lists(st.sampled_from(self.names), max_size=1)))

    def look_well(self, broken: Sequence[str] = ()) -> None:
        run = self.run
        take_previews(
            run,
            [
                PreviewFailed(step=name, error="no") if name in broken else preview(name, observed={"version": self.looked})
                for name in run.left(Mode.DRY_RUN)
            ],
        )
        if not run.left(Mode.LIVE):
            run.apply(Event.CAPPED, self.now)
            return
        seal_run(run, self.now)
        assert run.digest is not None
        assert run.digest not in self.digests, "an approval is for one seal, and counts once"
        self.digests.append(run.digest)
        run.apply(Event.PREVIEWED, self.now)
        if waived_by_policy(run):
            waive(run, self.now)
            self.used.append(run.digest)

    @precondition(lambda self: self.at(State.AWAITING_APPROVAL))
    @rule(really=st.sampled_from([False] * 9 + [True]))
    def expire(self, really: bool) -> None:
        if not really:
            return
        assert self.run.expires_at is not None
        self.now = max(self.now, self.run.expires_at)
        self.run.apply(Event.EXPIRED, self.now)
        self.run.outcome = Outcome.EXPIRED

    def may_start(self) -> list[str]:
        """Return the workflow's own rule: nothing failed, nothing in doubt, and all dependencies are live."""
        by_status = self.run.steps_with
        if not self.at(State.LIVE) or by_status[CallStatus.FAILED] or by_status[CallStatus.IN_DOUBT]:
            return []
        parents, standing = self.run.contracts().parents, set(self.run.live)
        return [
            name
            for name in self.run.approved
            if name not in standing and name not in self.run.in_flight and set(parents[name]) <= standing
        ]

    @precondition(lambda self: bool(self.may_start()))
    @rule(data=st.data())
    def start_a_call(self, data: st.DataObject) -> None:
        self.start_call(data.draw(st.sampled_from(self.may_start())))

    def start_call(self, name: str) -> None:
        self.check_approved(name)
        assert self.effect[name] == "none", f"{name} would take effect twice"
        self.run.in_flight = (*self.run.in_flight, name)

    @precondition(lambda self: bool(self.run.in_flight))
    @rule(data=st.data(), how=st.sampled_from(ENDS))
    def a_call_ends(self, data: st.DataObject, how: str) -> None:
        self.end_call(data.draw(st.sampled_from(self.run.in_flight)), how)

    def end_call(self, name: str, how: str) -> None:
        self.run.in_flight = tuple(other for other in self.run.in_flight if other != name)
        outcomes: dict[str, Any] = {
            "live": live(name),
            "nan": live(name, output=float("nan")),
            "failed": failed(name),
            "half": failed(name, undo={"token": "half"}),
            "stale": CallStale(step=name, error="moved"),
            "doubt": CallInDoubt(step=name, error="lost", undo={"token": "maybe"}),
        }
        take_outcomes(self.run, [outcomes[how]], self.now)
        self.effect[name] = {"live": "done", "nan": "done", "doubt": "unknown"}.get(how, "none")
        if not self.run.in_flight and how != "live":
            stale = [outcomes[how]] if how == "stale" else []
            after_calls(self.run, stale, self.now, deadline_passed=False)

    @precondition(lambda self: self.at(State.LIVE) and not self.run.in_flight)
    @rule(deadline=st.booleans())
    def judge_calls(self, deadline: bool) -> None:
        if deadline or not self.may_start():
            after_calls(self.run, [], self.now, deadline_passed=deadline)

    @precondition(lambda self: self.open and bool(self.run.steps_with[CallStatus.IN_DOUBT]) and not self.run.in_flight)
    @rule(happened=st.sampled_from([True, False, None]))
    def probe(self, happened: bool | None) -> None:
        if self.run.state not in (State.LIVE, State.ROLLBACK):
            return
        name = self.run.steps_with[CallStatus.IN_DOUBT][0]
        take_probe(self.run, ProbeAnswer(step=name, happened=happened), self.now)
        self.effect[name] = {True: "done", False: "none", None: "unknown"}[happened]

    @precondition(lambda self: self.at(State.ROLLBACK) and not self.run.in_flight)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        self.undo_some(data)

    def undo_some(self, data: st.DataObject) -> None:
        """Some compensations, children first, then the verdict when nothing more can be started."""
        run = self.run
        children = reversed_parents(run.contracts().parents)
        covered = steps_to_undo(run)
        for name in reversed(run.contracts().order):
            if name not in covered or data.draw(st.integers(0, 9)) == 0:
                continue
            if any(child in steps_to_undo(run) or child in run.parked for child in children[name] if child in covered):
                continue
            contract, record = run.contracts().contract(name), run.calls[name]
            if contract.irreversible and record.status is CallStatus.LIVE:
                keep(run, name, self.now)
            elif contract.undoable and not (record.status is CallStatus.FAILED and record.undo is None):
                works = data.draw(st.integers(0, 4)) > 0
                take_undo(run, Undone(step=name) if works else UndoFailed(step=name, error="no"), self.now)
                if works:
                    self.effect[name] = "none"
        whole = run.rollback is not None and run.rollback.to_step is None
        after_rollback(run, self.now)
        self.whole_rollback = whole and run.state is State.ABORTED

    @rule()
    def continue_as_new(self) -> None:
        again = Run.model_validate_json(self.run.model_dump_json())
        assert again.model_dump_json() == self.run.model_dump_json()
        self.run = again

    @rule(hours=st.sampled_from([0.1] * 9 + [30]))
    def time_passes(self, hours: float) -> None:
        self.now += later(hours) - NOW

    # everybody who may send something

    @rule(data=st.data(), name=st.sampled_from(OFTEN), by=st.sampled_from(PEOPLE))
    def say(self, data: st.DataObject, name: str, by: str) -> None:
        fields: dict[str, Any] = {"by": by, "reason": "because"}
        if name in ("approve", "deny"):
            known = [digest for digest in (self.run.digest, *self.digests) if digest]
            fields["digest"] = data.draw(st.sampled_from([*known, *(digest[:12] for digest in known), "0" * 64, "ab"]))
        if name == "approve":
            fields["steps"] = data.draw(st.none() | st.lists(st.sampled_from([*self.names, "nope"]), max_size=4))
        if name == "rollback":
            fields["to_step"] = data.draw(st.none() | st.sampled_from([*self.names, "nope"]))
        if name == "resolve":
            waiting = self.run.parked or tuple(self.names)
            fields |= {"step": data.draw(st.sampled_from(waiting)), "outcome": data.draw(st.sampled_from(SETTLEMENTS))}
        self.send(name, fields)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """Whatever the plan waits for happens."""
        run = self.run
        match run.state:
            case State.MOCK:
                self.rehearse_well()
            case State.DRY_RUN:
                self.look_well()
            case State.AWAITING_APPROVAL:
                for by in ("ann", "eve"):
                    self.send("approve", {"by": by, "digest": run.digest})
            case State.LIVE:
                self.call_on(data)
            case State.ROLLBACK if not run.in_flight:
                self.undo_some(data)
            case State.LOCKED if run.parked and not run.in_flight:
                wrong = run.calls[run.parked[0]].status is CallStatus.UNDO_FAILED
                outcome = data.draw(st.sampled_from(("retry", "skip") if wrong else ("happened", "did_not_happen")))
                self.send("resolve", {"by": "ann", "reason": "saw it", "step": run.parked[0], "outcome": outcome})
            case State.LOCKED:
                self.send("unlock", {"by": "ann", "reason": "enough"})

    def call_on(self, data: st.DataObject) -> None:
        if self.run.in_flight:
            self.end_call(self.run.in_flight[-1], data.draw(st.sampled_from(ENDS)))
        elif self.may_start():
            self.start_call(self.may_start()[-1])
        else:
            after_calls(self.run, [], self.now, deadline_passed=False)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def go_on_further(self, data: st.DataObject) -> None:
        for _ in range(3):
            if self.open:
                self.go_on(data)

    @rule(name=st.sampled_from(SIGNALS), junk=json_values | st.dictionaries(st.text(max_size=6), json_values))
    def send_junk(self, name: str, junk: Any) -> None:
        self.send(name, junk)

    def send(self, name: str, fields: Any) -> None:
        run, before = self.run, self.run.state
        digest, moves, calls = run.digest, run.moves, dict(run.calls)
        try:
            message = parse_message(name, (fields,))
        except MalformedMessage as error:
            refuse(run, name, str(error), self.now)
            assert run.moves == moves
            return
        verdict = decide(run, name, message, self.now)
        assert verdict.reason
        if not verdict.accepted:
            assert (run.state, run.moves, run.calls) == (before, moves, calls)
            return
        assert self.ended is None
        if isinstance(message, Approve):
            assert before is State.AWAITING_APPROVAL
            assert digest is not None
            assert digest.startswith(message.digest.lower())
            assert message.by not in ("author", "bot")
            assert not self.rules.approvers or message.by in self.rules.approvers
            chosen = None if message.steps is None else frozenset(message.steps)
            self.said[digest].append((message.by, chosen))
            if run.state is State.LIVE:
                assert digest not in self.used
                self.used.append(digest)
        if isinstance(message, Resolve):
            assert before is State.LOCKED
            assert calls[message.step].status in PARKED
            self.effect[message.step] = {
                "happened": "done",
                "did_not_happen": "none",
                "compensated": "none",
                "retry": self.effect[message.step],
                "skip": "skipped",
            }[message.outcome.value]
        changed = {step for step in run.calls if run.calls[step] != calls.get(step)}
        settled = {message.step} if isinstance(message, Resolve) else set()
        assert not any(calls[step].status in PARKED for step in changed - settled)

    # what always holds

    def check_approved(self, name: str) -> None:
        """The quorum approved this step under the current seal, or the policy waives it."""
        run = self.run
        assert run.sealed is not None
        assert run.digest == seal(run.sealed)
        shown = next(shown for shown in run.sealed.steps if shown.id == name)
        assert shown.ceiling is Mode.LIVE
        assert not shown.already_live
        assert shown.preview is not None
        if self.rules.waives_approval(run.contracts().contract(name)):
            return
        assert self.tools[name] not in ("mail", "post") or self.said[run.digest]
        voices = {by for by, steps in self.said[run.digest] if steps is None or name in steps}
        assert len(voices) >= self.rules.approvals_required

    @invariant()
    def live_is_approved(self) -> None:
        if not hasattr(self, "run") or self.run.state is not State.LIVE:
            return
        standing = set(self.run.live)
        assert self.run.approved
        for name in self.run.approved:
            if name not in standing:
                self.check_approved(name)
            assert set(self.run.contracts().parents[name]) <= standing | set(self.run.approved)

    @invariant()
    def what_runs_was_approved(self) -> None:
        assert not hasattr(self, "run") or set(self.run.in_flight) <= set(self.run.approved)

    @invariant()
    def the_audit_is_whole(self) -> None:
        if hasattr(self, "run"):
            assert [entry.number for entry in self.run.audit] == list(range(1, self.run.audited + 1))
            assert sum(entry.kind == "refused" for entry in self.run.audit) == min(self.run.refused, MAX_REFUSALS)
            moves = [entry for entry in self.run.audit if entry.kind == "transition"]
            assert len(moves) == self.run.moves
            assert all(one.to_state == other.from_state for one, other in itertools.pairwise(moves))

    @invariant()
    def the_end_is_the_end(self) -> None:
        if not hasattr(self, "run"):
            return
        if self.ended is not None:
            assert (self.run.state, self.run.outcome) == self.ended
        elif not self.open:
            self.ended = (self.run.state, self.run.outcome)
            assert isinstance(outcome_of(self.run), Outcome)

    @invariant()
    def doubt_is_never_compensated(self) -> None:
        if hasattr(self, "run"):
            assert not set(self.run.parked) & set(steps_to_undo(self.run))

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "run"):
            return
        for name in self.run.live:
            assert self.effect[name] in ("done", "skipped")
        for name, effect in self.effect.items():
            if effect == "unknown":
                assert self.run.calls[name].status is CallStatus.IN_DOUBT
        if self.whole_rollback:
            for name in self.names:
                contract = self.run.contracts().contract(name)
                assert not (contract.undoable and self.effect[name] == "done"), f"{name} was forgotten by the rollback"


TestAirlock = Airlock.TestCase
TestAirlock.settings = settings(
    max_examples=max(100, settings().max_examples),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
