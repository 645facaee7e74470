"""Contracts, the decorator, the catalogue and the operator's file: what is wrong is told when the worker starts."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from airlock.admission.config import parse_config
from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.base.errors import ConfigError, ContractError
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Fidelity, Reversibility, Risk, contradictions
from airlock.plans.outcome import StepPreview
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.run.sealed import undo_sentence
from tests.core.build import OPEN_POLICY, Free, catalogue, contract, make_tool, plan, step

# contracts

CONSISTENT: list[dict[str, Any]] = [
    {},
    {"reversibility": "compensable"},
    {"reversibility": "read_only", "has_compensate": False, "risk": "LOW"},
    {"reversibility": "irreversible", "has_compensate": False, "risk": "HIGH"},
    {"risk": "HIGH"},
    {"fidelity": "native", "has_dry_run": True},
    {"approval_required": False},
]


@pytest.mark.parametrize("change", CONSISTENT, ids=str)
def test_a_consistent_contract(change: dict[str, Any]) -> None:
    assert contradictions(contract(**change)) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"risk": "HIGH", "approval_required": False}, "risk HIGH needs approval"),
        ({"has_compensate": False}, "'reversible' needs a compensate function"),
        ({"reversibility": "compensable", "has_compensate": False}, "'compensable' needs a compensate function"),
        ({"reversibility": "irreversible"}, "an irreversible tool cannot have a compensate function"),
        (
            {"reversibility": "irreversible", "has_compensate": False, "approval_required": False},
            "an irreversible tool needs approval",
        ),
        ({"reversibility": "read_only"}, "has nothing to compensate"),
        ({"reversibility": "read_only", "has_compensate": False, "risk": "HIGH"}, "cannot be HIGH risk"),
        ({"has_dry_run": True}, "fidelity 'none' says there is no dry run"),
        ({"fidelity": "probe"}, "fidelity 'probe' needs a dry_run function"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_contradiction(change: dict[str, Any], words: str) -> None:
    (found,) = contradictions(contract(**change))
    assert words in found


def test_all_contradictions_are_told() -> None:
    wrong = contract(reversibility="irreversible", risk="HIGH", approval_required=False, fidelity="native")
    assert len(contradictions(wrong)) == 4


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"risk": "low"}, "risk"),
        ({"reversibility": "undoable"}, "reversibility"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 86_401}, "timeout"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"rate_limit": "ten/s"}, "rate_limit"),
        ({"rate_limit": "0/s"}, "rate_limit"),
        ({"cost": -1}, "cost"),
        ({"permissions": "all"}, "permissions"),
        ({"permissions": [1]}, "permissions"),
        ({"permissions": [["a"], 1]}, "permissions"),
        ({"resources": ["row:{"]}, "resources"),
        ({"resources": ["row:{}"]}, "resources"),
        ({"resources": ["row:{0}"]}, "resources"),
        ({"resources": ["row:{a.b}"]}, "resources"),
        ({"retries": 3}, "retries"),
    ],
    ids=str,
)
def test_a_promise_that_cannot_be_understood(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        contract(**change)


def test_a_set_of_permissions_has_one_hash() -> None:
    one, two = contract(permissions={"b", "a", "c"}), contract(permissions=["c", "b", "a", "a"])
    assert one.permissions == ("a", "b", "c")
    assert one.digest() == two.digest()


@pytest.mark.parametrize(
    ("change", "unchecked", "checked"),
    [
        ({"reversibility": "read_only"}, 3, 3),
        ({"reversibility": "reversible"}, 1, 3),
        ({"reversibility": "compensable"}, 1, 1),
        ({"reversibility": "compensable", "idempotent": True}, 3, 3),
        ({"reversibility": "irreversible"}, 1, 1),
        ({"reversibility": "irreversible", "idempotent": True}, 3, 3),
    ],
)
def test_how_often_a_call_may_be_tried(change: dict[str, Any], unchecked: int, checked: int) -> None:
    made = contract(**change)
    assert (made.attempts(checked=False), made.attempts(checked=True)) == (unchecked, checked)


@pytest.mark.parametrize("risk", Risk)
@pytest.mark.parametrize("reversibility", Reversibility)
def test_guarded_calls(risk: Risk, reversibility: Reversibility) -> None:
    found = contract(risk=risk, reversibility=reversibility)
    assert found.guarded is (risk is Risk.HIGH or reversibility is Reversibility.IRREVERSIBLE)
    assert found.undoable is (reversibility in (Reversibility.REVERSIBLE, Reversibility.COMPENSABLE))


# the decorator


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


# the catalogue


def wrong(*args: Any, **kwargs: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        Catalogue(*args, **kwargs)
    assert all(found.fix for found in caught.value.problems)
    return [(found.where, found.message) for found in caught.value.problems]


def test_a_catalogue() -> None:
    found = catalogue()
    assert found.names == ("mail", "order", "pay", "post", "read", "write")
    assert found.get("nope") is None
    assert found.longest_timeout() == 30
    assert Catalogue([]).longest_timeout() == 0
    assert found.digest() == catalogue().digest()
    assert found.digest() != Catalogue([make_tool("read", "LOW", "read_only")]).digest()


def test_two_tools_of_one_name() -> None:
    one, two = make_tool("t", "LOW", "read_only"), make_tool("t", "LOW", "read_only")
    assert wrong([one, two]) == [("tool t", "two modules declare a tool of this name")]
    assert Catalogue([one, one]).names == ("t",)


def test_an_override_of_an_unknown_tool() -> None:
    ((where, message),) = wrong([make_tool("t", "LOW", "read_only")], {"tt": {"risk": "HIGH"}})
    assert (where, message) == ("contracts.tt", "no tool of that name is in the catalogue")


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ({"risk": "huge"}, "contracts.t.risk"),
        ({"colour": "red"}, "contracts.t.colour"),
        ({"timeout": "soon"}, "contracts.t.timeout"),
    ],
)
def test_an_override_that_cannot_be_understood(override: dict[str, Any], where: str) -> None:
    assert wrong([make_tool("t", "LOW", "read_only")], {"t": override})[0][0] == where


def test_an_override_that_contradicts() -> None:
    ((where, message),) = wrong([make_tool("t", "LOW", "read_only")], {"t": {"reversibility": "reversible"}})
    assert where == "contracts.t"
    assert "needs a compensate function" in message


@pytest.mark.parametrize("declared", ["reversible", "compensable"])
def test_an_operator_may_declare_an_undo_away(declared: str) -> None:
    made = make_tool("t", "MEDIUM", declared, compensate=True)
    stricter = Catalogue([made], {"t": {"reversibility": "irreversible"}}).contract("t")
    assert stricter.irreversible
    assert (stricter.undoable, stricter.has_compensate) == (False, False)
    assert Catalogue([made]).contract("t").has_compensate
    looked = StepPreview(step="t", looked=True, effect="Change it.", args={}, undo="Put it back.")
    assert undo_sentence(stricter, looked) == "CANNOT be undone"


def test_only_approved_calls_lose_their_undo() -> None:
    made = make_tool("t", "MEDIUM", "reversible", compensate=True, approval_required=False)
    ((_, message),) = wrong([made], {"t": {"reversibility": "irreversible"}})
    assert "an irreversible tool needs approval" in message


def test_no_operator_declares_an_undo_into_being() -> None:
    ((_, message),) = wrong([make_tool("t", "MEDIUM", "irreversible")], {"t": {"reversibility": "reversible"}})
    assert "needs a compensate function" in message
    varied = make_tool("v", "MEDIUM", "reversible", compensate=True)
    varied.variant(lambda args: {"reversibility": "irreversible"} if args.get("hard") else {})
    loosened = Catalogue([varied], {"v": {"reversibility": "compensable"}})
    assert loosened.contract("v", {}).undoable
    with pytest.raises(ContractError, match="no override can make that undoable"):
        loosened.contract("v", {"hard": True})
    # the author contradicts himself: an override does not hide that
    both = make_tool("b", "MEDIUM", "irreversible", compensate=True)
    assert "cannot have a compensate function" in wrong([both], {"b": {"reversibility": "irreversible"}})[0][1]


def test_a_contradicting_tool_is_found_without_an_override() -> None:
    ((where, _),) = wrong([make_tool("t", "MEDIUM", "reversible")])
    assert where == "tool t"


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


# airlock.toml


def test_an_empty_file_is_careful() -> None:
    found = parse_config("")
    assert found.policy == Policy()
    assert found.policy.permissions_of("anybody") == ()
    assert found.catalogue.modules == ("airlock.tools",)


def test_a_whole_file() -> None:
    found = parse_config(
        """
        [catalogue]
        modules = ["tools", "my_tools"]
        [policy]
        approvals_required = 2
        approvers = ["ann", "bob"]
        approval_waived_for = ["LOW"]
        approval_timeout = "30m"
        [policy.agents.crm]
        permissions = ["b", "a"]
        [contracts.send_email]
        timeout = 5
        [settings.crm]
        base_url = "http://localhost"
        """
    )
    assert found.policy.approvals_required == 2
    assert found.policy.approval_timeout_seconds == 1_800
    assert found.policy.permissions_of("crm") == ("a", "b")
    assert found.contracts == {"send_email": {"timeout": 5}}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("policy = [", "airlock.toml"),
        ("[polcy]\n", "polcy"),
        ("policy = 3", "policy"),
        ("[policy]\napprovls_required = 2", "policy.approvls_required"),
        ("[policy]\napprovals_required = 0", "policy.approvals_required"),
        ("[policy]\napprovals_required = 'two'", "policy.approvals_required"),
        ("[policy]\nconfidence_threshold_for_live = 75", "policy.confidence_threshold_for_live"),
        ("[policy]\ndry_run_only = 'perhaps'", "policy.dry_run_only"),
        ("[policy]\nmax_live_escalations = 0", "policy.max_live_escalations"),
        ("[policy]\napproval_timeout = 'soon'", "policy.approval_timeout"),
        ("[policy]\napproval_timeout = '9999d'", "policy.approval_timeout"),
        ("[policy]\napprovers = 'ann'", "policy.approvers"),
        ("[policy]\napproval_waived_for = ['low']", "policy.approval_waived_for.0"),
        ("[policy]\nsignature_required = 'sometimes'", "policy.signature_required"),
        ("[policy.agents.crm]\npermisions = []", "policy.agents.crm.permisions"),
        ("[policy.agents.crm]\npermissions = [1, 'a']", "policy.agents.crm.permissions.0"),
        ("[policy.agents.crm]\npermissions = [['a']]", "policy.agents.crm.permissions.0"),
        ("[policy.agents]\ncrm = 'all'", "policy.agents.crm"),
        ("[catalogue]\nmodules = 'tools'", "catalogue.modules"),
        ("[contracts]\nsend_email = 5", "contracts.send_email"),
        ("[settings]\ncrm = 'x'", "settings.crm"),
    ],
)
def test_a_wrong_file_names_the_key(text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert where in [found.where for found in caught.value.problems]
    assert all(found.message and found.fix for found in caught.value.problems)


def test_the_environment_has_the_last_word() -> None:
    found = parse_config(
        "[settings.crm]\nbase_url = 'http://file'\nretries = 1",
        {
            "AIRLOCK_SETTINGS__CRM__BASE_URL": "http://environment",
            "AIRLOCK_SETTINGS__SMTP__PORT": "25",
            "AIRLOCK_SETTINGS__ALONE": "x",
            "AIRLOCK_SETTINGS__CRM__": "x",
            "OTHER__CRM__BASE_URL": "x",
        },
    )
    assert found.settings == {"crm": {"base_url": "http://environment", "retries": 1}, "smtp": {"port": "25"}}


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
