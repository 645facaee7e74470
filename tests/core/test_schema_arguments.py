"""Tools whose arguments another system describes as JSON Schemas."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from airlock import SchemaArguments, arguments_of
from airlock.activities.functions.tool_functions import as_model
from airlock.admission.examination import examine
from airlock.base.canonical import digest
from airlock.base.errors import ContractError
from airlock.plans.arguments.canonical_args import (
    NotCanonical,
    bind_canonical,
    canonical,
    identity,
    round_trip_problems,
    validated,
)
from airlock.plans.catalogue import Catalogue
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import ToolCall
from examples.schema_tools import TOOLS
from tests.core.build import OPEN_POLICY, plan, step

NODE = {
    "type": "object",
    "properties": {
        "weight": {"type": "number", "default": 1.0},
        "children": {"type": "array", "items": {"$ref": "#/$defs/N"}},
    },
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "pattern": "^[a-z]+$", "description": "lower case"},
        "days": {"type": "integer", "minimum": 1, "default": 3},
        "class": {"type": ["string", "null"]},
        "model_config": {"enum": [1, 2]},
        "when-exactly": {"type": "string", "format": "date-time"},
        "tree": {"$ref": "#/$defs/N"},
        "key": {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 3}]},
    },
    "required": ["city"],
    "additionalProperties": False,
    "dependentRequired": {"class": ["tree"]},
    "$defs": {"N": NODE},
}
MODEL = arguments_of(SCHEMA, "Look")


def schema(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


def made_of(arguments: Any, name: str = "look") -> Tool:
    @tool(name=name, risk="LOW", reversibility="read_only", arguments=arguments)
    def live(args: SchemaArguments, call: ToolCall) -> Any:
        """Look it up."""
        return args.given()

    return live


def wrong(args: dict[str, Any], model: type[BaseModel] = MODEL) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        validated(model, args)
    return [(".".join(map(str, item["loc"])), item["msg"]) for item in caught.value.errors()]


def test_the_schema_is_that_of_the_other_system() -> None:
    made = made_of(SCHEMA)
    assert made.arguments.model_json_schema() == SCHEMA
    assert made.contract().arguments_digest == digest(SCHEMA)
    assert Catalogue([made]).contract("look").arguments_digest == digest(SCHEMA)
    assert round_trip_problems(MODEL) == ()


def test_functions_find_arguments_by_name() -> None:
    made = validated(MODEL, {"city": "a", "model_config": 2, "when-exactly": "2026-01-02T03:04:05Z"})
    assert isinstance(made, SchemaArguments)
    assert made.given() == {"city": "a", "days": 3, "model_config": 2, "when-exactly": "2026-01-02T03:04:05Z"}
    assert (getattr(made, "city"), getattr(made, "days"), getattr(made, "tree")) == ("a", 3, None)  # noqa: B009


@pytest.mark.parametrize(
    ("args", "where", "words"),
    [
        ({}, "city", "Field required"),
        ({"city": 3}, "city", "must be of type 'string'"),
        ({"city": "A"}, "city", "must match '^[a-z]+$': 1 or more of a-z"),
        ({"city": "a\n"}, "city", "must match"),
        ({"city": "a", "days": 1.5}, "days", "must be of type 'integer'"),
        ({"city": "a", "days": "3"}, "days", "must be of type 'integer'"),
        ({"city": "a", "days": True}, "days", "must be of type 'integer'"),
        ({"city": "a", "days": 0}, "days", "must be at least 1"),
        ({"city": "a", "dayz": 1}, "dayz", "Extra inputs are not permitted"),
        ({"city": "a", "model_config": 3}, "model_config", "must be one of 1 or 2"),
        ({"city": "a", "when-exactly": "2026-13-02T03:04:05Z"}, "when-exactly", "must have the format 'date-time'"),
        ({"city": "a", "key": "long"}, "key", "fits none of the forms"),
        ({"city": "a", "tree": None}, "tree", "must be of type 'object'"),
        ({"city": "a", "tree": {"children": [{"wait": 1}]}}, "tree.children.0.wait", "Extra inputs"),
        ({"city": "a", "class": "q"}, "", "does not satisfy dependentRequired"),
    ],
)
def test_an_error_names_its_field(args: dict[str, Any], where: str, words: str) -> None:
    ((place, message),) = wrong(args)
    assert place == where
    assert words in message


def test_each_missing_property_is_named_once() -> None:
    inner = {"type": "object", "required": ["a", "b"], "properties": {"a": {}, "b": {}}}
    made = made_of({"type": "object", "required": ["o"], "properties": {"o": inner}}).arguments
    assert wrong({"o": {}}, made) == [("o.a", "Field required"), ("o.b", "Field required")]
    assert wrong({"o": {"a": 1}}, made) == [("o.b", "Field required")]


def test_no_error_quotes_a_value() -> None:
    found = wrong({"city": "S3CRET", "days": "S3CRET", "key": "S3CRET", "tree": ["S3CRET"], "model_config": "S3CRET"})
    assert len(found) == 5
    assert "S3CRET" not in str(found)


def test_a_plan_is_refused_by_field_as_with_a_model_of_ones_own() -> None:
    class Own(BaseModel):
        model_config = ConfigDict(extra="forbid")
        city: str

    @tool(name="look", risk="LOW", reversibility="read_only")
    def own(args: Own, call: ToolCall) -> str:
        """Look it up."""
        return args.city

    other = made_of(schema({"city": {"type": "string"}}, required=["city"], additionalProperties=False))
    for args in ({}, {"town": "a"}, {"cities": "a", "city": "b"}):
        stated = plan(step("a", "look", args=args))
        both = [examine(stated, Catalogue([made]), OPEN_POLICY).problems for made in (own, other)]
        assert both[0] == both[1]
        assert both[0]


def test_canonical_arguments() -> None:
    full = canonical(MODEL, {"tree": {"children": [{}]}, "days": 1.0, "city": "a"})
    assert full == {"city": "a", "days": 1, "tree": {"weight": 1, "children": [{"weight": 1}]}}
    assert canonical(MODEL, full) == full
    assert not isinstance(full["days"], float)
    assert canonical(MODEL, {"city": "a"}) == {"city": "a", "days": 3}
    assert identity(MODEL, {"city": "a", "days": 3}) == {"city": "a"}
    null = {"city": "a", "class": None, "tree": {}}  # null is a value, and not the same as nothing
    assert canonical(MODEL, null) == {"city": "a", "class": None, "tree": {"weight": 1}, "days": 3}


def test_arguments_that_are_not_known_yet() -> None:
    stated = canonical(MODEL, {"city": {"$ref": "a.city"}, "days": 2.0, "key": {"$secret": "KEY"}})
    assert stated == {"city": {"$ref": "a.city"}, "days": 2, "key": {"$secret": "KEY"}}
    known = bind_canonical(MODEL, {"city": {"$ref": "a.city"}, "days": {"$ref": "a.n"}}, {"a": {"city": "x", "n": 4.0}})
    assert known.args == {"city": "x", "days": 4}
    free = made_of(schema({"text": {"type": "string"}, "n": {"type": "integer"}}, required=["text"]))
    open_ = bind_canonical(free.arguments, {"text": {"$ref": "a.text"}}, {"a": {"text": UNKNOWN}})
    assert open_.unknown == ("text",)
    assert as_model(free, open_.args, complete=True).model_dump() == {"text": UNKNOWN}
    # a mock also gets what does not fit
    assert getattr(as_model(free, {"n": UNKNOWN}, complete=False), "text") == UNKNOWN  # noqa: B009
    with pytest.raises(NotCanonical):
        canonical(free.arguments, {"text": "a", "more": float("nan")})


def test_properties_that_are_not_named_are_open_unless_the_schema_closes_them() -> None:
    free = arguments_of(schema({"a": {"type": "integer"}}))
    assert canonical(free, {"a": 1.0, "b": [1]}) == {"a": 1, "b": [1]}
    texts = arguments_of(schema({"a": {"type": "integer"}}, additionalProperties={"type": "string"}))
    assert wrong({"b": 1}, texts) == [("b", "must be of type 'string'")]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, 'at #: the arguments of a tool are an object: add "type": "object"'),
        ({"type": "array"}, "at #: the arguments of a tool are an object"),
        (schema({"a": {"type": "text"}}), "at #/properties/a/type: "),
        (schema({"a": {"minimum": "1"}}), "at #/properties/a/minimum: "),
        (schema({"a": {"$ref": "https://example.com/s.json"}}), "leads out of this schema, and nothing is fetched"),
        (schema({"a": {"$ref": "other.json#/x"}}), "leads out of this schema"),
        (schema({"a": {"$ref": "#/$defs/B"}}), "at #/properties/a/$ref: '#/$defs/B' names no part of this schema"),
        (schema({"a": {"$ref": "#/properties/a"}}), "the schema refers to itself"),
        (schema({"a": {"allOf": [{"$ref": "#/properties/a"}]}}), "the schema refers to itself"),
        (schema({"a": {"pattern": "(?=x)y"}}), "at #/properties/a/pattern: the expression cannot be checked in linear time"),
        (schema({}, patternProperties={"(?=x)y": {}}), "at #/patternProperties: the expression cannot be checked"),
        (schema({}, patternProperties={"x": {}}, unevaluatedProperties=False), "not supported beside patternProperties"),
        (schema({"a": {"$dynamicRef": "#x"}}), "$dynamicRef is not supported"),
        (schema({"a": {"$id": "x"}}), "a part with an id of its own"),
        (schema({"a": {"type": "integer", "default": "x"}}), "at #/properties/a/default: the default does not fit"),
        (schema({"a": {"$ref": "#/$defs/N"}}, **{"$defs": {"N": schema({"n": {"$ref": "#/$defs/N", "default": {}}})}}),
         "has a default that leads to itself"),
        ({"type": "object", "$schema": "http://json-schema.org/draft-03/schema#"}, "is no draft from 4 to 2020-12"),
        ({"type": "object", "$schema": "https://example.com/mine"}, "is no draft from 4 to 2020-12"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_used_names_the_place(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError) as caught:
        made_of(document)
    assert words in str(caught.value)
    assert str(caught.value).startswith("tool 'look': its arguments ")


def test_no_expression_and_no_nesting_stops_a_worker() -> None:
    evil = arguments_of(schema({"a": {"type": "string", "pattern": "^(a+)+$"}}))
    assert wrong({"a": "a" * 50_000 + "!"}, evil)
    twice = {"anyOf": [{"items": {"$ref": "#/$defs/T"}, "minItems": 9}, {"items": {"$ref": "#/$defs/T"}}], "type": "array"}
    deep: Any = []
    for _ in range(90):
        deep = [deep]
    branching = arguments_of(schema({"a": {"$ref": "#/$defs/T"}}, **{"$defs": {"T": twice}}))
    assert wrong({"a": deep}, branching) == [("a", "it is nested too deeply for its schema")]


def test_a_number_beyond_all_bounds_is_an_error_of_its_field() -> None:
    cents = arguments_of(schema({"a": {"type": "number", "multipleOf": 0.01}}))
    assert wrong({"a": 10**400}, cents) == [("a", "holds a number that is too large to be checked")]


def test_names_that_python_or_pydantic_takes_stay_the_names_of_the_arguments() -> None:
    names = ["", "1", "None", "__class__", "_x", "a b", "a-b", "class", "copy", "given", "model_fields", "self", "é"]
    made = arguments_of(schema({name: {"type": "integer"} for name in names}, additionalProperties=False))
    args = {name: number for number, name in enumerate(names)}
    assert canonical(made, args) == args
    assert Catalogue([made_of(made)]).names == ("look",)


@pytest.mark.parametrize("draft", ["draft-04", "draft-06", "draft-07"])
def test_schemas_of_older_drafts(draft: str) -> None:
    named = {"$schema": f"http://json-schema.org/{draft}/schema#", "definitions": {"P": {"items": [{"type": "integer"}]}}}
    older = arguments_of(schema({"pair": {"$ref": "#/definitions/P"}}, **named))
    assert canonical(older, {"pair": [2.0, "x"]}) == {"pair": [2, "x"]}
    assert wrong({"pair": ["x"]}, older) == [("pair.0", "must be of type 'integer'")]


def test_arguments_of_another_model_than_the_function_takes() -> None:
    class Own(BaseModel):
        city: str

    def live(args: Own, call: ToolCall) -> None: ...

    with pytest.raises(ContractError, match="annotate the first parameter with"):
        tool(name="t", risk="LOW", reversibility="read_only", arguments=SCHEMA)(live)


def test_the_tools_of_the_guide() -> None:
    rooms = Catalogue(TOOLS).get("find_room")
    assert rooms is not None
    args = canonical(rooms.arguments, {"seats": 4.0})
    call = ToolCall("p", "s", "a", mode=None, idempotency_key="p/s")  # type: ignore[arg-type]
    assert rooms.live(validated(rooms.arguments, args), call) == {
        "asked": "find_room", "arguments": {"seats": 4, "building": "north"},
    }  # fmt: skip


def test_properties_may_be_named_by_an_expression() -> None:
    labels = {"type": "object", "patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False}
    for model, wrap in (
        (arguments_of(labels), lambda each: each),
        (arguments_of(schema({"m": labels})), lambda each: {"m": each}),
    ):
        assert model.model_validate(wrap({"x-a": 1.0})).given() == wrap({"x-a": 1})
        for wrong, where in (({"x-a": "b"}, "x-a"), ({"y": 1}, "y")):
            with pytest.raises(ValidationError) as error:
                model.model_validate(wrap(wrong))
            assert error.value.errors()[0]["loc"][-1] == where


def test_a_schema_of_another_system_is_taken_as_far_as_it_goes() -> None:
    look_ahead = r"^(?!\.)[a-z.]+@[a-z.]+$"
    foreign = {
        "properties": {
            "sheet": {"type": "string", "default": None},
            "rows": {"type": "integer", "default": "10"},
            "to": {"type": "string", "format": "email", "pattern": look_ahead},
        },
        "required": ["to"],
    }
    with pytest.raises(ContractError):
        arguments_of(foreign)
    model = arguments_of(foreign, foreign=True)
    # a default that does not fit is left to the system, which fills in its own
    assert model.model_validate({"to": "a@b.test"}).given() == {"to": "a@b.test"}
    assert model.model_json_schema()["properties"]["to"] == {"type": "string", "format": "email", "x-pattern": look_ahead}
    for wrong in ({}, {"to": "nobody"}, {"to": "a@b.test", "rows": "10"}, {"to": "a@b.test", "sheet": None}):
        with pytest.raises(ValidationError):
            model.model_validate(wrong)
