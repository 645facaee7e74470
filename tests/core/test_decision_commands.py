"""The commands that people are shown: where a policy demands a signature, they are shown the one that signs."""

import json
import shlex
from typing import Any

import pytest

from airlock.admission.decision_rules import Demand
from airlock.base.person import KEY_FILE, OWN_NAME
from airlock.plans.seal import names_digest, seal
from airlock.plans.state import Event, State
from airlock.run.call_record import CallStatus
from airlock.run.outcome import Outcome
from airlock.run.presentation.approval_needs import evidence_needed, sealed_demands
from airlock.run.presentation.decision_commands import IN_CONSOLE, approve_command
from airlock.run.presentation.details import details
from airlock.run.presentation.last_status import last_status
from airlock.run.presentation.preview_check import fitting_status
from airlock.run.presentation.views import preview_view, status_view, waits_for
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, plan, policy, rehearse, say, step
from tests.core.markdown import blocks
from tests.core.signed_build import ALICE, BOB, KEYS, PAULA, fields_of, ready, send, signed, stated
from tests.core.undo_build import sealed_undo
from tests.signers import PasskeyPerson

PLAN = plan(step("a"), step("b", "write", "a"))
MIXED = plan(step("low", "read"), step("mail", "mail"))
SSH = {"evidence": "ssh"}


def ruled(proposed: Any = PLAN, **decisions: Any) -> Run:
    run = awaiting(proposed, policy(**KEYS, decisions=decisions))
    run.namespace = "default"
    return run


def options(command: str) -> dict[str, str]:
    words = shlex.split(command)
    return dict(zip(words[3::2], words[4::2], strict=True))


@pytest.mark.parametrize("evidence", ["ssh", "signed"])
def test_the_printed_command_of_a_plan_signs_and_names_enough_of_the_digest(evidence: str) -> None:
    run = ready("approve", policy(**KEYS, approvers=["alice"], decisions={"approve": {"evidence": evidence}}))
    command = str(status_view(run).approve_command)
    *_, before, head, last = preview_view(run).text.split("\n")
    assert (head, last) == ("To approve exactly this:", f"  {command}")
    assert KEY_FILE in before
    assert ("passkey" in before) is (evidence == "signed")
    assert command.startswith("airlock approve p-1 --by alice ")
    said = options(command)
    assert said["--sign-key"] == KEY_FILE
    assert names_digest(said["--digest"], run.digest)
    assert len(said["--digest"]) == 32, "fewer characters are not signed"
    assert send(run, "approve", *signed(run, "approve")).accepted
    assert "temporal workflow" not in preview_view(run).text + details(run)


def test_the_details_show_the_same_command_and_nothing_that_is_refused() -> None:
    run = ruled(approve=SSH, deny=SSH)
    text = details(run)
    (kind, approving), (_, denying) = blocks(text)
    assert kind == "sh"
    assert shlex.split(approving.replace("\\\n", "")) == shlex.split(str(status_view(run).approve_command))
    assert max(len(line) for line in approving.split("\n")) <= 50, "a block of code does not wrap"
    assert options(denying.replace("\\\n", ""))["--sign-key"] == KEY_FILE
    assert "Send a Signal" not in text
    assert OWN_NAME in approving
    assert f"`{OWN_NAME}`" in text
    only_denial = details(ruled(deny={"evidence": "passkey"}))
    assert [language for language, _ in blocks(only_denial)] == ["json", "sh"]
    assert f"**To deny it:** `{IN_CONSOLE}`" in only_denial


def test_what_only_a_passkey_signs_has_no_command_but_the_console() -> None:
    run = ruled(approve={"evidence": "passkey"})
    assert status_view(run).approve_command is None
    assert preview_view(run).text.endswith(f"To approve exactly this:\n  {IN_CONSOLE}")
    assert f"**To approve what is shown below:** `{IN_CONSOLE}`" in details(run)
    assert [language for language, _ in blocks(details(run))] == ["json"], "a denial needs no passkey here"
    assert fitting_status(status_view(run), preview_view(run)).approve_command is None


def test_an_undo_is_approved_by_its_own_name() -> None:
    run = sealed_undo(**KEYS, decisions={"approve": SSH})
    command = str(status_view(run).approve_command)
    assert command.startswith("airlock approve undo-p-1 ")
    assert preview_view(run).text.endswith(f"  {command}")


