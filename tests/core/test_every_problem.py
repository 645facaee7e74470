"""Every mistake of a plan or a configuration that can be seen is named at once, with the name that was probably meant."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from airlock.admission.configuration.config import parse_config
from airlock.admission.examination import Examination, examine
from airlock.admission.policy import Policy
from airlock.admission.readable import further_problems
from airlock.base.errors import ConfigError, PlanError
from airlock.base.likely import likely
from airlock.plans.assignments import read_plan
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from airlock.tools.loader import load_configured
from tests.core.build import OPEN_POLICY, catalogue, plan, step

DESK = Policy.model_validate({"agents": {"helpdesk": {"permissions": ["*"]}}})
REST = Policy.model_validate({"agents": {"helpdesk": {"permissions": ["*"]}, "*": {}}})


class Mail(BaseModel):
    model_config = ConfigDict(extra="forbid")
    to: str
    body: Any = ""


@tool(name="send", risk="HIGH", reversibility="irreversible", permissions={"email:send"}, secrets={"body"})
def send(args: Mail, call: ToolCall) -> None: ...


CATALOGUE = Catalogue([send])


def examined(*steps: Any, policy: Policy = DESK) -> Examination:
    return examine(plan(*steps), CATALOGUE, policy)


def mail(step_id: str, *after: str, agent: str = "helpdesk", tool_name: str = "send", **args: Any) -> Any:
    return step(step_id, tool_name, *after, agent=agent, args={"to": "x", **args})


def fixes(found: Any) -> dict[str, str]:
    return {problem.where: problem.fix for problem in found}


def test_every_stage_of_the_examination_adds_its_problems() -> None:
    found = examined(
        mail("ask", "answer", tool_name="sned"),
        mail("answer", "ask", colour="red"),
        mail("last", "anwser", body={"key": {"$secret": "TOKEN"}}),
        mail("odd", body={"$ref": "zz.x"}),
        mail("mixed", body={"id": {"$ref": "ask.id", "default": 0}}),
        mail("path", body={"$ref": "ask.["}),
    )
    assert [problem.where for problem in found.problems] == [
        "steps.path.args.body",
        "steps.mixed.args.body.id",
        "steps.last.after",
        "steps.odd.args.body",
        "steps.answer",
        "steps.ask.tool",
        "steps.answer.args.colour",
        "steps.last.args.body.key",
    ]
    meant = fixes(found.problems)
    assert meant["steps.last.after"] == "did you mean 'answer'?"
    assert meant["steps.odd.args.body"] == "name one of the plan's steps, or add a step 'zz'"
    assert meant["steps.ask.tool"] == "did you mean 'send'?"


def test_a_refused_secret_does_not_hide_a_budget() -> None:
    few = Policy.model_validate({"agents": {"*": {"permissions": ["*"]}}, "budget": {"live_calls": 1}})
    found = examined(mail("a", body={"$secret": "TOKEN"}), mail("b", "a"), policy=few)
    wheres = [problem.where for problem in found.problems]
    assert wheres[0] == "steps.a.args.body"
    assert len(wheres) == 2
    assert "budget" in str(found.problems[1])
    assert found.admitted is None


def test_what_cannot_be_read_does_not_hide_what_can() -> None:
    document = {
        "plan_id": "p", "requested_by": "me", "gaol": "x", "max_mode": "LIFE",
        "steps": [
            {"id": "a", "agent": "helpdesk", "tool": "sned", "args": {"to": "x"}, "confidence": "high"},
            {"id": "b b", "agent": "helpdesk", "tool": "send", "args": {"to": "x"}, "confidence": 1.0},
            {"id": "c", "agent": "helpdesk", "tool": "send", "args": {"too": "x"}, "confidence": 1.0, "after": ["b b", "q"]},
            {"id": "d", "agent": "helpdesk", "toool": "send", "confidence": 1.0, "after": ["a"]},
            "no step",
        ],
    }  # fmt: skip
    with pytest.raises(PlanError) as refused:
        read_plan(document)
    found = further_problems(document, refused.value, CATALOGUE, DESK)
    assert [problem.where for problem in found] == [
        "steps.a.confidence", "steps.b b.id", "steps.d.tool", "steps.d.toool", "steps.#5", "max_mode", "gaol",
        "steps.c.after", "steps.a.tool", "steps.c.args.to", "steps.c.args.too",
    ]  # fmt: skip
    assert fixes(found)["gaol"] == "did you mean 'goal'?"
    assert fixes(found)["steps.d.toool"] == "did you mean 'tool'?"
    assert fixes(found)["steps.a.tool"] == "did you mean 'send'?"


@pytest.mark.parametrize(
    "document", [None, 7, [], {}, {"steps": 3}, {"steps": [3]}, {"steps": [{}]}, {"agent_assignments": {}}]
)
def test_a_plan_of_which_nothing_can_be_read_keeps_its_own_problems(document: Any) -> None:
    with pytest.raises(PlanError) as refused:
        read_plan(document)
    assert further_problems(document, refused.value, CATALOGUE, DESK) == refused.value.problems


DEEP: Any = {"a": 1}
for _ in range(400):
    DEEP = {"a": [DEEP]}


@pytest.mark.parametrize(
    ("args", "problems"),
    [
        ({"to": "x", "body": DEEP}, {"plan": "is nested more than 100 levels deep"}),
        (DEEP, {"plan": "is nested more than 100 levels deep"}),
        ("to=x", {"steps.a.args": "is a text, not an object {...}"}),
        (None, {"steps.a.args": "is null, not an object {...}"}),
        ([{"to": "x"}], {"steps.a.args": "is a list, not an object {...}"}),
    ],
)
def test_of_arguments_that_cannot_be_read_none_is_called_missing(args: Any, problems: dict[str, str]) -> None:
    document = {"plan_id": "p", "requested_by": "me", "steps": [mail("a").model_dump() | {"args": args}]}
    with pytest.raises(PlanError) as refused:
        read_plan(document)
    found = further_problems(document, refused.value, CATALOGUE, DESK)
    assert {problem.where: problem.message for problem in found} == problems
    # the other steps are examined all the same
    document["steps"] += [step("b", "send", agent="helpdesk", args={}).model_dump()]
    found = further_problems(document, refused.value, CATALOGUE, DESK)
    assert {problem.where for problem in found} == {*problems, "steps.b.args.to"}


def test_of_a_wish_that_cannot_be_read_both_answers_are_possible() -> None:
    steps = [step("a", "send", agent="helpdesk", args={}).model_dump()]
    document = {"plan_id": "p", "requested_by": "me", "steps": steps, "allow_missing_arguments": "perhaps"}
    with pytest.raises(PlanError) as refused:
        read_plan(document)
    assert further_problems(document, refused.value, CATALOGUE, DESK) == refused.value.problems


# agents


@pytest.mark.parametrize(
    ("agent", "policy", "fix"),
    [
        ("helpdsk", DESK, "did you mean 'helpdesk'?"),
        ("help-desk", REST, "did you mean 'helpdesk'?"),
        ("Helpdesk", DESK, None),
        ("HELPDESK ", REST, None),
        ("sales", DESK, "use one of: helpdesk, or let the operator add it to policy.agents"),
        ("sales", REST, None),
        ("sales", Policy(), "let the operator add it to policy.agents"),
        ("helpdesk", OPEN_POLICY, None),
    ],
)
def test_an_agent_that_the_policy_does_not_have(agent: str, policy: Policy, fix: str | None) -> None:
    found = [each for each in examined(mail("a", agent=agent), policy=policy).warnings if each.where == "steps.a.agent"]
    assert [each.fix for each in found] == ([fix] if fix else [])


def test_an_agent_of_many_steps_is_warned_of_once() -> None:
    found = examined(mail("a", agent="helpdsk"), mail("b", "a", agent="helpdsk"), mail("c", "b", agent="helpdsk"))
    (warning,) = [each for each in found.warnings if each.where.endswith(".agent")]
    assert warning.message == "the policy has no agent 'helpdsk' (and of 2 more steps), so it has no rights"


def test_an_agent_that_needs_no_right_is_no_mistake() -> None:
    assert [each.where for each in examine(plan(step("a", "read")), catalogue(), Policy()).warnings] == []


# placeholders


@pytest.mark.parametrize(
    ("args", "where"),
    [
        ({"body": {"id": {"$ref": "a.id", "default": 0}}}, "body.id"),
        ({"body": [{"$secret": "X", "prefix": "Bearer "}]}, "body[0]"),
        ({"body": {"$ref": "a.id", "$secret": "X"}}, "body"),
        ({"$ref": "a.id", "to": "x"}, ""),
    ],
)
def test_a_placeholder_beside_another_key_is_refused(args: dict[str, Any], where: str) -> None:
    found = examine(plan(step("a"), step("b", args=args))).problems
    assert [problem.where for problem in found] == [f"steps.b.args.{where}".removesuffix(".")]
    assert "beside" in found[0].message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Dear {{ steps.find.output.name }}", "{{ steps.find.output.name }}"),
        ("Dear {{name}} and {{ other }}", "{{name}}, {{ other }}"),
        ("id ${find.result}", "${find.result}"),
        ('id {"$ref": "find.result"}', '{"$ref": "find.result"}'),
        ("id {'$secret': 'X'}", "{'$secret': 'X'}"),
        ("{% if x %}", "{% if x %}"),
        ("<%= find.id %>", "<%= find.id %>"),
        ("%(name)s", "%(name)s"),
        ("id {find.contacts[0].id}", "{find.contacts[0].id}"),
        ("id $find.id now", "$find.id"),
        ("id <find.id>", "<find.id>"),
        ("id {steps.find.id}", "{steps.find.id}"),
        ("Hi {first_name}, {Name}", "{first_name}, {Name}"),
        ("Hi #{user.name}", "#{user.name}"),
        ("Hi *|FNAME|*", "*|FNAME|*"),
        ("Hi @@name@@", "@@name@@"),
        ("Dear <CUSTOMER NAME>, <YOUR_ID>", "<CUSTOMER NAME>, <YOUR_ID>"),
        ("Dear [Name], I am [Your Name] of [Company name]", "[Name], [Your Name], [Company name]"),
        ("[INSERT THE ORDER HERE]", "[INSERT THE ORDER HERE]"),
    ],
)
def test_a_place_to_fill_in_is_warned_of(text: str, named: str) -> None:
    for args, where in (({"text": text}, "text"), ({"deep": [{"x": text}]}, "deep[0].x")):
        (found,) = examine(plan(step("find"), step("b", args=args))).warnings
        assert found.where == f"steps.b.args.{where}"
        assert found.message == f"looks like a place to fill in, but is sent as it is: {named}"


@pytest.mark.parametrize(
    "value",
    [
        "plain", "costs $5.00", "a < b > c", "{ css: red }", "{other.id}", "$other.id", "100 % (sure)", "f(x) = {1, 2}",
        "<find>", "[name](http://x.test)", "row[name]", "[1, 2]", "<BODY>", "a * b | c *", "jo@acme.test", "[ ] [your]",
        "{}", "{0}", "{x}", "{name: 1}", "#{1}", "{\"first_name\": 1}", {"$ref": "find.text"},
        {"ref": "other.id"}, {"ref": 3}, {"secret": "no"},
    ],
)  # fmt: skip
def test_what_is_no_place_to_fill_in(value: Any) -> None:
    found = examine(plan(step("find"), step("b", args={"x": value}))).warnings
    assert [each.message for each in found if "place" in each.message] == []


@pytest.mark.parametrize("value", [{"$Ref": "find.id"}, {"$refs": "find.id"}, {"ref": "find.id"}, {"$secrets": "TOKEN"}])
def test_a_misspelt_placeholder_is_warned_of(value: Any) -> None:
    (found,) = [each for each in examine(plan(step("find"), step("b", args={"x": value}))).warnings if "key" in each.message]
    assert found.where == "steps.b.args.x"


# configurations


def wrong(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as refused:
        load_configured(lambda: parse_config(text))
    return fixes(refused.value.problems)


def test_every_mistake_of_a_configuration_is_named_at_once() -> None:
    found = wrong("""
