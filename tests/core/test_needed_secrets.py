"""The secrets that live calls need: the tool's own, those of its settings, and those that a plan names."""

from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from airlock.admission.needed_secrets import secrets_of_plan, secrets_of_tools, variable
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall


class Args(BaseModel):
    header: Any = None


class Bank(BaseModel):
    section: ClassVar[str] = "bank"
    url: str = "http://bank.test"
    token_secret: str | None = None
    backup_secret: str = ""


@tool(name="pay", risk="HIGH", reversibility="irreversible", needs_secrets={"PAY_KEY"}, secrets={"header"}, settings=Bank)
def pay(args: Args, call: ToolCall) -> None: ...


@tool(name="read", risk="LOW", reversibility="read_only", secrets={"header"})
def read(args: Args, call: ToolCall) -> None: ...


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, {"PAY_KEY": ("pay",)}),  # nothing is set, so the default of a setting needs nothing
        ({"bank": {"url": "http://other.test"}}, {"PAY_KEY": ("pay",)}),
        ({"bank": {"token_secret": "BANK"}}, {"BANK": ("pay",), "PAY_KEY": ("pay",)}),
        ({"bank": {"token_secret": "PAY_KEY"}}, {"PAY_KEY": ("pay",)}),
    ],
)
def test_a_catalogue_needs_what_its_tools_and_their_settings_name(settings: Any, needed: dict[str, Any]) -> None:
    assert secrets_of_tools(Catalogue([pay, read], settings=settings)) == needed


def test_a_plan_needs_what_it_names_also_for_a_tool_that_is_not_known() -> None:
    steps = [
        {"id": name, "agent": "bot", "tool": used, "confidence": 1.0, "args": {"header": {"$secret": secret}}}
        for name, used, secret in (("a", "pay", "own"), ("b", "read", "own"), ("c", "unknown", "other"))
    ]
    plan = Plan.model_validate({"plan_id": "p", "requested_by": "me", "steps": steps})
    contracts = {"a": pay.contract(), "b": read.contract()}
    assert secrets_of_plan(plan, contracts) == {
        "PAY_KEY": ("steps.a.tool",),
        "other": ("steps.c.args.header",),
        "own": ("steps.a.args.header", "steps.b.args.header"),
    }
    assert variable("other-key.1") == "AIRLOCK_SECRET_OTHER_KEY_1"
