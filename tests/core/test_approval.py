"""Approval: one test for each refusal, quorum, parts of a plan, waivers of the policy, signatures."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.config import parse_config
from airlock.admission.policy import Policy
from airlock.base.errors import ConfigError
from airlock.base.incoming import Verdict
from airlock.base.keys import SignatureError, read_key
from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.decisions.approval import approved_steps, may_mean_next_seal, waived_by_policy
from airlock.run.decisions.signature import sign, signature_refusal, signed_text
from airlock.run.messages import Approve, Deny
from airlock.run.outcome import Outcome
from airlock.run.rehearsal import seal_run
from airlock.run.state import Run
from tests.core.build import (
    NOW,
    awaiting,
    call,
    dags,
    later,
    live,
    plan,
    plan_of,
    policy,
    preview,
    reassigned,
    rehearse,
    say,
    step,
    waive,
)

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


def test_the_whole_plan() -> None:
    run = awaiting(CHAIN)
    verdict = say(run, "approve")
    assert verdict == Verdict(accepted=True, reason="approval 1 of 1 counted")
    assert run.state is State.LIVE
    assert run.approved == ("a", "b", "c")
    assert run.audit[-1].by == "boss"


def test_a_decision_about_a_seal_that_is_not_known_yet_may_mean_the_next_one() -> None:
    """A worker that was lost may have shown that seal already; its decision waits for the dry runs to end."""
    run = awaiting(CHAIN)
    known, unknown = str(run.digest), "f" * 64
    assert not may_mean_next_seal(run, Approve(by="boss", digest=unknown)), "no dry run is under way"
    say(run, "lock")
    say(run, "unlock")
    run.begin_rehearsal(run.contracts())
    run.apply(Event.REHEARSED, NOW)
    assert run.state is State.DRY_RUN
    assert may_mean_next_seal(run, Approve(by="boss", digest=unknown))
    assert may_mean_next_seal(run, Deny(by="boss", reason="no", digest=unknown))
    for message in (
        Approve(by="boss", digest=known),
        Approve(by="boss", digest=unknown[:11]),
        Approve(by=run.requester, digest=unknown),
        Deny(by="boss", reason="no"),
        "approve",
    ):
        assert not may_mean_next_seal(run, message), message
    run.admitted = run.contracts().model_copy(update={"epoch": 1})
    assert not may_mean_next_seal(run, Approve(by="boss", digest=unknown)), "its history is that of an earlier release"


@pytest.mark.parametrize("length", [12, 16, 63, 64])
def test_a_prefix_will_do(length: int) -> None:
    run = awaiting(CHAIN)
    assert say(run, "approve", digest=str(run.digest)[:length]).accepted


def test_no_digest() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", digest=""), "name the digest", "12")


def test_a_short_digest() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", digest=str(run.digest)[:11]), "at least its first 12 characters")


def test_a_wrong_digest() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", digest="0" * 64), "not the digest of the current preview")


def test_a_replaced_digest_is_told_what_changed() -> None:
    run = awaiting(CHAIN)
    old = run.digest
    say(run, "lock")
    say(run, "unlock")
    rehearse(run, previews={"b": preview("b", effect="does something else")})
    verdict = say(run, "approve", digest=old)
    refused(run, verdict, "replaced")
    assert verdict.changed == ("steps.b.preview.effect",)


def test_a_digest_replaced_twice_is_told_all_that_changed() -> None:
    run = awaiting(CHAIN)
    old = run.digest
    run.previews = {name: preview(name, effect="2" if name == "a" else f"does {name}") for name in ("a", "b", "c", "weak")}
    seal_run(run, NOW)
    run.previews = {name: preview(name, effect="2" if name in "ab" else f"does {name}") for name in ("a", "b", "c", "weak")}
    seal_run(run, NOW)
    verdict = say(run, "approve", digest=old)
    refused(run, verdict, "replaced")
    assert verdict.changed == ("steps.a.preview.effect", "steps.b.preview.effect")


def test_an_approval_is_single_use_even_when_nothing_changed() -> None:
    run = awaiting(CHAIN)
    message = {"by": "boss", "digest": run.digest}
    assert say(run, "approve", **message).accepted
    say(run, "lock")
    say(run, "unlock")
    rehearse(run)
    refused_again = say(run, "approve", **message)
    assert not refused_again.accepted
    assert "replaced" in refused_again.reason
    assert run.state is State.AWAITING_APPROVAL


@pytest.mark.parametrize("state", [State.MOCK, State.DRY_RUN, State.LIVE, State.ROLLBACK, State.LOCKED])
def test_not_awaiting(state: State) -> None:
    run = awaiting(CHAIN)
    run.state = state
    verdict = say(run, "approve")
    assert not verdict.accepted
    assert verdict.reason == f"the plan is in {state.value}, it does not wait for approval"
    assert run.state is state
    assert run.votes == ()


def test_before_there_is_a_seal() -> None:
    run = Run(plan=CHAIN, submitted_at=NOW, since=NOW)
    refused(run, say(run, "approve", digest="0" * 64), "no seal", "MOCK")


def test_the_requester() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", by="author"), "requested this plan")
    refused(run, say(run, "approve", by="  author "), "requested this plan")


def test_an_agent_of_the_plan() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", by="bot"), "agents propose, they never approve")


def test_neither_may_approve_by_being_listed() -> None:
    run = awaiting(CHAIN, policy(approvers=["author", "bot", "boss"]))
    refused(run, say(run, "approve", by="author"), "requested")
    refused(run, say(run, "approve", by="bot"), "agent")


def test_not_among_the_approvers() -> None:
    run = awaiting(CHAIN, policy(approvers=["ann", "bob"]))
    refused(run, say(run, "approve", by="boss"), "not among the approvers (ann, bob)")


def test_twice() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    assert say(run, "approve").accepted
    refused(run, say(run, "approve"), "one vote per approver")
    refused(run, say(run, "approve", steps=["a"]), "one vote per approver")


def test_after_the_approval() -> None:
    run = awaiting(CHAIN)
    assert say(run, "approve").accepted
    verdict = say(run, "approve", by="second")
    assert not verdict.accepted
    assert "does not wait" in verdict.reason


def test_an_unknown_step() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", steps=["a", "nope"]), "no step 'nope'")


def test_a_step_that_cannot_go_live() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", steps=["weak"]), "'weak' cannot go live", "confidence 0.70")


def test_a_step_that_is_live_already() -> None:
    run = awaiting(CHAIN)
    call(run, live("a"))
    rehearse_again(run)
    refused(run, say(run, "approve", steps=["a"]), "it is live already")


def rehearse_again(run: Run) -> None:
    say(run, "lock")
    say(run, "unlock")
    rehearse(run)


def test_a_step_whose_dependency_is_not_approved() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", steps=["b"]), "'b' depends on a: approve that too")
    refused(run, say(run, "approve", steps=["c"]), "'c' depends on a, b")


def test_a_step_whose_dependency_is_behind_a_waived_one() -> None:
    # the policy waives `look`, but `look` cannot go without `a`
    proposed = plan(step("a"), step("look", "read", "a"), step("b", "write", "look"))
    run = awaiting(proposed, policy(approval_waived_for=["LOW"]))
    refused(run, say(run, "approve", steps=["b"]), "'b' depends on a: approve that too")
    assert say(run, "approve", steps=["b", "a"]).accepted
    assert run.approved == ("a", "look", "b")


def test_empty_steps() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", steps=[]), "steps is empty")


@pytest.mark.parametrize(("hours", "counts"), [(23.99, True), (24, False), (1000, False)])
def test_expired(hours: float, counts: bool) -> None:
    run = awaiting(CHAIN)
    verdict = say(run, "approve", now=later(hours))
    assert verdict.accepted is counts
    if not counts:
        refused(run, verdict, "the time for approval has expired")


def test_the_plans_deadline_ends_the_wait_when_it_is_sooner() -> None:
    hurried = plan(step("a"), deadline="1h")
    run = awaiting(hurried)
    assert run.expires_at == later(1)
    refused(run, say(run, "approve", now=later(1)), "the time for approval has expired")
    assert awaiting(hurried, policy(approval_timeout="30m")).expires_at == later(0.5)


@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.EXPIRED, Outcome.ABORTED])
def test_ended(outcome: Outcome) -> None:
    run = awaiting(CHAIN)
    run.apply(Event.EXPIRED if outcome is Outcome.EXPIRED else Event.DENIED, NOW)
    run.outcome = outcome
    for name, more in MESSAGES.items():
        refused(run, say(run, name, **more), f"the plan has ended ({outcome.value})")


MESSAGES: dict[str, dict[str, Any]] = {
    "approve": {},
    "deny": {},
    "lock": {},
    "unlock": {},
    "rollback": {},
    "abort": {},
    "resolve": {"step": "a", "outcome": "happened"},
}


def test_ended_without_an_outcome_yet() -> None:
    run = awaiting(CHAIN)
    run.state = State.COMPLETED
    for name, more in MESSAGES.items():
        refused(run, say(run, name, **more), "the plan has ended (completed)")


# quorum and parts


def test_a_quorum_of_two() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    verdict = say(run, "approve", by="ann")
    assert verdict.reason == "approval 1 of 2 counted"
    assert run.state is State.AWAITING_APPROVAL
    assert run.approved == ()
    assert say(run, "approve", by="bob").reason == "approval 2 of 2 counted"
    assert run.state is State.LIVE
    assert run.approved == ("a", "b", "c")
    assert run.audit[-1].by == "ann, bob"


def test_one_approver_cannot_be_two_by_writing_the_name_otherwise() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    assert say(run, "approve", by="ann").accepted
    refused(run, say(run, "approve", by=" ann "), "one vote")


def test_a_part_of_the_plan() -> None:
    run = awaiting(CHAIN)
    assert say(run, "approve", steps=["b", "a"]).accepted
    assert run.approved == ("a", "b")


def test_a_quorum_is_counted_step_by_step() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    say(run, "approve", by="ann", steps=["a"])
    say(run, "approve", by="bob")
    assert run.state is State.LIVE
    assert run.approved == ("a",)


def test_two_voices_for_different_steps_are_no_quorum() -> None:
    run = awaiting(plan(step("a"), step("b")), policy(approvals_required=2))
    say(run, "approve", by="ann", steps=["a"])
    say(run, "approve", by="bob", steps=["b"])
    assert run.state is State.AWAITING_APPROVAL
    say(run, "approve", by="eve")
    assert run.approved == ("a", "b")


def test_naming_a_step_many_times_counts_once() -> None:
    run = awaiting(plan(step("a"), step("b")), policy(approvals_required=2))
    assert say(run, "approve", by="ann", steps=["a"] * 5_000).accepted
    assert run.approved == ()


def test_a_new_seal_forgets_the_votes() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    say(run, "approve", by="ann")
    rehearse_again(run)
    assert run.votes == ()
    say(run, "approve", by="bob")
    assert run.state is State.AWAITING_APPROVAL


# what the policy waives

WAIVE_LOW = policy(approval_waived_for=["LOW"])


def test_a_plan_of_waived_steps_only() -> None:
    run = awaiting(plan(step("a", "read"), step("b", "read", "a")), WAIVE_LOW)
    assert waived_by_policy(run)
    waive(run)
    assert run.state is State.LIVE
    assert run.approved == ("a", "b")
    assert run.audit[-1].by == "policy"


def test_waived_steps_wait_for_the_others() -> None:
    run = awaiting(plan(step("a", "read"), step("b", "write", "a"), step("c")), WAIVE_LOW)
    assert not waived_by_policy(run)
    assert approved_steps(run) == ()
    assert say(run, "approve", steps=["b"]).accepted
    assert run.approved == ("a", "b")


def test_waived_steps_count_as_no_voice_of_a_quorum() -> None:
    rules = policy(approval_waived_for=["LOW"], approvals_required=2)
    run = awaiting(plan(step("a", "read"), step("b")), rules)
    say(run, "approve")
    assert run.state is State.AWAITING_APPROVAL
    assert run.approved == ()


def test_irreversible_and_high_are_not_waived() -> None:
    rules = policy(approval_waived_for=["LOW", "MEDIUM", "HIGH"])
    for tool in ("pay", "mail", "post"):
        assert not waived_by_policy(awaiting(plan(step("a", tool)), rules))
    loose = policy(approval_waived_for=["HIGH"], approval_required_for_high_risk=False)
    assert waived_by_policy(awaiting(plan(step("a", "pay")), loose))
    assert not waived_by_policy(awaiting(plan(step("a", "mail")), loose))


def test_nothing_is_waived_when_nothing_may_go_live() -> None:
    run = awaiting(plan(step("a", "read")), WAIVE_LOW)
    call(run, live("a"))
    run.previews = {}
    seal_run(run, NOW)
    assert not waived_by_policy(run)
    assert approved_steps(run) == ()


@given(dags(), st.data())
def test_approved_steps_have_their_quorum_and_their_dependencies(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    tools = {name: data.draw(st.sampled_from(("read", "write", "mail"))) for name in parents}
    needed = data.draw(st.integers(1, 3))
    run = awaiting(plan_of(parents, tools), policy(approvals_required=needed, approval_waived_for=["LOW"]))
    if waived_by_policy(run):
        waive(run)
    for number in range(4):
        chosen = data.draw(st.none() | st.lists(st.sampled_from(sorted(parents)), min_size=1))
        fields = {} if chosen is None else {"steps": chosen}
        say(run, "approve", by=f"person-{number}", **fields)
    assert (run.state is State.LIVE) is bool(run.approved)
    for name in run.approved:
        voices = {v.approval.by for v in run.votes if v.approval.steps is None or name in v.approval.steps}
        assert len(voices) >= needed or tools[name] == "read"
        assert set(parents[name]) <= set(run.approved)


# denial


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


# signatures


class Signer:
    """An approver with a key file."""

    def __init__(self, password: bytes | None = None) -> None:
        self.key = Ed25519PrivateKey.generate()
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        self.file = self.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption)
        self.public = self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    def line(self, name: str) -> str:
        return f"{self.public} {name}"

    def sign(self, run: Run, *, by: str = "boss", **fields: Any) -> str:
        approval = Approve.model_validate({"by": by, "digest": run.digest, **fields})
        return sign(self.file, run.plan.plan_id, approval, str(run.digest))


@pytest.fixture(scope="module")
def boss() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def signed(boss: Signer) -> Callable[[], Run]:
    rules = policy(signature_required="always", authorized_keys=[boss.line("boss"), Signer().line("ann lee")])
    return lambda: awaiting(CHAIN, rules)


def test_a_signed_approval(signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    assert say(run, "approve", signature=boss.sign(run)).accepted
    assert run.state is State.LIVE


def test_a_signature_covers_the_whole_digest_behind_a_prefix(signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    assert say(run, "approve", digest=str(run.digest)[:12], signature=boss.sign(run)).accepted


def test_a_signature_for_some_steps_in_any_order(signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    assert say(run, "approve", steps=["b", "a"], signature=boss.sign(run, steps=["a", "b"])).accepted


def test_unsigned(signed: Callable[[], Run]) -> None:
    run = signed()
    refused(run, say(run, "approve"), "requires a signature")


def wrong_signatures() -> dict[str, Callable[[Run, Signer], dict[str, Any]]]:
    return {
        "another key": lambda run, _: {"signature": Signer().sign(run)},
        "for other steps": lambda run, boss: {"signature": boss.sign(run, steps=["a"])},
        "for the whole, used for a part": lambda run, boss: {"signature": boss.sign(run), "steps": ["a"]},
        "by somebody else": lambda run, boss: {"signature": boss.sign(run, by="ann lee"), "by": "ann lee"},
        "for somebody else": lambda run, boss: {"signature": boss.sign(run, by="ann lee")},
        "over another digest": lambda run, boss: {
            "signature": sign(boss.file, "p-1", Approve(by="boss", digest="x"), "0" * 64)
        },
        "over another plan": lambda run, boss: {
            "signature": sign(boss.file, "p-2", Approve(by="boss", digest="x"), str(run.digest))
        },
        "cut": lambda run, boss: {"signature": boss.sign(run)[:40]},
        "empty": lambda run, boss: {"signature": ""},
    }


@pytest.mark.parametrize("kind", wrong_signatures())
def test_a_wrong_signature(kind: str, signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    refused(run, say(run, "approve", **wrong_signatures()[kind](run, boss)), "signature does not fit")


@pytest.mark.parametrize("junk", ["not base64!", "é", "====", "a"])
def test_a_signature_that_is_not_base64(junk: str, signed: Callable[[], Run]) -> None:
    run = signed()
    refused(run, say(run, "approve", signature=junk), "not base64")


def test_a_signature_by_nobody_known(signed: Callable[[], Run], boss: Signer) -> None:
    run = signed()
    refused(run, say(run, "approve", by="eve", signature=boss.sign(run, by="eve")), "no authorized key", "'eve'")


def test_a_signature_is_checked_even_where_none_is_needed() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", signature="AAAA"), "no authorized key")


def test_only_high_risk_needs_a_signature_where_the_policy_says_so(boss: Signer) -> None:
    rules = policy(signature_required="high", authorized_keys=[boss.line("boss")])
    run = awaiting(CHAIN, rules)
    refused(run, say(run, "approve"), "requires a signature")
    refused(run, say(run, "approve", steps=["a", "b", "c"]), "requires a signature")
    assert say(run, "approve", steps=["a", "b"]).accepted


def test_a_key_file_with_a_password() -> None:
    pytest.importorskip("bcrypt", reason="cryptography reads encrypted OpenSSH keys only with bcrypt")
    signer = Signer(password=b"correct horse")
    approval = Approve(by="boss", digest="d")
    signature = sign(signer.file, "p", approval, "d" * 64, b"correct horse")
    signed_approval = approval.model_copy(update={"signature": signature})
    assert signature_refusal("p", signed_approval, "d" * 64, [signer.line("boss")]) is None
    with pytest.raises(SignatureError, match="cannot be read"):
        sign(signer.file, "p", approval, "d" * 64)


def test_key_files_that_cannot_be_used() -> None:
    approval = Approve(by="boss", digest="d")
    other = generate_ec_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with pytest.raises(SignatureError, match="not an Ed25519 key"):
        sign(other, "p", approval, "d")
    with pytest.raises(SignatureError, match="cannot be read"):
        sign(b"nonsense", "p", approval, "d")


def test_names_with_spaces_in_authorized_keys() -> None:
    name, _ = read_key(Signer().line("Ann  Lee"))
    assert name == "Ann  Lee"


@pytest.mark.parametrize(
    "line",
    ["", "ssh-ed25519", "ssh-ed25519 AAAA boss", "ssh-rsa AAAA boss", Signer().public, "one two three four"],
    ids=["empty", "no key", "no Ed25519 key", "RSA", "no name", "words"],
)
def test_an_unreadable_authorized_key_is_an_error_at_start_and_a_refusal_later(line: str, boss: Signer) -> None:
    with pytest.raises(SignatureError):
        read_key(line)
    with pytest.raises(ConfigError, match=r"policy\.authorized_keys"):
        parse_config(f'[policy]\nauthorized_keys = ["{line}"]')
    rules = policy(signature_required="always").model_copy(update={"authorized_keys": (line, boss.line("boss"))})
    run = awaiting(CHAIN, Policy.model_construct(**{name: getattr(rules, name) for name in Policy.model_fields}))
    refused(run, say(run, "approve", signature=boss.sign(run)), "authorized_keys of the policy cannot be read")


def test_what_is_signed_never_depends_on_what_is_said_beside_it() -> None:
    plain = Approve(by="boss", digest="abc", steps=("b", "a"))
    chatty = Approve(by="boss", digest="ABC ", steps=("a", "b"), reason="nice", signature="x")
    assert signed_text("p", plain, "d") == signed_text("p", chatty, "d")
    assert (
        signed_text("p", plain, "d") == b'{"airlock":"approve/1","by":"boss","digest":"d","plan_id":"p","steps":["a","b"]}'
    )


def test_an_agent_that_a_conflict_gave_a_step_cannot_approve_it() -> None:
    run = awaiting(plan(step("a")))
    run.admitted = reassigned(run.contracts(), "a", "crm")
    assert not say(run, "approve", by="crm").accepted
    assert say(run, "approve", by="boss").accepted


def test_an_approval_of_some_steps_names_those_that_it_leaves_out() -> None:
    run = awaiting(plan(step("a"), step("b"), step("c", "write", "a"), step("d")), policy(approvals_required=2))
    assert say(run, "approve", steps=["a", "c"]).reason == "approval 1 of 2 counted; it leaves out b and d"
    assert say(run, "approve", by="bob", steps=["a", "b", "c"]).reason == "approval 2 of 2 counted; it leaves out d"
    assert (run.approved, run.audit[-1].reason) == (("a", "c"), "2 steps approved; not approved: b and d")


def test_an_approval_that_leaves_out_many_steps_names_the_first_ones() -> None:
    run = awaiting(plan(*(step(f"s{number:02}") for number in range(30))))
    assert say(run, "approve", steps=["s00"]).reason.endswith("s08, s09, s10 and 19 more")
    assert run.audit[-1].reason.startswith("1 step approved; not approved: s01, s02,")


def test_an_approval_of_everything_leaves_nothing_out() -> None:
    run = awaiting(plan(step("a"), step("b")), policy(approval_waived_for=["MEDIUM"], approvals_required=2))
    assert approved_steps(run) == ("a", "b")
    run = awaiting(plan(step("a"), step("pay", "pay")), policy(approval_waived_for=["MEDIUM"]))
    assert say(run, "approve", steps=["pay"]).reason == "approval 1 of 1 counted"
    assert run.audit[-1].reason == "2 steps approved"
