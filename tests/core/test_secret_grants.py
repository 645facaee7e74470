"""Grants of secrets: to an agent by name, to a tool by argument; digests of what does not use them stay."""

from typing import Any

import pytest

from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.base.errors import ConfigError
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.plans.plan import Plan
from airlock.tools import http_request
from tests.core.build import make_tool, plan, policy, step

TOKEN = {"$secret": "TOKEN"}
CATALOGUE = Catalogue(
    [
        make_tool("fetch", "LOW", "read_only", secrets={"headers", "login.password"}),
        make_tool("note", "LOW", "read_only"),
        make_tool("charge", "LOW", "read_only", secrets={"key"}, permissions={"money"}, depends_on_tools={"note"}),
    ]
)
GRANTED = policy(agents={"bot": {"permissions": ["*"], "secrets": ["token"]}})


def problems(proposed: Plan, rules: Policy | None = GRANTED, catalogue: Catalogue = CATALOGUE) -> list[tuple[str, str, str]]:
    return [(found.where, found.message, found.fix) for found in examine(proposed, catalogue, rules).problems]


@pytest.mark.parametrize(
    ("args", "allowed"),
    [
        ({"headers": TOKEN}, True),
        ({"headers": {"Authorization": TOKEN}}, True),
        ({"headers": [{"deep": [TOKEN]}]}, True),
        ({"login": {"password": TOKEN}}, True),
        ({"login": [{"password": TOKEN}]}, True),
        ({"login": TOKEN}, False),
        ({"login": {"name": TOKEN}}, False),
        ({"headers.x": TOKEN}, False),
        ({"login.password": TOKEN}, False),
        ({"headersx": TOKEN}, False),
        ({"body": {"headers": TOKEN}}, False),
    ],
)
@pytest.mark.parametrize("rules", [GRANTED, None])
def test_a_secret_stands_only_in_an_argument_that_takes_one(
    args: dict[str, Any], allowed: bool, rules: Policy | None
) -> None:
    found = problems(plan(step("a", "fetch", args=args)), rules)
    assert (found == []) is allowed
    if not allowed:
        ((where, message, fix),) = found
        assert where.startswith("steps.a.args.")
        assert message == "fetch takes a $secret only in: headers, login.password"
        assert fix == "remove it, or let the operator name the argument in contracts.fetch.secrets"


def test_a_tool_that_names_no_argument_takes_no_secret() -> None:
    ((where, message, _),) = problems(plan(step("a", "note", args={"text": [TOKEN]})))
    assert (where, message) == ("steps.a.args.text[0]", "note takes a $secret in no argument")


@pytest.mark.parametrize(
    ("agents", "allowed"),
    [
        ({"bot": {"secrets": ["TOKEN"]}}, True),
        ({"bot": {"secrets": ["tOken"]}}, True),
        ({"bot": {"secrets": ["*"]}}, True),
        ({"*": {"secrets": ["TOKEN"]}}, True),
        ({"*": {"secrets": ["TOKEN"]}, "bot": {"permissions": ["*"]}}, False),
        ({"bot": {"permissions": ["*"], "secrets": ["TOKEN2", "TOKE"]}}, False),
        ({"other": {"secrets": ["*"]}}, False),
        ({}, False),
    ],
)
def test_a_secret_is_granted_to_an_agent_by_name(agents: dict[str, Any], allowed: bool) -> None:
    found = problems(plan(step("a", "fetch", args={"headers": {"h": TOKEN}})), policy(agents=agents))
    if allowed:
        assert found == []
    else:
        where, fix = "steps.a.args.headers.h", "remove it, or let the operator add 'TOKEN' to policy.agents.bot.secrets"
        assert found == [(where, "agent 'bot' may not use the secret 'TOKEN'", fix)]


def test_a_step_moves_only_to_an_agent_with_the_grant() -> None:
    proposed = plan(step("a", "charge", args={"key": TOKEN}), step("b", "note"))
    bot = {"secrets": ["TOKEN"]}
    rules = policy(agents={"bot": bot, "abe": {"permissions": ["money"]}, "zoe": {"permissions": ["money"], **bot}})
    found = examine(proposed, CATALOGUE, rules).admitted
    assert found is not None
    assert found.reassigned == {"a": "zoe"}


def test_an_operator_overrides_the_arguments_and_a_misspelt_one_is_an_error() -> None:
    opened = Catalogue([http_request], {"http_request": {"secrets": ["headers"]}})
    args = {"url": TOKEN, "headers": {"h": TOKEN}}
    ((where, message, _),) = problems(plan(step("a", "http_request", args=args)), GRANTED, opened)
    assert (where, message) == ("steps.a.args.url", "http_request takes a $secret only in: headers")
    with pytest.raises(ConfigError, match=r"contracts\.http_request.*secrets names 'heders', but the tool takes only: url,"):
        Catalogue([http_request], {"http_request": {"secrets": ["heders"]}})


def test_the_digests_of_what_uses_no_secret_are_those_of_0_1() -> None:
    plain = Contract.model_validate({"tool": "t", "risk": "LOW", "reversibility": "read_only"})
    assert plain.digest() == "3c9976058f78486fb0a207729b9ea905ab79570803784cc2dccffc22cbe65f76"
    assert "secrets" not in plain.model_dump(mode="json")
    assert plain.model_copy(update={"secrets": ("a",)}).digest() != plain.digest()
    rules = policy(agents={"a": {"permissions": ["x"]}})
    assert rules.digest() == "aa57ce924d5ed00dfaddca5747aaf054ee3ad40c68e7b39a9c935cd111cbabec"
    assert policy(agents={"a": {"permissions": ["x"], "secrets": ["S"]}}).digest() != rules.digest()