def test_a_person_is_named_only_where_the_seal_tells_who_may() -> None:
    rules = policy(**KEYS, approvers=["alice", "bob"], roles={"boss": ["bob"]}, decisions={"approve": {"roles": ["boss"]}})
    command = str(status_view(awaiting(PLAN, rules)).approve_command)
    assert command.startswith("temporal workflow signal "), "it needs no signature"
    assert f'"by": "{OWN_NAME}"' in command, "alice has not the role"


@pytest.mark.parametrize(
    ("rules", "proposed", "signs"),
    [
        ({"signature_required": "always"}, PLAN, True),
        ({"signature_required": "high"}, MIXED, True),
        ({"signature_required": "high"}, PLAN, False),
        ({"decisions": {"approve": {"by_risk": {"HIGH": SSH}}}}, MIXED, True),
        ({"decisions": {"approve": {"by_risk": {"HIGH": SSH}}}}, PLAN, False),
        ({"decisions": {"lock": SSH}}, PLAN, False),
    ],
)
def test_a_signature_is_asked_for_where_the_risks_of_the_plan_need_it(
    rules: dict[str, Any], proposed: Any, signs: bool
) -> None:
    run = awaiting(proposed, policy(**KEYS, **rules))
    assert str(status_view(run).approve_command).startswith("airlock approve" if signs else "temporal workflow signal")
    assert ("HIGH risk" in preview_view(run).text) is (signs and proposed is MIXED)


@pytest.mark.parametrize("decision", ["unlock", "resolve"])
@pytest.mark.parametrize("evidence", ["ssh", "passkey"])
def test_a_locked_plan_says_how_its_decision_is_signed(decision: str, evidence: str) -> None:
    rule = {"evidence": evidence, "people": 2, "roles": ["operator"]}
    run = ready(decision, policy(**KEYS, roles={"operator": ["alice", "paula"]}, decisions={decision: rule}))
    if decision == "resolve":
        run.calls["a"] = run.calls["a"].model_copy(update={"status": CallStatus.UNDO_FAILED})
    said = waits_for(run)
    assert "by the role operator, by 2 people, signed with " in said
    assert (f"airlock {decision} p-1" in said) is (evidence == "ssh")
    assert (f"--sign-key {KEY_FILE}" in said) is (evidence == "ssh")
    assert (f"{decision} it in the console" in said) is (evidence == "passkey")
    text = details(run)
    assert "Send a Signal" not in text
    commands = [shlex.split(text.replace("\\\n", "")) for _, text in blocks(text)]
    assert [words[:3] for words in commands] == ([["airlock", decision, "p-1"]] if evidence == "ssh" else [])


# how many people, of which roles, with what evidence


def test_the_number_of_people_is_that_of_the_risks_of_the_plan() -> None:
    run = ruled(MIXED, approve={"by_risk": {"HIGH": {"people": 2, "evidence": "passkey"}}})
    text = preview_view(run).text
    assert "Needs 2 approvals by a person other than author" in text
    assert "Approval of HIGH risk (mail): by 2 people, signed with a passkey in the console." in text
    assert waits_for(run).startswith(
        "2 approvals (for HIGH risk (mail) by 2 people, signed with a passkey in the console) until "
    )
    assert status_view(run).approvals_required == 2
    assert [(each.risk, each.people, each.evidence) for each in status_view(run).demands] == [("HIGH", 2, "passkey")]
    low = ruled(PLAN, approve={"by_risk": {"HIGH": {"people": 2, "evidence": "passkey"}}})
    assert "Needs 1 approval by" in preview_view(low).text
    assert "HIGH" not in preview_view(low).text
    assert waits_for(low).startswith("1 approval until ")
    assert status_view(low).demands == ()


def test_what_is_missing_is_said_after_each_vote() -> None:
    rule = {"people": 2, "roles": ["boss"], **SSH}
    run = ready("approve", policy(**KEYS, roles={"boss": ["alice", "bob"]}, decisions={"approve": rule}))
    needs = "(by the role boss, signed with an SSH key with --sign-key or --ssh-agent) until"
    assert waits_for(run).startswith(f"2 approvals {needs}")
    assert send(run, "approve", *signed(run, "approve")).accepted
    assert waits_for(run).startswith(f"1 approval {needs}")


