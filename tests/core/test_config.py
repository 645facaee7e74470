"""Configurations that no worker could work with are refused at its start."""

from typing import ClassVar

import pytest
from pydantic import BaseModel

from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall


@pytest.mark.parametrize(
    ("toml", "key"),
    [
        ('approvers = ["a"]\napprovals_required = 2', "policy.approvals_required"),
        ('signature_required = "always"', "policy.signature_required"),
    ],
)
def test_a_policy_that_no_plan_could_satisfy_is_refused_at_start(toml, key):
    with pytest.raises(ConfigError) as caught:
        parse_config(f"[policy]\n{toml}\n")
    assert [problem.where for problem in caught.value.problems] == [key]


def test_two_settings_models_of_one_section_are_refused():
    class One(BaseModel):
        section: ClassVar[str] = "same"

    class Other(BaseModel):
        section: ClassVar[str] = "same"

    class Args(BaseModel):
        pass

    def make(name, settings):
        def live(args, call):
            return None

        live.__annotations__ = {"args": Args, "call": ToolCall}
        return tool(name=name, risk="LOW", reversibility="read_only", settings=settings)(live)

    with pytest.raises(ConfigError, match="two settings models share this section"):
        Catalogue([make("a", One), make("b", Other)])


@pytest.mark.parametrize(
    ("toml", "place", "said"),
    [
        ("[policy.decisions.unlok]\npeople = 2", "policy.decisions.unlok", "is unknown here; did you mean 'unlock'?"),
        ("[policy.decisions.approve.by_risk.HUGE]\npeople = 2", "policy.decisions.approve.by_risk.HUGE", "write 'LOW', "),
        ('[console]\npeople = ["@approvers"]', "console.people", "'@approvers': there is no such role"),
    ],
)
def test_a_name_that_stands_for_nothing_is_told_where_it_stands(toml: str, place: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(toml)
    (problem,) = refused.value.problems
    assert problem.where == place
    assert said in f"{problem.message}; {problem.fix}"


@pytest.mark.parametrize("poison", ["[" * 5_000 + "]" * 5_000, "[" * 150 + "]" * 150, "9" * 5_000, '"\\ud800"', "[[1"])
def test_a_file_that_no_parser_ends_well_with_is_refused(poison):
    with pytest.raises(ConfigError) as refused:
        parse_config(f"[settings.x]\ny = {poison}\n")
    assert "is not TOML" in str(refused.value)
    assert len(str(refused.value)) < 1_000
