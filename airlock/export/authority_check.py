"""The check of who decided, from the files alone: roles, evidence and number of people, by the policy that was sealed."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from airlock.admission.decision_rules import DecisionName, Demand, demands_evidence, people_needed, rules_for
from airlock.admission.roles import has_role
from airlock.base.names import RESERVED
from airlock.base.person import same_person, spellings
from airlock.base.text import listed
from airlock.export.lines import AuditEvent, TransitionLine
from airlock.export.plan_lines import PlanRecord
from airlock.export.policy_in_force import RulesInForce, is_request, rules_in_force
from airlock.plans.contract import Risk
from airlock.plans.state import Event
from airlock.run.audit import AuditKind

_NAMES: Final = frozenset(name.value for name in DecisionName)
_MADE_BY: Final = {
    Event.DENIED.value: DecisionName.DENY,
    Event.LOCK.value: DecisionName.LOCK,
    Event.UNLOCK.value: DecisionName.UNLOCK,
    Event.ROLLBACK.value: DecisionName.ROLLBACK,
    Event.ABORT.value: DecisionName.ABORT,
    Event.AMENDED.value: DecisionName.AMEND,
}
"""The decision of a person that makes each transition. Approvals are votes, which have a check of their own."""
_GATES: Final = ("live gate", "gate ")
"""The beginning of the name of a gate, which tells of a lock that no person made."""
_SETTLED: Final = (Event.SETTLED_LIVE.value, Event.SETTLED_UNDO.value)


def authority_faults(record: PlanRecord, notes: list[str]) -> Iterator[str]:
    """Yield each decision that counted although the sealed policy does not let that person make it, or asks for more people.

    Args:
        record: The lines of the plan.
        notes: What only a policy outside of the record can have allowed is added here.
    """
    check = _Authority(record, notes)
    yield from check.faults()


class _Authority:
    """One look at one plan."""

    def __init__(self, record: PlanRecord, notes: list[str]) -> None:
        self._record = record
        self._notes = notes
        self._rules = rules_in_force(record, notes)
        self._approved = {decision.entry: decision.steps for seal in record.seals for decision in seal.decisions}
        self._made: list[AuditEvent] = []
        """The decisions so far."""
        self._stay: list[AuditEvent] = []
        """The decisions since the last transition: a voice counts no longer than the plan stays in its state."""

    def faults(self) -> Iterator[str]:
        """Yield the faults, in the order of the entries."""
        for event in self._record.events:
            rules = self._rules.get(event.seq)
            if isinstance(event, TransitionLine):
                yield from self._transition_faults(event, rules)
                self._stay = []
            elif isinstance(event, AuditEvent) and _counted(event):
                if rules is not None and not event.gate:
                    yield from self._decision_faults(event, rules)
                elif rules is not None:
                    self._note_unproved(event, rules)
                self._made.append(event)
                self._stay.append(event)
        self._note_unproved_request()

    def _decision_faults(self, event: AuditEvent, rules: RulesInForce) -> Iterator[str]:
        for why, certain in (*_personal(event, rules, self._risks(event, rules)), *self._not_apart(event, rules)):
            if certain and rules.certain:
                yield f"entry {event.seq}: {why}"
            else:
                policy = "another policy" if rules.certain else "the policy before the first admission"
                self._notes.append(
                    f"{self._record.execution.workflow_id}: entry {event.seq}: {why};"
                    f" {policy}, which is not in the record, may have allowed it"
                )

    def _note_unproved(self, event: AuditEvent, rules: RulesInForce) -> None:
        """Note a decision at a gate that the record does not prove. The policy of the gate's worker judged it."""
        if event.signed is None and not event.by.startswith(_GATES) and demands_evidence(rules.rules.decisions, event.what):
            place = f"{self._record.execution.workflow_id}: entry {event.seq}"
            self._notes.append(f"{place}: {event.what} by {event.by!r} at a gate is not proved by this record")

    def _note_unproved_request(self) -> None:
        """Note an undo without a request that was judged: so it is in runs of epochs before `UNDO_REQUEST_EPOCH`."""
        line, rules = self._record.execution, next((one.rules for one in self._rules.values() if one.certain), None)
        if not line.undo or rules is None or not demands_evidence(rules.decisions, DecisionName.ROLLBACK.value):
            return
        if not any(is_request(self._record, event) for event in self._made):
            said = f"that {line.requested_by!r} asked for this undo is not proved by this record"
            self._notes.append(f"{line.workflow_id}: {said}")

    def _risks(self, event: AuditEvent, rules: RulesInForce) -> frozenset[str]:
        """Return the risks of the steps that a decision is about."""
        about = rules.rules.risk_of
        if event.what == DecisionName.APPROVE:
            return frozenset(about[step] for step in self._approved.get(event.seq, ()) if step in about)
        if event.what == DecisionName.RESOLVE:
            return frozenset(risk for step, risk in about.items() if step == event.step)
        return frozenset(about.values())

    def _not_apart(self, event: AuditEvent, rules: RulesInForce) -> Iterator[tuple[str, bool]]:
        own = rules.rules.decisions.get(DecisionName(event.what))
        if own is None:
            return
        # an unsigned record does not tell an abort from the withdrawal that every requester may make
        may_withdraw = event.what == DecisionName.ABORT and (event.signed is None or event.signed.statement.withdrawn)
        asks = is_request(self._record, event)
        if own.not_requester and not (may_withdraw or asks) and same_person(event.by, self._record.execution.requested_by):
            yield f"{event.what} by {event.by!r}, who requested this, and the sealed policy asks for another person", True
        for name in own.not_after:
            if any(made.what == name and not made.gate and same_person(made.by, event.by) for made in self._made):
                yield f"{event.what} by {event.by!r}, who has decided {name.value}, and the sealed policy forbids it", True

    def _transition_faults(self, moved: TransitionLine, rules: RulesInForce | None) -> Iterator[str]:
        if rules is None or not rules.certain or moved.by in RESERVED:
            return
        if moved.event in _SETTLED:
            yield from self._settlement_faults(moved, rules)
            return
        name = _MADE_BY.get(moved.event)
        # the approval of an undo begins its rollback in the name of the person who asked for it
        if name is None or name not in rules.rules.decisions or (self._record.execution.undo and moved.from_state == "LIVE"):
            return
        said = [event for event in self._stay if event.what == name]
        own = [event for event in said if event.by == moved.by]
        if not own:
            yield f"entry {moved.seq}: {name.value} by {moved.by!r}, who has decided nothing of the kind before it"
        elif not own[-1].gate:
            same = [event for event in said if not event.gate and event.step == own[-1].step]
            yield from _people_faults(moved, name, same, rules, self._risks(own[-1], rules))

    def _settlement_faults(self, moved: TransitionLine, rules: RulesInForce) -> Iterator[str]:
        said = [event for event in self._stay if event.what == DecisionName.RESOLVE]
        last = next((event for event in reversed(said) if event.by == moved.by), None)
        if last is None or DecisionName.RESOLVE not in rules.rules.decisions:
            return
        same = [event for event in said if (event.step, event.answer) == (last.step, last.answer)]
        yield from _people_faults(moved, DecisionName.RESOLVE, same, rules, self._risks(last, rules))