@pytest.mark.parametrize("epoch", [9, 10])
def test_the_rest_waits_for_the_people_that_a_risk_asks_for(epoch: int) -> None:
    rules = policy(decisions={"approve": {"by_risk": {"HIGH": {"people": 2}}}})
    run = awaiting(MIXED, rules)
    run.admitted = run.contracts().model_copy(update={"epoch": epoch})
    verdict = say(run, "approve", by="alice")
    assert (verdict.accepted, "approval 1 of 2 counted" in verdict.reason) == (True, True)
    if epoch < 10:  # runs of that release went live without the step
        assert (run.state, run.approved) == (State.LIVE, ("low",))
        return
    assert (run.state, run.approved) == (State.AWAITING_APPROVAL, ())
    assert waits_for(run).startswith("1 approval (for HIGH risk (mail) by 2 people) until ")
    assert say(run, "approve", by="bob").accepted
    assert (run.state, run.approved) == (State.LIVE, ("low", "mail"))


def test_steps_of_a_lower_risk_can_be_approved_alone_by_fewer() -> None:
    run = awaiting(MIXED, policy(decisions={"approve": {"by_risk": {"HIGH": {"people": 2}}}}))
    assert say(run, "approve", by="alice", steps=["low"]).accepted
    assert (run.state, run.approved) == (State.LIVE, ("low",))


def test_a_seal_of_an_earlier_release_keeps_its_words_and_its_digest() -> None:
    run = awaiting(PLAN, policy(**KEYS, decisions={"approve": SSH}))
    old = awaiting(PLAN, policy(**KEYS, decisions={"approve": SSH}))
    old.admitted = old.contracts().model_copy(update={"epoch": 8})
    old.apply(Event.LOCK, NOW)
    old.apply(Event.UNLOCK, NOW)
    rehearse(old)
    assert old.sealed is not None
    assert run.sealed is not None
    assert "approval_demands" not in old.sealed.model_dump(mode="json")
    assert "approval_rules" not in run.sealed.model_dump(mode="json")
    line = "Approval: signed with an SSH key with --sign-key or --ssh-agent."
    assert old.sealed.approval_rules == (line,)
    assert line in preview_view(old).text
    assert line in preview_view(run).text
    assert evidence_needed(sealed_demands(old.sealed)) is Demand.SIGNED
    assert str(approve_command(old.sealed, seal(old.sealed))).startswith("airlock approve ")


# refusals


@pytest.mark.parametrize("decision", ["approve", "unlock", "abort"])
def test_a_refusal_does_not_say_its_decision_again(decision: str) -> None:
    run = ready(decision, policy(**KEYS, decisions={decision: SSH}))
    refused = send(run, decision, fields_of(decision, run), None)
    assert refused.reason == "it must be signed with an SSH key with --sign-key or --ssh-agent"


@pytest.mark.parametrize("by", [PAULA, ALICE], ids=["passkey", "ssh"])
def test_a_key_that_workers_do_not_know_is_refused_with_what_to_do(by: Any) -> None:
    run = ready("unlock", policy(decisions={"unlock": {"evidence": "none"}}))
    fields = fields_of("unlock", run, by.name)
    refused = send(run, "unlock", fields, by.evidence(stated("unlock", run, fields)))
    assert "workers read airlock.toml when they start" in refused.reason


def test_the_key_of_another_person_is_named() -> None:
    run = ready("unlock", policy(**KEYS, decisions={"unlock": {"evidence": "none"}}))
    fields = fields_of("unlock", run, "alice")
    refused = send(run, "unlock", fields, BOB.evidence(stated("unlock", run, fields)))
    assert refused.reason == "the signature was made by the key of 'bob', not by one of 'alice'"
    run = ready("unlock", policy(passkeys=[PAULA.registered, PasskeyPerson("alice").registered]))
    refused = send(run, "unlock", fields, PAULA.evidence(stated("unlock", run, fields)))
    assert refused.reason == "the passkey is that of 'paula', and not one of 'alice'"
    assert send(run, "unlock", *signed(run, "unlock", PAULA)).reason == "the plan was in LOCKED"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.DENIED, "denied"),
        (Outcome.EXPIRED, "expired"),
        (Outcome.ABORTED, "aborted"),
        (Outcome.PARTIAL, "not_called"),
    ],
)
def test_no_step_waits_once_its_plan_has_ended(outcome: Outcome, said: str) -> None:
    view = status_view(awaiting(PLAN)).steps[0]
    assert last_status(view, None) == "waiting"
    assert last_status(view, outcome) == said
    assert last_status(view.model_copy(update={"status": "live"}), outcome) == "live"


def test_the_json_of_the_unsigned_signal_is_as_it_was() -> None:
    run = awaiting(PLAN, policy(approvers=["alice"]))
    message = shlex.split(str(status_view(run).approve_command))[-1]
    assert json.loads(message) == {"by": "alice", "digest": str(run.digest)[:16]}
