"""A missing secret is found when a worker starts and when a plan is admitted, not in the live call."""

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio.testing import ActivityEnvironment

from airlock.activities.admit import AdmitActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.configuration.config import parse_config
from airlock.admission.examination import examine
from airlock.admission.needed_secrets import absent_secrets, secrets_of_plan, secrets_of_tools
from airlock.admission.policy import Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from airlock.tools.http_routes import http_tool
from airlock.tools.loader import load_catalogue
from airlock.wire import AdmitRequest
from airlock.worker.service import missing_secrets

OPEN = Policy.model_validate({"agents": {"*": {"permissions": ["*"], "secrets": ["*"]}}})


CONTACTS = ("ghl_create_contact", "ghl_search", "ghl_update_contact")


class Args(BaseModel):
    header: Any = None


@tool(name="pay", risk="HIGH", reversibility="irreversible", needs_secrets={"PAY_KEY"}, secrets={"header"})
def pay(args: Args, call: ToolCall) -> None: ...


def plan(**more: Any) -> Plan:
    step = {
        "id": "a",
        "agent": "bot",
        "tool": "pay",
        "confidence": 1.0,
        "args": {"header": {"$secret": "other-key"}},
        **more,
    }
    return Plan.model_validate({"plan_id": "p", "requested_by": "me", "steps": [step]})


def test_needed_secrets_are_in_the_contract_and_change_no_digest() -> None:
    contract = pay.contract()
    assert contract.needs_secrets == ("PAY_KEY",)
    assert contract.digest() == contract.model_copy(update={"needs_secrets": ()}).digest()
    assert "needs_secrets" not in contract.model_copy(update={"needs_secrets": ()}).model_dump()
    route = http_tool(
        name="route", method="POST", url="http://x.test/", risk="HIGH", reversibility="irreversible",
        secret_headers={"X-Key": "ROUTE_KEY"},
    )  # fmt: skip
    assert route.contract().needs_secrets == ("ROUTE_KEY",)


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("", {}),
        (
            '[settings.ghl]\nbase_url = "http://x.test"',
            {"GHL_TOKEN": CONTACTS},
        ),
        ('[settings.smtp]\nhost = "x"', {}),
        ('[settings.smtp]\nhost = "x"\npassword_secret = "MAIL"', {"MAIL": ("send_email",)}),
        ('[settings.database]\nurl = "sqlite:///x"\npassword_secret = "DB"', {"DB": ("database_query", "database_write")}),
    ],
)
def test_settings_name_secrets_too_where_the_operator_has_set_something(text: str, needed: dict[str, Any]) -> None:
    assert secrets_of_tools(load_catalogue(parse_config(text))) == needed


def test_a_worker_names_what_it_lacks_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRLOCK_SECRET_PAY_KEY", raising=False)
    (said,) = missing_secrets(Toolbox(Catalogue([pay]), OPEN, live=True))
    assert said == "no secret 'PAY_KEY', which pay needs: set AIRLOCK_SECRET_PAY_KEY, or its calls will fail"
    assert missing_secrets(Toolbox(Catalogue([pay]), OPEN)) == (), "it makes no live calls"
    monkeypatch.setenv("AIRLOCK_SECRET_PAY_KEY", "k")
    assert missing_secrets(Toolbox(Catalogue([pay]), OPEN, live=True)) == ()


def test_a_plan_needs_what_its_tools_ask_for_and_what_it_names() -> None:
    found = examine(plan(), Catalogue([pay]), OPEN)
    assert secrets_of_plan(found.plan, found.contracts) == {
        "PAY_KEY": ("steps.a.tool",),
        "other-key": ("steps.a.args.header",),
    }
    assert found.admitted is not None
    missing = absent_secrets(found.plan, found.admitted, lambda name: name == "PAY_KEY")
    assert [(each.where, each.fix) for each in missing] == [
        ("steps.a.args.header", "let the operator give the worker AIRLOCK_SECRET_OTHER_KEY")
    ]
    unsure = examine(plan(confidence=0.1), Catalogue([pay]), OPEN)
    assert unsure.admitted is not None
    assert absent_secrets(unsure.plan, unsure.admitted, lambda _: False) == (), "it cannot go live"


async def test_the_worker_that_does_everything_refuses_the_plan_at_admission(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAY_KEY", "OTHER_KEY"):
        monkeypatch.delenv(f"AIRLOCK_SECRET_{name}", raising=False)
    env = ActivityEnvironment(client=object())  # type: ignore[arg-type]
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    activities = AdmitActivities(Toolbox(Catalogue([pay]), OPEN, live=True))
    admission = await env.run(activities.admit, AdmitRequest(plan=plan()))
    assert admission.admitted is None
    assert [problem.where for problem in admission.problems] == ["steps.a.tool", "steps.a.args.header"]
