"""Checks of a plan before it runs: problems that refuse it, and warnings."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from airlock.admission.examination import examine
from airlock.admission.lint import argument_problems, lint_warnings
from airlock.plans.catalogue import Catalogue
from airlock.plans.graph import PlanGraph
from airlock.plans.plan import Step
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from tests.core.build import OPEN_POLICY, catalogue, make_tool, plan, step


class Row(BaseModel):
    """Part of the arguments."""

    model_config = ConfigDict(extra="forbid")
    name: str
    size: int = 0


class Table(BaseModel):
    """Arguments with parts."""

    model_config = ConfigDict(extra="forbid")
    table: str
    row: Row
    tags: list[int] = []
    old: str | None = None
    new: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Table":
        if self.old and self.old == self.new:
            raise ValueError("old and new are the same")
        return self


@tool(name="insert", risk="LOW", reversibility="read_only")
def insert(args: Table, call: ToolCall) -> None:
    """Insert."""


def judged(args: dict[str, Any]) -> tuple[list[str], list[str]]:
    missing, wrong = argument_problems(step("a", "insert", args=args), insert)
    for found in [*missing, *wrong]:
        assert found.message
        assert found.fix
    return [found.where for found in missing], [found.where for found in wrong]


REF = {"$ref": "b.id"}
GOOD = {"table": "t", "row": {"name": "n"}}


@pytest.mark.parametrize(
    ("args", "missing", "wrong"),
    [
        (GOOD, [], []),
        ({}, ["table", "row"], []),
        ({**GOOD, "tags": [1, "x"]}, [], ["tags[1]"]),
        ({**GOOD, "row": {"name": 5}}, [], ["row.name"]),
        ({**GOOD, "row": {}}, [], ["row.name"]),
        ({**GOOD, "colour": 1}, [], ["colour"]),
        ({**GOOD, "row": 5}, [], ["row"]),
        # whatever a reference stands for is not judged
        ({**GOOD, "table": REF}, [], []),
        ({"table": "t", "row": REF}, [], []),
        ({"table": "t", "row": {"name": REF}}, [], []),
        ({**GOOD, "tags": [REF]}, [], []),
        ({**GOOD, "tags": {"$secret": "x"}}, [], []),
        # but everything beside it is
        ({"table": 5, "row": {"name": REF}}, [], ["table"]),
        ({"table": "t", "row": {"name": REF, "size": "big"}}, [], ["row.size"]),
        ({"table": "t", "row": {"name": REF, "nmae": 1}}, [], ["row.nmae"]),
        ({**GOOD, "tags": [REF, "x"]}, [], ["tags[1]"]),
        ({"table": REF}, ["row"], []),
        ({**GOOD, "tags": [1, REF], "row": {"size": 1}}, [], ["row.name"]),
        # a rule over all arguments
        ({**GOOD, "old": "x", "new": "x"}, [], [""]),
        ({**GOOD, "old": "x", "new": REF}, [], []),
    ],
    ids=lambda value: str(value)[:50],
)
def test_arguments(args: dict[str, Any], missing: list[str], wrong: list[str]) -> None:
    def places(paths: list[str]) -> list[str]:
        return [f"steps.a.args.{path}".removesuffix(".") for path in paths]

    assert judged(args) == (places(missing), places(wrong))


def test_a_value_under_a_reference_with_a_similar_name_is_still_judged() -> None:
    class Two(BaseModel):
        id: int
        id_card: int

    @tool(name="two", risk="LOW", reversibility="read_only")
    def two(args: Two, call: ToolCall) -> None: ...

    _, wrong = argument_problems(step("a", "two", args={"id": REF, "id_card": "x"}), two)
    assert [found.where for found in wrong] == ["steps.a.args.id_card"]


def test_the_fix_of_an_unknown_argument_lists_the_known_ones() -> None:
    _, (found,) = argument_problems(step("a", "insert", args={**GOOD, "tabel": "x"}), insert)
    assert found.fix == "did you mean 'table'? insert takes: table, row, tags, old, new"


@pytest.mark.parametrize(
    ("name", "fix"),
    [("wirte", "did you mean 'write'?"), ("raed", "did you mean 'read'?"), ("zzzz", "use one of: mail, order, pay")],
)
def test_an_unknown_tool(name: str, fix: str) -> None:
    (found,) = examine(plan(step("a", name)), catalogue()).problems
    assert (found.where, found.message) == ("steps.a.tool", f"no tool {name!r} in the catalogue")
    assert found.fix.startswith(fix)


def test_an_empty_catalogue_says_so() -> None:
    (found,) = examine(plan(step("a")), Catalogue([])).problems
    assert "the catalogue is empty" in found.fix


def test_admission_refuses_what_lint_finds() -> None:
    assert [found.where for found in examine(plan(step("a", "nope")), catalogue(), OPEN_POLICY).problems] == ["steps.a.tool"]
    assert [found.where for found in examine(plan(step("a", "read", "a")), catalogue(), OPEN_POLICY).problems] == ["steps.a"]


def test_admission_refuses_what_a_variant_does_not_understand() -> None:
    odd = make_tool("odd", "LOW", "read_only")

    @odd.variant
    def by_kind(args: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"risk": args["kind"]}

    for args in ({}, {"kind": "nonsense"}, {"kind": "HIGH"}):
        answer = examine(plan(step("a", "odd", args=args)), Catalogue([odd]), OPEN_POLICY)
        assert answer.admitted is None
        assert [found.where for found in answer.problems] == ["steps.a.tool"]
    assert examine(plan(step("a", "odd", args={"kind": "MEDIUM"})), Catalogue([odd]), OPEN_POLICY).admitted is not None


# warnings


def warned(*steps: Step) -> list[tuple[str, str]]:
    proposed = plan(*steps)
    contracts = {found.id: catalogue().contract(found.tool) for found in steps if found.tool in catalogue().names}
    for found in lint_warnings(proposed, contracts, PlanGraph.of(proposed)):
        assert found.fix
    return [(found.where, found.message) for found in lint_warnings(proposed, contracts, PlanGraph.of(proposed))]


@pytest.mark.parametrize(
    ("args", "where"),
    [
        ({"password": "hunter2"}, "password"),
        ({"db": {"api_key": "x"}}, "db.api_key"),
        ({"headers": {"Authorization": "Basic abc"}}, "headers.Authorization"),
        ({"Api-Key": "x"}, "Api-Key"),
        ({"list": [{"access_token": "x"}]}, "list[0].access_token"),
        ({"x": "sk-live-abc"}, "x"),
        ({"x": "ghp_abcdef"}, "x"),
        ({"x": ["Bearer abc"]}, "x[0]"),
        ({"x": "-----BEGIN PRIVATE KEY-----"}, "x"),
    ],
    ids=str,
)
def test_a_secret_in_clear_text(args: dict[str, Any], where: str) -> None:
    ((found, message),) = warned(step("a", args=args))
    assert found == f"steps.a.args.{where}"
    assert "secret in clear text" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "args",
    [
        {"password": {"$secret": "db"}},
        {"token": {"$ref": "a.token"}},
        {"password": ""},
        {"text": "my password"},
        {"tokens": "5"},
    ],
    ids=str,
)
def test_what_is_no_secret(args: dict[str, Any]) -> None:
    assert warned(step("a"), step("b", args=args)) == []


def test_irreversible_before_reversible() -> None:
    ((where, message),) = warned(step("send", "mail"), step("look", "read", "send"), step("write", "write", "look"))
    assert where == "steps.send"
    assert "comes before reversible write" in message


def test_irreversible_last_is_fine() -> None:
    assert warned(step("write"), step("send", "mail", "write"), step("look", "read", "send"), step("free")) == []


def test_steps_of_unknown_tools_are_left_out_of_the_warnings() -> None:
    assert warned(step("send", "unheard"), step("write", "write", "send")) == []
