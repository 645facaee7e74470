"""The stricter of two policies is never laxer than either, and says which of them said no."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.budget import Spending, exceeded
from airlock.admission.configuration.config import parse_config
from airlock.admission.policy import NO_APPROVER, Budget, Policy
from airlock.admission.stricter import stricter
from airlock.base.person import folded
from airlock.plans.contract import Contract, Reversibility, Risk
from airlock.plans.plan import seconds

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKqP3b3oYLZyZNcT3J2bBvQn0bY2yD2kzZ5xQn8wq7Zv alice"
DURATIONS = ("90s", "2m", "1h", "60m", "24h", "1d", "30d")
NAMES = ("alice", "bob", "carol", "Alice")
AGENTS = ("writer", "reader", "*")
RULES = ("never", "high", "always")


def _policy(**fields: Any) -> Policy:
    return Policy.model_validate(fields)


def _subsets(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), unique=True).map(tuple)


_budget = {
    "live_calls": st.none() | st.integers(0, 9),
    "irreversible_calls": st.none() | st.integers(0, 9),
    "cost": st.none() | st.floats(0, 9, allow_nan=False),
}
_agents = st.dictionaries(
    st.sampled_from(AGENTS),
    st.fixed_dictionaries(
        {
            "permissions": _subsets(("files", "mail", "*")),
            "secrets": _subsets(("TOKEN", "token", "KEY", "*")),
            "budget": st.none() | st.fixed_dictionaries({**_budget, "per": st.sampled_from(DURATIONS)}),
        }
    ),
)
policies = st.fixed_dictionaries(
    {
        "confidence_threshold_for_live": st.floats(0, 1),
        "calibrated_confidence": st.booleans(),
        "dry_run_only": st.booleans(),
        "max_live_escalations": st.integers(1, 9),
        "approval_required_for_high_risk": st.booleans(),
        "approval_waived_for": _subsets(("LOW", "MEDIUM", "HIGH")),
        "read_lane": st.booleans(),
        "enable_rollback_on_failure": st.booleans(),
        "rollback_on_stale": st.booleans(),
        "approvals_required": st.integers(1, 5),
        "approval_timeout": st.sampled_from(DURATIONS),
        "approval_valid_for": st.none() | st.sampled_from(DURATIONS),
        "approvers": _subsets(NAMES),
        "signature_required": st.sampled_from(RULES),
        "agents": _agents,
        "budget": st.fixed_dictionaries(_budget),
        "auto_lock_severity": st.none() | st.integers(1, 10),
        "monitor_shards": st.integers(1, 3),
    }
).map(Policy.model_validate)


@pytest.mark.parametrize(
    ("field", "plan", "today", "combined"),
    [
        ("confidence_threshold_for_live", 0.5, 0.9, 0.9),
        ("dry_run_only", False, True, True),
        ("calibrated_confidence", False, True, True),
        ("approval_required_for_high_risk", False, True, True),
        ("max_live_escalations", 5, 2, 2),
        ("approvals_required", 1, 3, 3),
        ("approval_timeout", "24h", "90m", "90m"),
        ("approval_valid_for", "2h", "30m", "30m"),
        ("approval_waived_for", ("LOW", "MEDIUM"), ("LOW",), ("LOW",)),
        ("read_lane", True, False, False),
        ("approvers", (), ("alice",), ("alice",)),
        ("approvers", ("alice", "bob"), ("bob", "carol"), ("bob",)),
        ("approvers", ("alice",), ("bob",), (NO_APPROVER,)),
        ("signature_required", "never", "high", "high"),
        ("signature_required", "high", "always", "always"),
        ("auto_lock_severity", None, 3, 3),
    ],
)
def test_each_rule_is_the_stricter_one_and_says_whose_it_is(field: str, plan: Any, today: Any, combined: Any) -> None:
    one, other = _policy(**{field: plan}), _policy(**{field: today})
    tightened, loosened = stricter(one, other), stricter(other, one)
    assert getattr(tightened.policy, field) == combined
    assert tightened.whose(field) == "today's policy"
    if NO_APPROVER not in loosened.policy.approvers and not (field == "approvers" and plan and today):
        assert getattr(loosened.policy, field) == combined
        assert loosened.whose(field) == "the plan's policy"


def test_a_limit_that_only_one_policy_sets_counts() -> None:
    plan = _policy(budget={"live_calls": 3}, agents={"*": {"budget": {"cost": 5, "per": "24h"}}})
    today = _policy(budget={"cost": 2}, agents={"*": {"budget": {"cost": 9, "live_calls": 1, "per": "1h"}}})
    policy = stricter(plan, today).policy
    assert policy.budget == Budget(live_calls=3, cost=2)
    budget = policy.budget_of("anyone")
    assert budget is not None
    assert (budget.cost, budget.live_calls, budget.per) == (5, 1, "24h")


def test_an_agent_that_is_gone_from_todays_policy_has_no_rights_left() -> None:
    plan = _policy(agents={"writer": {"permissions": ["files"], "secrets": ["TOKEN"]}})
    policy = stricter(plan, _policy(agents={})).policy
    assert policy.permissions_of("writer") == ()
    assert policy.secrets_of("writer") == ()


def test_an_agent_that_today_lists_by_itself_loses_the_rights_of_every_other_agent() -> None:
    plan = _policy(agents={"*": {"permissions": ["*"], "secrets": ["*"]}})
    today = _policy(agents={"*": {"permissions": ["*"]}, "writer": {"permissions": ["mail"], "secrets": ["key"]}})
    policy = stricter(plan, today).policy
    assert policy.permissions_of("writer") == ("mail",)
    assert policy.permissions_of("reader") == ("*",)
    assert policy.grants_secret("writer", "KEY")
    assert not policy.grants_secret("reader", "KEY")


def test_secrets_are_compared_without_regard_to_capitals() -> None:
    plan, today = _policy(agents={"a": {"secrets": ["Token"]}}), _policy(agents={"a": {"secrets": ["TOKEN", "other"]}})
    assert stricter(plan, today).policy.secrets_of("a") == ("Token",)


def test_only_todays_keys_count() -> None:
    plan = _policy(signature_required="always", authorized_keys=[KEY])
    policy = stricter(plan, _policy()).policy
    assert policy.authorized_keys == ()
    assert policy.signature_required == "always"
    assert stricter(_policy(), plan).policy.authorized_keys == (KEY,)


def test_lists_of_approvers_without_a_common_name_let_no_person_approve() -> None:
    apart = stricter(_policy(approvers=["alice"]), _policy(approvers=["bob"]))
    assert not any(apart.policy.may_approve(by) for by in ("alice", "bob", "carol", NO_APPROVER))


def test_the_refusal_of_an_approver_names_the_policy_that_does_not_list_that_person() -> None:
    both = stricter(_policy(approvers=["alice", "bob"]), _policy(approvers=["bob", "carol"]))
    assert both.refused_approver("bob") is None
    assert both.refused_approver("alice") == "today's policy"
    assert both.refused_approver("carol") == "the plan's policy"
    assert both.refused_approver("mallory") == "the plan's policy"


def test_an_approval_is_valid_for_the_shorter_time_whichever_setting_says_it() -> None:
    plan = _policy(approval_timeout="24h")
    assert stricter(plan, plan).policy.approval_valid_for is None
    assert stricter(plan, _policy(approval_timeout="1h")).policy.approval_valid_for_seconds == 3600
    aged = stricter(_policy(approval_timeout="1h", approval_valid_for="30d"), _policy(approval_timeout="2h"))
    assert aged.policy.approval_valid_for == "2h"
    assert aged.whose("approval_valid_for") == "today's policy"


@given(policies, policies)
def test_the_stricter_policy_is_never_laxer_than_either(plan: Policy, today: Policy) -> None:
    policy = stricter(plan, today).policy
    contracts = [Contract(tool="t", risk=risk, reversibility=kind) for risk in Risk for kind in Reversibility]
    for other in (plan, today):
        assert policy.confidence_threshold_for_live >= other.confidence_threshold_for_live
        assert policy.max_live_escalations <= other.max_live_escalations
        assert policy.approvals_required >= other.approvals_required
        assert policy.approval_timeout_seconds <= other.approval_timeout_seconds
        assert policy.approval_valid_for_seconds <= other.approval_valid_for_seconds
        assert RULES.index(policy.signature_required) >= RULES.index(other.signature_required)
        for flag in ("dry_run_only", "calibrated_confidence", "approval_required_for_high_risk"):
            assert getattr(policy, flag) or not getattr(other, flag)
        assert all(other.waives_approval(contract) for contract in contracts if policy.waives_approval(contract))
        for name in (*NAMES, "mallory", NO_APPROVER):
            assert not policy.may_approve(name) or other.may_approve(name)
        for agent in (*AGENTS, "unlisted"):
            granted = other.permissions_of(agent)
            assert "*" in granted or set(policy.permissions_of(agent)) <= set(granted)
            for secret in ("Token", "key", "other"):
                assert not policy.grants_secret(agent, secret) or other.grants_secret(agent, secret)


@given(policies, policies, st.builds(Spending, live_calls=st.integers(0, 9), cost=st.floats(0, 9)))
def test_what_the_stricter_budgets_allow_both_allow(plan: Policy, today: Policy, spent: Spending) -> None:
    policy = stricter(plan, today).policy
    for other in (plan, today):
        assert exceeded(spent, policy.budget, "p") or not exceeded(spent, other.budget, "p")
        for agent in (*AGENTS, "unlisted"):
            if (own := other.budget_of(agent)) is None:
                continue
            combined = policy.budget_of(agent)
            assert combined is not None
            assert combined.seconds >= own.seconds
            assert exceeded(spent, combined, "p") or not exceeded(spent, own, "p")


@given(policies, policies)
def test_strictness_does_not_depend_on_which_policy_is_the_plans(plan: Policy, today: Policy) -> None:
    one, other = stricter(plan, today).policy, stricter(today, plan).policy
    assert _strictness(one) == _strictness(other)


@given(policies)
def test_a_policy_that_did_not_change_is_as_strict_as_before(policy: Policy) -> None:
    same = stricter(policy, policy)
    assert _strictness(same.policy) == _strictness(policy)
    assert same.policy.digest() == policy.digest() or same.policy.agents != policy.agents
    assert {same.whose(field) for field in Policy.model_fields if field != "agents"} == {"the plan's policy"}


def _strictness(policy: Policy) -> dict[str, Any]:
    """Return the rules of a policy that make it strict, in a form without order and spelling."""
    rules = policy.model_dump(exclude={"enable_rollback_on_failure", "rollback_on_stale", "monitor_shards", "agents"})
    rules["approval_timeout"] = policy.approval_timeout_seconds
    rules["approval_valid_for"] = policy.approval_valid_for_seconds
    rules["approval_waived_for"], rules["approvers"] = set(policy.approval_waived_for), set(map(folded, policy.approvers))
    for agent in (*AGENTS, "unlisted"):
        permissions, budget = set(policy.permissions_of(agent)), policy.budget_of(agent)
        secrets = {secret.upper() for secret in policy.secrets_of(agent)}
        rules[agent] = (
            {"*"} if "*" in permissions else permissions,
            {"*"} if "*" in secrets else secrets,
            budget and {**budget.model_dump(), "per": seconds(budget.per)},
        )
    return rules


def test_the_default_age_of_an_approval_is_not_part_of_a_policys_digest() -> None:
    assert "approval_valid_for" not in _policy().model_dump(mode="json")
    assert _policy(approval_valid_for="2h").digest() != _policy().digest()


@pytest.mark.parametrize("wrong", ["", "2 hours", "0s"])
def test_the_age_of_an_approval_is_a_duration(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        _policy(approval_valid_for=wrong)


@pytest.mark.parametrize(
    ("agents", "agent", "line"),
    [
        ({}, "bot", '[policy.agents.bot]: permissions = ["money"]'),
        ({"bot": {"permissions": ["a"]}}, "bot", '[policy.agents.bot]: permissions = ["a", "money"]'),
        ({"Bot": {"permissions": ["a"]}}, "bot", '[policy.agents.Bot]: permissions = ["a", "money"]'),
        ({"*": {"permissions": ["a"]}}, "my bot", '[policy.agents."my bot"]: permissions = ["a", "money"]'),
    ],
)
def test_a_missing_permission_is_granted_by_the_line_that_the_fix_names(
    agents: dict[str, Any], agent: str, line: str
) -> None:
    rules = Policy.model_validate({"agents": agents})
    needs = Contract(tool="pay", risk=Risk.LOW, reversibility=Reversibility.READ_ONLY, permissions=("money",))
    fix = rules.grant_for(agent, rules.missing_permissions(agent, needs))
    assert fix == f"in airlock.toml, in the section {line}"
    section, _, row = line.partition(": ")
    written = parse_config(f"{section}\n{row}").policy
    assert written.missing_permissions(agent, needs) == ()
    assert set(written.permissions_of(agent)) == {*rules.permissions_of(agent), "money"}
