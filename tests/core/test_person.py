"""People: every spelling of a name is one person, everywhere a name is compared; and names that imitate others."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import assume, given
from hypothesis import strategies as st

from airlock.admission.budget import agent_scope, budget_problems, budgets_of, scopes, spending_by_agent
from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError
from airlock.base.keys import read_private_key
from airlock.base.person import folded, name_problem, same_person, spellings
from airlock.gates.locks import GateLock
from airlock.plans.state import State
from airlock.run.decisions.signature import sign
from airlock.run.messages import Approve
from airlock.run.presentation.preview import approve_command
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, contract, plan, policy, say, step

SPELLINGS = {
    "al-ice o'neil": ("al-ice o'neil", "al\u2010ice o'neil", "al\u2212ice O\u2019Neil", "AL\u2013ICE o\u02bcneil"),
    "alice": [
        "alice",
        "Alice",
        "ALICE",
        "alice\u200b",
        "\uff41lice",
        " alice\u00a0",
        "al\u00adice",
        "alice\ufe0f",
        "\u2066alice",
    ],
    "josé": ["Jos\u00e9", "Jose\u0301", "JOSE\u0301", "josé\u034f", "Jose\u200d\u0301"],
    "jo smith": ["Jo Smith", "jo  smith", "jo\u2003smith", "jo\u00a0SMITH", "jo\tsmith"],
    "strasse": ["straße", "STRASSE", "\u017ftraße"],
    "\u0390": ["\u0390", "\u03b9\u0308\u0301", "\u1fd3"],
}
INVISIBLE = st.sampled_from("\u200b\u200d\u00ad\ufe0f\u034f\u17b5\u2060\u3164\u2800\U000e0041\U00016fe4")
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@pytest.mark.parametrize(("form", "spelled"), [(form, one) for form, all_ in SPELLINGS.items() for one in all_])
def test_a_spelling_folds_to_the_one_form(form: str, spelled: str) -> None:
    assert folded(spelled) == form
    assert same_person(spelled, form)


def test_other_names_are_other_people() -> None:
    assert len(spellings(["alice", "alicia", "\u0430lice", "al ice", "josé", "jose"])) == 6


@given(NAMES, st.lists(st.tuples(st.integers(0, 12), INVISIBLE), max_size=4))
def test_invisible_characters_capitals_and_folding_again_change_nothing(name: str, inserted: list[tuple[int, str]]) -> None:
    other = name
    for position, character in inserted:
        other = other[:position] + character + other[position:]
    assert folded(folded(name)) == folded(name) == folded(other)
    assert folded(name.lower().upper()) == folded(name.upper())


def _old(run: Run) -> Run:
    """Return a run that was admitted before there were epochs."""
    run.admitted = run.contracts().model_copy(update={"epoch": 0})
    return run


@pytest.mark.parametrize("form", SPELLINGS)
def test_two_spellings_have_one_voice(form: str) -> None:
    first, *others = SPELLINGS[form]
    for other in others:
        run = awaiting(plan(step("a")), policy(approvals_required=2))
        assert say(run, "approve", by=first).accepted
        verdict = say(run, "approve", by=other)
        assert "has already approved" in verdict.reason, other
        assert not run.approved
        assert say(run, "approve", by="bob").accepted
        assert list(run.approved) == ["a"]


@given(NAMES, st.lists(st.tuples(st.integers(0, 12), INVISIBLE), min_size=1, max_size=3), st.booleans())
def test_no_two_spellings_of_a_name_make_a_quorum(name: str, inserted: list[tuple[int, str]], capitals: bool) -> None:
    assume(folded(name) and not name_problem(name))
    other = name.upper() if capitals else name
    for position, character in inserted:
        other = other[:position] + character + other[position:]
    assume(folded(other) == folded(name) and name.strip() and folded(name) not in ("author", "bot"))
    run = awaiting(plan(step("a")), policy(approvals_required=2))
    assert say(run, "approve", by=name).accepted
    assert not say(run, "approve", by=other).accepted
    assert run.state is State.AWAITING_APPROVAL


@pytest.mark.parametrize("form", SPELLINGS)
def test_the_requester_and_the_agents_do_not_approve_in_another_spelling(form: str) -> None:
    first, *others = SPELLINGS[form]
    for other in others:
        run = awaiting(plan(step("a"), requested_by=first))
        assert "requested this plan" in say(run, "approve", by=other).reason
        run = awaiting(plan(step("a", agent=first)))
        assert "is an agent of this plan" in say(run, "approve", by=other).reason


def test_approvers_are_found_in_any_spelling() -> None:
    rules = policy(approvers=["Alice", "Jos\u00e9"])
    assert say(awaiting(plan(step("a")), rules), "approve", by="alice").accepted
    assert say(awaiting(plan(step("a")), rules), "approve", by="JOSE\u0301").accepted
    assert say(awaiting(plan(step("a")), rules), "deny", by="jose\u0301").accepted
    assert "not among the approvers (Alice, José)" in say(awaiting(plan(step("a")), rules), "deny", by="jose").reason
    run = awaiting(plan(step("a"), requested_by="ALICE"), rules)
    assert run.sealed is not None
    assert '"by": "Jos' in approve_command(run.sealed, str(run.digest))


def test_a_key_counts_for_its_approver_in_any_spelling() -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    rules = policy(signature_required="always", authorized_keys=[f"{public} Jos\u00e9"])
    run = awaiting(plan(step("a")), rules)
    approval = Approve(by="Jose\u0301", digest=str(run.digest))
    signature = sign(read_private_key(private), run.name, approval, str(run.digest))
    assert "no authorized key" in say(_old(run), "approve", by="Jose\u0301", signature=signature).reason
    assert say(awaiting(plan(step("a")), rules), "approve", by="Jose\u0301", signature=signature).accepted


def test_a_run_of_an_earlier_release_counts_as_it_did() -> None:
    run = _old(awaiting(plan(step("a")), policy(approvals_required=2)))
    assert say(run, "approve", by="Jos\u00e9").accepted
    assert say(run, "approve", by="Jose\u0301").accepted
    assert run.state is State.LIVE
    run = _old(awaiting(plan(step("a")), policy(approvers=["Alice"])))
    assert "not among the approvers" in say(run, "deny", by="alice").reason
    run = _old(awaiting(plan(step("a"))))
    assert say(run, "approve", by="\u0430lice").accepted


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("\u0430lice", "Cyrillic \u0430 U+0430"),
        ("Bob \u0410lice", "Cyrillic \u0410 U+0410"),
        ("\u0430\u200blice", "Cyrillic \u0430 U+0430"),
        ("\u03bfscar", "Greek \u03bf U+03BF"),
        ("\u0570arry", "Armenian \u0570 U+0570"),
        ("\u0410\u03bb", "Greek \u03bb U+03BB"),
        ("jo@\u0430cme.test", "Cyrillic \u0430 U+0430"),
        ("\u200b\u2060", "can be seen"),
        ("air\u200block", "are not people"),
        ("\uff30olicy", "are not people"),
        ("your-name", "a name belongs"),
        ("ANOTHER-NAME", "a name belongs"),
    ],
)
def test_a_name_that_imitates_is_refused_with_its_characters(name: str, words: str) -> None:
    assert words in name_problem(name)
    for message in ("approve", "deny", "abort", "unlock", "rollback"):
        run = awaiting(plan(step("a")))
        verdict = say(run, message, by=name)
        assert words in verdict.reason
        assert verdict.reason.startswith("by: ")
        assert run.state is State.AWAITING_APPROVAL


@pytest.mark.parametrize(
    "name", ["Алиса Smith", "Ёлка", "山田taro", "김 Jo", "O\u2019Brien", "Zoë", "\uff21lice", "jo-1@acme.test"]
)
def test_honest_names_are_fit(name: str) -> None:
    assert name_problem(name) == ""


def test_a_plan_is_stopped_under_any_name() -> None:
    run = awaiting(plan(step("a")))
    assert say(run, "lock", by="\u0430lice").accepted
    assert run.state is State.LOCKED


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ('approvers = ["bob", "Bob"]', "policy.approvers", "one voice"),
        ('approvers = ["Jos\u00e9", "Jose\u0301", "al"]', "policy.approvers", "'Jos\\xe9', 'Jose\\u0301'"),
        ('approvers = ["bob", "Bob"]\napprovals_required = 2', "policy.approvals_required", "names 1 approver"),
        ('approvers = ["\u0430lice"]', "policy.approvers", "Cyrillic"),
        ('approvers = ["\\u200B"]', "policy.approvers", "can be seen"),
        ('approvers = ["Airlock"]', "policy.approvers", "not people"),
        ("[policy.agents.crm]\n[policy.agents.CRM]", "policy.agents", "one agent"),
    ],
)
def test_the_policy_names_each_person_once(text: str, where: str, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_config(text if text.startswith("[") else f"[policy]\n{text}")
    assert any(problem.where == where and words in problem.message for problem in refusal.value.problems)


def test_an_agent_has_the_rights_and_the_budget_of_its_name_in_any_spelling() -> None:
    agents = {
        "Crm": {"permissions": [], "budget": {"live_calls": 2}},
        "*": {"permissions": ["*"], "budget": {"live_calls": 9}},
    }
    rules = policy(agents=agents)
    asks = contract(permissions=("money",))
    for name in ("Crm", "crm", "CRM\u200b", "\uff23rm"):
        assert rules.missing_permissions(name, asks) == ("money",)
        assert rules.budget_of(name) == rules.agents["Crm"].budget
    assert rules.missing_permissions("crn", asks) == ()
    steps = [step(f"s{number}", agent=name) for number, name in enumerate(("Crm", "crm", "CRM\u200b"))]
    (problem,) = budget_problems(steps, {each.id: contract() for each in steps}, rules)
    assert "would make 3 live calls, the policy allows 2" in problem.message


def test_a_gate_books_all_spellings_of_an_agent_together_and_locks_them() -> None:
    steps = (step("a", agent="Crm"), step("b", agent="crm\u200b"))
    run = awaiting(plan(*steps), policy(agents={"*": {"permissions": ["*"], "budget": {"live_calls": 9}}}))
    found = run.contracts()
    assert {agent: spent.live_calls for agent, spent in spending_by_agent(steps, found, ["a", "b"]).items()} == {"crm": 2}
    assert list(budgets_of(found, ["Crm", "crm\u200b"])) == ["crm"]
    locked = scopes(steps, found, ["a"])
    for name in ("crm", "CRM", "\uff43rm"):
        assert GateLock(scope=f"agent:{name}", by="o", reason="r", at=NOW).matches(locked)
    for scope in ("agent:bot", "tool:crm", "resource:crm"):
        assert not GateLock(scope=scope, by="o", reason="r", at=NOW).matches(locked)
    before = _old(run).contracts()
    assert scopes(steps, before, ["a"]) == ("agent:Crm", "tool:write")
    assert list(budgets_of(before, ["Crm", "crm"])) == ["Crm", "crm"]
    assert agent_scope("X") == "agent=x"
