"""Canonical arguments: one form for every spelling, and models that have none are refused by field."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, computed_field, field_validator

from airlock.admission.examination import examine
from airlock.base.canonical import canonical_json
from airlock.base.errors import ConfigError
from airlock.plans.arguments.canonical_args import Open, bind_canonical, canonical, identity, round_trip_problems
from airlock.plans.arguments.canonical_field import NotCanonical
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.plans.drift import drift_beside, overlap
from airlock.plans.plan import Plan, Step
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from tests.core.build import OPEN_POLICY


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int = 1
    price: float = 0.5
    exact: Decimal = Decimal("1.10")
    at: datetime | None = None
    names: set[str] = Field(default_factory=set)
    sender: str = Field("me", alias="from")
    mail: str = "a@b.test"
    anything: Any = None

    @field_validator("mail")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> float:
        return self.number * self.price


@pytest.mark.parametrize(
    "spellings",
    [
        [{}, {"number": 1}, {"number": "1", "price": "5e-1", "exact": "1.1", "at": None, "names": []}, {"from": "me"}],
        [{"number": 100}, {"number": "100"}, {"number": 100.0}, {"number": 1e2}],
        [{"exact": 100}, {"exact": "100"}, {"exact": "1e2"}, {"exact": 100.0}, {"exact": "100.000"}],
        [{"exact": 0}, {"exact": "-0.00"}, {"exact": "0e7"}],
        [{"price": 100}, {"price": "1e2"}, {"price": "100"}, {"price": 100.0}],
        [{"at": "2026-01-01T10:00:00Z"}, {"at": "2026-01-01T11:00:00+01:00"}, {"at": "2026-01-01 10:00:00.000+00:00"}],
        [{"names": ["a", "b", "c"]}, {"names": ["c", "a", "b", "a"]}],
        [{"mail": "Jo@Acme.Test"}, {"mail": "jo@acme.test"}],
    ],
)
def test_every_spelling_has_one_form(spellings):
    forms = {canonical_json(canonical(Order, args)) for args in spellings}
    assert len(forms) == 1
    assert "total" not in forms.pop(), "what the model computes is no argument"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"number": 1}, {"number": 2}),
        ({"anything": True}, {"anything": 1}),
        ({"anything": "1"}, {"anything": 1}),
        ({"at": "2026-01-01T10:00:00Z"}, {"at": "2026-01-01T10:00:00"}),
        ({"exact": "0.1"}, {"exact": "0.10000000000000000000000000000000000001"}),
        ({"anything": ""}, {"anything": None}),
    ],
)
def test_other_values_stay_other_values(one, other):
    assert canonical_json(canonical(Order, one)) != canonical_json(canonical(Order, other))


def test_canonical_arguments_are_their_own_canonical_form():
    once = canonical(Order, {"number": "7", "exact": "1e400", "names": ["b", "a"], "at": "0001-01-01T00:00:00+14:00"})
    assert canonical_json(canonical(Order, once)) == canonical_json(once)


def test_the_identity_of_a_call_leaves_out_what_is_at_its_default():
    assert identity(Order, canonical(Order, {"number": "3", "from": "me"})) == {"number": 3}


def test_numbers_of_an_open_type_are_called_as_written_and_claimed_as_numbers():
    one, other = ({"anything": {"n": [value]}} for value in (1.0, 1))
    assert canonical_json(canonical(Order, one)) != canonical_json(canonical(Order, other))
    assert canonical_json(identity(Order, one)) == canonical_json(identity(Order, other)) == '{"anything":{"n":[1]}}'
    assert identity(Order, {"price": -0.0}) == identity(Order, {"price": 0.0})


def test_a_marker_keeps_its_place_and_the_arguments_beside_it_are_canonical():
    args = {"number": {"$ref": "look.n"}, "from": {"$secret": "WHO"}, "mail": "JO@b.test", "price": "2"}
    made = canonical(Order, args)
    assert (made["number"], made["from"], made["mail"], made["price"]) == (args["number"], args["from"], "jo@b.test", 2)
    bound = bind_canonical(Order, made, {"look": {"n": "4"}})
    assert (bound.args["number"], bound.args["from"]) == (4, Open("$secret", "WHO"))
    assert bind_canonical(Order, made, {}).args["number"] == UNKNOWN


def test_an_output_that_looks_like_a_secret_stays_data():
    hostile = {"$secret": "ROOT"}
    bound = bind_canonical(Order, {"anything": {"$ref": "a.x"}}, {"a": {"x": hostile}})
    assert bound.args["anything"] == hostile


def test_a_text_that_the_model_reads_as_a_marker_is_refused():
    class Sly(BaseModel):
        body: Any

        @field_validator("body")
        @classmethod
        def _read(cls, value: Any) -> Any:
            return {"$secret": "ROOT"} if value == "ROOT" else value

    with pytest.raises(NotCanonical, match="makes a \\$ref or \\$secret out of other text"):
        canonical(Sly, {"body": "ROOT"})


class Hidden(BaseModel):
    word: SecretStr
    number: int = 2


def test_a_value_that_does_not_survive_is_refused_at_admission_by_field():
    with pytest.raises(NotCanonical, match="the argument 'word' is another value"):
        canonical(Hidden, {"word": "open sesame"})
    assert canonical(Hidden, {"word": {"$secret": "X"}, "number": "3"}) == {"word": {"$secret": "X"}, "number": 3}

    @tool(name="hide", risk="LOW", reversibility="read_only", secrets={"word"})
    async def hide(args: Hidden, call: ToolCall) -> None: ...

    step = Step(id="s", agent="a", tool="hide", args={"word": "open sesame"}, confidence=1.0)
    plan = Plan(plan_id="p", requested_by="rita", steps=(step,))
    (problem,) = examine(plan, Catalogue([hide]), OPEN_POLICY).problems
    assert (problem.where, "sesame" in str(problem)) == ("steps.s.args.word", False)


def test_admission_freezes_the_form_only_where_the_plan_has_another():
    @tool(name="order", risk="LOW", reversibility="read_only")
    async def order(args: Order, call: ToolCall) -> None: ...

    whole = canonical(Order, {})
    steps = [Step(id=f"s{n}", agent="a", tool="order", args=args, confidence=1.0) for n, args in enumerate(({}, whole))]
    admitted = examine(Plan(plan_id="p", requested_by="r", steps=tuple(steps)), Catalogue([order]), OPEN_POLICY).admitted
    assert admitted is not None
    assert [admitted.steps[step.id].args for step in steps] == [whole, None]
    assert [admitted.step(step).args for step in steps] == [whole, whole]
    wire = admitted.model_dump(mode="json")
    assert wire["args"] == {"s0": whole}
    assert "args" not in admitted.model_copy(update={"steps": {"s1": admitted.steps["s1"]}}).model_dump(mode="json")


def _other_each_time() -> str:
    return uuid4().hex


class Excluded(BaseModel):
    seen: int = Field(1, exclude=True)


class TwoNames(BaseModel):
    one: int = Field(1, serialization_alias="two")


class WrongDefault(BaseModel):
    text: str = None  # type: ignore[assignment]


class OtherDefault(BaseModel):
    text: str = Field(default_factory=_other_each_time)


class BadExample(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"word": "x"}]})
    word: SecretStr


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Excluded, "'seen' is declared with exclude=True"),
        (TwoNames, "'one' is written as 'two', but not read under that name"),
        (WrongDefault, "the default of argument 'text' does not fit its own type"),
        (OtherDefault, "the default of argument 'text' is another one each time"),
        (BadExample, "the argument 'word' is another value"),
    ],
)
def test_a_model_without_a_canonical_form_stops_the_worker(model, said):
    async def odd(args: Any, call: ToolCall) -> None: ...

    odd.__annotations__["args"] = model
    made = tool(name="odd", risk="LOW", reversibility="read_only")(odd)
    with pytest.raises(ConfigError, match=said):
        Catalogue([made])
    assert round_trip_problems(Order) == ()


@pytest.mark.parametrize(
    ("promise", "said"),
    [
        ({"may_drift": {"sender"}}, "may_drift names 'sender'"),
        ({"may_drift": {"nothing.x"}}, "may_drift names 'nothing.x'"),
        ({"resources": ["box:{sender}"]}, "resources names the argument 'sender', whose name is 'from'"),
    ],
)
def test_promises_name_arguments_as_they_are_sealed(promise, said):
    made = tool(name="order", risk="LOW", reversibility="read_only", **promise)

    async def order(args: Order, call: ToolCall) -> None: ...

    with pytest.raises(ConfigError, match=said):
        Catalogue([made(order)])


def test_a_contract_without_the_promise_keeps_its_digest():
    contract = Contract(tool="t", risk="LOW", reversibility="read_only")
    assert "may_drift" not in contract.model_dump(mode="json")
    assert "may_drift" not in OPEN_POLICY.model_dump(mode="json")
    allowed = Contract(tool="t", risk="LOW", reversibility="read_only", may_drift=("b", "a", "b"))
    assert allowed.may_drift == ("a", "b")
    assert allowed.digest() != contract.digest()


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        ((), ("row.amount", "row.to", "to[1]")),
        (("row",), ("to[1]",)),
        (("row.amount",), ("row.to", "to[1]")),
        (("to", "row.to"), ("row.amount",)),
        (("ro", "row.amount.deep", "amount"), ("row.amount", "row.to", "to[1]")),
    ],
)
def test_drift_beside_the_allowed_arguments(allowed, left):
    before = {"row": {"amount": 1, "to": "jo"}, "to": ["a", "b"], "same": 1}
    after = {"row": {"amount": 2, "to": "kim"}, "to": ["a", "c"], "same": 1}
    assert drift_beside(before, after, allowed) == left


def test_an_allowed_path_does_not_allow_a_key_that_only_reads_like_it():
    assert drift_beside({"head": {"a.b": 1}}, {"head": {"a.b": 2}}, ["head.a.b"]) == ("head.a.b",)
    assert drift_beside({"rows": [{"n": 1, "m": 1}]}, {"rows": [{"n": 2, "m": 2}]}, ["rows.n"]) == ("rows[0].m",)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a", "a", True),
        ("a", "a.b[0]", True),
        ("a[3].b", "a.b", True),
        ("a.b", "a", True),
        ("a", "ab", False),
        ("a.b", "a.c", False),
    ],
)
def test_paths_that_meet(one, other, meet):
    assert overlap(one, other) is meet
