"""The decorator and the catalogue: what is wrong with a tool is told when the worker starts."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict

from airlock.admission.examination import examine
from airlock.base.errors import ConfigError, ContractError
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Fidelity, Reversibility, Risk
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from tests.core.build import OPEN_POLICY, Free, catalogue, make_tool, plan, step


def declare(function: Any, **more: Any) -> Tool:
    return tool(**{"name": "t", "risk": "LOW", "reversibility": "read_only", **more})(function)


def good(args: Free, call: ToolCall) -> dict[str, int]:
    """Reads. And more.

    Not this line.
    """
    return {}


def test_a_tool() -> None:
    made = declare(good, timeout=5, permissions={"b", "a"})
    found = made.contract()
    assert (made.name, made.arguments, found.description) == ("t", Free, "Reads. And more.")
    assert (found.timeout, found.permissions, found.fidelity) == (5, ("a", "b"), Fidelity.NONE)
    assert made.output.validate_python({"a": 1}) == {"a": 1}
    assert len(found.arguments_digest) == 64


def one(args: Free) -> None: ...
def three(args: Free, call: ToolCall, more: int) -> None: ...
def bare(args, call): ...  # type: ignore[no-untyped-def]
def other(args: dict[str, Any], call: ToolCall) -> None: ...
def unknown(args: "Nowhere", call: ToolCall) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (one, "takes (args, call), not 1 parameters"),
        (three, "not 3 parameters"),
        (bare, "annotate the first parameter"),
        (other, "annotate the first parameter"),
        (unknown, "cannot be read"),
    ],
)
def test_a_wrong_signature(function: Any, words: str) -> None:
    with pytest.raises(ContractError, match="tool 't'") as caught:
        declare(function)
    assert "live function" in str(caught.value)
    assert words in str(caught.value)
    with pytest.raises(ContractError) as caught:
        declare(good).mock(function)
    assert "mock function" in str(caught.value)


@pytest.mark.parametrize(
    "promises",
    [
        {"risk": "low"},
        {"reversibility": "maybe"},
        {"timeout": -1},
        {"retries": 3},
        {"permissions": [1]},
        {"resources": ["{"]},
    ],
    ids=str,
)
def test_an_unknown_or_wrong_promise(promises: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=f"tool 't'[\\s\\S]*{next(iter(promises))}"):
        declare(good, **promises)


@pytest.mark.parametrize("kind", ["mock", "dry_run", "compensate", "probe"])
def test_two_functions_of_a_kind(kind: str) -> None:
    made = declare(good)
    getattr(made, kind)(good)
    with pytest.raises(ContractError, match=f"tool 't' has two {kind} functions"):
        getattr(made, kind)(good)


def test_fidelity_is_native_where_nothing_else_is_said() -> None:
    made = declare(good)
    made.dry_run(good)
    assert made.contract().fidelity is Fidelity.NATIVE
    assert made.contract(overrides={"fidelity": "simulated"}).fidelity is Fidelity.SIMULATED
    simulated = declare(good, fidelity="simulated")
    simulated.dry_run(partial=True)(good)
    assert simulated.contract().fidelity is Fidelity.SIMULATED
    assert simulated.partial


def test_a_declared_fidelity_without_a_dry_run() -> None:
    with pytest.raises(ContractError, match="needs a dry_run function"):
        declare(good, fidelity="native").contract()
    lying = declare(good, fidelity="none")
    lying.dry_run(good)
    with pytest.raises(ContractError, match="fidelity 'none'"):
        lying.contract()


def request_tool() -> Tool:
    made = make_tool("http", "MEDIUM", "compensable", compensate=True)

    @made.variant
    def by_method(args: Mapping[str, Any]) -> Mapping[str, Any]:
        if args["method"].upper() == "GET":
            return {"risk": "LOW", "reversibility": "read_only"}
        return {"risk": "HIGH", "reversibility": "irreversible"} if args["method"] == "POST" else {}

    return made


def test_the_contract_of_particular_arguments() -> None:
    made = request_tool()
    assert made.contract().reversibility is Reversibility.COMPENSABLE
    assert made.contract({"method": "get"}).read_only
    assert made.contract({"method": "POST"}).irreversible
    assert not made.contract({"method": "POST"}).has_compensate
    assert made.contract({"method": "PUT"}).has_compensate


@pytest.mark.parametrize("args", [{}, {"method": None}, {"method": {"$ref": "a.b"}}], ids=str)
def test_arguments_a_variant_does_not_understand(args: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="variant function does not understand these arguments"):
        request_tool().contract(args)


def test_operators_have_the_last_word() -> None:
    assert Catalogue([request_tool()], {"http": {"risk": "HIGH"}}).contract("http", {"method": "PUT"}).risk is Risk.HIGH


def test_what_a_tool_answers() -> None:
    assert Preview(effect="x").output == "(known after live)"
    assert Probe(happened=None).happened is None


class Crm(BaseModel):
    """Settings."""

    model_config = ConfigDict(extra="forbid")
    section: ClassVar[str] = "crm"
    base_url: str
    retries: int = 3


def crm_tool() -> Tool:
    return tool(name="crm_tool", risk="LOW", reversibility="read_only", settings=Crm)(good)


def test_settings() -> None:
    made = crm_tool()
    found = Catalogue([made], settings={"crm": {"base_url": "http://localhost"}})
    assert found.settings_of(made) == Crm(base_url="http://localhost")
    assert catalogue().settings_of(make_tool("t", "LOW", "read_only")) is None


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({}, "settings.crm.base_url"),
        ({"crm": {"base_url": "x", "retries": "many"}}, "settings.crm.retries"),
        ({"crm": {"base_url": "x", "retrys": 1}}, "settings.crm.retrys"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Catalogue([crm_tool()], settings=settings)
    (found,) = caught.value.problems
    assert found.where == where
    assert where.rpartition(".")[2].upper() in found.fix


@pytest.mark.parametrize(("value", "told"), [(True, "is true or false, not a number"), ("5", "is a text, not a number")])
def test_a_number_of_a_contract_is_no_text_and_no_truth(value: object, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Catalogue([crm_tool()], {"crm_tool": {"timeout": value}}, {"crm": {"base_url": "x"}})
    (found,) = caught.value.problems
    assert (found.where, found.message) == ("contracts.crm_tool.timeout", told)


def test_a_variant_that_promises_nonsense_is_told_field_by_field() -> None:
    @tool(name="vary", risk="LOW", reversibility="read_only")
    def vary(args: Free, call: ToolCall) -> None:
        """Vary."""

    vary.variant(lambda args: {"resources": ("row:{0}",)} if args else {})
    found = examine(plan(step("a", "vary", args={"x": 1})), Catalogue([vary]), OPEN_POLICY)
    (problem,) = found.problems
    assert (problem.where, problem.fix) == ("steps.a.tool", "fix the tool, or these arguments")
    assert problem.message.startswith("resources: 'row:{0}': name an argument between the braces")
    assert "pydantic" not in problem.message