def _counted(event: AuditEvent) -> bool:
    return event.kind is AuditKind.DECISION and event.what in _NAMES and event.by not in RESERVED


def _personal(event: AuditEvent, rules: RulesInForce, risks: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """Yield what the policy has against a person, or the evidence; True if no other policy can have allowed it."""
    said = f"{event.what} by {event.by!r}"
    for rule in rules_for(rules.rules.decisions, event.what, _known(risks)):
        if rule.roles and not any(has_role(rules.rules.roles, role, event.by) for role in rule.roles):
            yield f"{said}, who has not the role {' or '.join(rule.roles)} that the sealed policy asks for", True
        if rule.evidence is Demand.NONE:
            continue
        if event.signed is None and event.what == DecisionName.APPROVE:
            continue  # it may be signed in the older form; its own line is checked
        if event.signed is None:
            yield f"{said} is not signed, and the sealed policy demands it", True
        elif rule.evidence not in (Demand.SIGNED, event.signed.evidence.kind):
            # where one policy demands a passkey and another an SSH key, that of the day counts
            kind = event.signed.evidence.kind
            yield f"{said} is signed with {kind}, and the sealed policy demands {rule.evidence.value}", False


def _people_faults(
    moved: TransitionLine, name: DecisionName, same: Sequence[AuditEvent], rules: RulesInForce, risks: frozenset[str]
) -> Iterator[str]:
    """Yield an error if fewer people decided the same before a transition than the policy asks for."""
    needed = people_needed(rules.rules.decisions, name.value, _known(risks))
    age = None if rules.rules.valid_for is None else timedelta(seconds=rules.rules.valid_for)
    people = spellings(one.by for one in same if age is None or moved.timestamp < one.timestamp + age)
    if len(people) < needed:
        who = listed([names[0] for names in people.values()])
        yield f"entry {moved.seq}: {name.value} by {who or 'no person'}, and the sealed policy asks for {needed} people"


def _known(risks: frozenset[str]) -> tuple[Risk, ...]:
    return tuple(risk for risk in Risk if risk.value in risks)