[policy]
aprovers = ["x"]
approval_timeout = "soon"
approvals_required = 3
approvers = ["ann", "bob"]
[policy.agents.budget]
permisions = ["x"]
[policy.agents.a.budget]
life_calls = 3
[catalogue]
modules = ["airlock.tools", "no_such_module_here"]
[settings.smpt]
host = "x"
[settings.smtp]
prot = 25
[contracts.send_emial]
risk = "LOW"
[contracts.send_email]
timeot = 3
[kyes]
""")
    assert found == {
        "policy.approval_timeout": 'write a duration in quotes: "90s", "30m", "24h" or "7d"',
        "policy.agents.budget.permisions": "did you mean 'permissions'?",
        "policy.agents.a.budget.life_calls": "did you mean 'live_calls'?",
        "policy.aprovers": "did you mean 'approvers'?",
        "kyes": "did you mean 'keys'?",
        "policy.approvals_required": "name more approvers, or require fewer approvals",
        "catalogue.modules": "correct its name, install it, or start the worker in the folder that holds it",
        "settings.smpt": found["settings.smpt"],
        "settings.smtp.prot": found["settings.smtp.prot"],
        "contracts.send_emial": "did you mean 'send_email'?",
        "contracts.send_email.timeot": "did you mean 'timeout'?",
    }
    assert found["settings.smpt"].startswith("did you mean 'settings.smtp'?")
    assert found["settings.smtp.prot"].startswith("did you mean 'port'? it stands in [settings.smtp], or in the environment")


def test_what_was_left_out_contradicts_nothing() -> None:
    found = wrong('[policy]\nsignature_required = "always"\nauthorized_keys = ["no key"]')
    assert list(found) == ["policy.authorized_keys.0"]
    found = wrong('[catalogue]\nmodles = ["own"]\n[contracts.own_tool]\nrisk = "LOW"')
    assert list(found) == ["catalogue.modles"], "the tool may be in a module that the wrong key names"


@pytest.mark.parametrize(
    ("name", "names", "meant"),
    [
        ("helpdsk", ["helpdesk", "sales"], "helpdesk"),
        ("Send-Email", ["send_email"], "send_email"),
        ("worker-002", ["worker-001"], None),
        ("zzz", ["read"], None),
        ("x", [], None),
    ],
)
def test_the_likely_name(name: str, names: list[str], meant: str | None) -> None:
    assert likely(name, names) == meant
