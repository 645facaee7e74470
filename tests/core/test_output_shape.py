"""References to what a tool's output does not have: found before anything runs, from the declared output."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SerializeAsAny, TypeAdapter, field_serializer, model_serializer
from typing_extensions import TypedDict

from airlock.admission.examination import examine
from airlock.plans.arguments.output_shape import OutputShape
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import tool
from airlock.plans.tool_call import ToolCall
from tests.core.build import OPEN_POLICY, Free, catalogue, plan, step


class Contact(BaseModel):
    """A part with a name of its own."""

    id: int
    email: str
    nick: str = Field(default="", alias="nickName")


class More(BaseModel):
    """A part that may hold more than it declares."""

    model_config = ConfigDict(extra="allow")
    id: int


class Written(BaseModel):
    """A part that is written in another way than it is declared."""

    id: int

    @model_serializer
    def _anything(self):  # type: ignore[no-untyped-def]  # that it states no result is the case
        return {"number": self.id}


class Turned(BaseModel):
    """A part of which one field is written in another way."""

    id: int

    @field_serializer("id")
    def _anything(self, value: int):  # type: ignore[no-untyped-def]
        return {"number": value}


class Node(TypedDict):
    """A part that holds itself."""

    name: str
    next: "Node | None"


class Output(TypedDict, total=False):
    """An output with parts of every kind."""

    contact: Contact
    contacts: list[Contact]
    pair: tuple[int, Contact]
    maybe: Contact | None
    either: Contact | More
    by_name: dict[str, Contact]
    at: datetime
    node: Node
    anything: Any
    json_value: JsonValue
    table: dict[str, Any]
    subclass: SerializeAsAny[Contact]
    written: Written
    turned: Turned


SHAPE = OutputShape(TypeAdapter(Output))


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ("contact", "id"),
        ("contact", "nick"),
        ("contact", "nickName"),
        ("contacts", 0, "id"),
        ("contacts", -1, "email"),
        ("pair", 1, "id"),
        ("pair", -2),
        ("maybe", "id"),
        ("either", "not declared"),
        ("by_name", "any key", "id"),
        ("node", "next", "next", "next", "name"),
        ("anything", "at", 0, "all"),
        ("json_value", "at", 0, "all"),
        ("table", "key", "below"),
        ("subclass", "of a subclass"),
        ("written", "number"),
        ("turned", "id", "number"),
    ],
    ids=str,
)
def test_what_an_output_may_have_is_accepted(parts: tuple[str | int, ...]) -> None:
    assert SHAPE.lacks(parts) is None


@pytest.mark.parametrize(
    ("parts", "why", "likely"),
    [
        (("contacs",), "has no field 'contacs'", ("contacts",)),
        (("contacs", 0, "id"), "has no field 'contacs'", ("contacts", 0, "id")),
        (("contact", "emial"), "has no field 'emial' in 'contact'", ("contact", "email")),
        (("id",), "has no field 'id'", ("contact", "id")),
        (("contacts", "email"), "has no field 'email' in 'contacts'", ("contacts", 0, "email")),
        (("contact", 0), "has no position 0 in 'contact', which is of type object", None),
        (("pair", 2), "has no position 2 in 'pair', which is of type array", None),
        (("contacts", 0, "Id"), "has no field 'Id' in 'contacts[0]'", ("contacts", 0, "id")),
        (("maybe", "phone"), "has no field 'phone' in 'maybe'", None),
        (("by_name", "any key", "phone"), """has no field 'phone' in 'by_name."any key"'""", None),
        (("at", "year"), "has no field 'year' in 'at'", None),
        (("node", "next", "nam"), "has no field 'nam' in 'node.next'", ("node", "next", "name")),
    ],
    ids=str,
)
def test_what_no_output_has_is_named_with_what_is_like_it(
    parts: tuple[str | int, ...], why: str, likely: tuple[str | int, ...] | None
) -> None:
    found = SHAPE.lacks(parts)
    assert found is not None
    assert (found.why, found.likely) == (why, likely)


@pytest.mark.parametrize("output", [Any, dict, dict[str, Any], JsonValue, Callable[[], int]], ids=str)
def test_a_tool_that_declares_nothing_is_taken_at_its_word(output: Any) -> None:
    adapter = TypeAdapter[Any](output)
    assert OutputShape(adapter).lacks(("at", 0, "all")) is None


@pytest.mark.parametrize("output", [None, str, list[int], BaseModel], ids=str)
def test_an_output_without_fields_has_none(output: Any) -> None:
    assert OutputShape(TypeAdapter[Any](output)).lacks(("id",)) is not None


@tool(name="find", risk="LOW", reversibility="read_only")
def find(args: Free, call: ToolCall) -> Output:
    """Find."""
    raise AssertionError("the core calls no tool")


OFFERED = Catalogue([find, *(each for name in catalogue().names if (each := catalogue().get(name)))])


def problems_of(*references: str, reader: str = "read") -> list[tuple[str, str, str]]:
    steps = [step(f"s{number}", reader, args={"x": [{"$ref": text}]}) for number, text in enumerate(references)]
    found = examine(plan(step("look", "find"), step("open", "write"), *steps), OFFERED, OPEN_POLICY)
    assert (found.admitted is None) is bool(found.problems)
    return [(problem.where, problem.message, problem.fix) for problem in found.problems]


def test_the_examination_names_step_argument_path_and_the_likely_one() -> None:
    assert problems_of("look.contact.emial", "look.contact.email", "open.what_it_likes", "look", "look.maybe.phone") == [
        (
            "steps.s0.args.x[0]",
            "$ref 'look.contact.emial': the output of find (step 'look') has no field 'emial' in 'contact'",
            "did you mean 'look.contact.email'?",
        ),
        (
            "steps.s4.args.x[0]",
            "$ref 'look.maybe.phone': the output of find (step 'look') has no field 'phone' in 'maybe'",
            "use one of its fields there: id, email, nick",
        ),
    ]
    assert problems_of('look.by_name."a b".emial')[0][2] == """did you mean 'look.by_name."a b".email'?"""
    assert problems_of("look.at.year")[0][2] == 'write {"$ref": "look"} for the whole output, or read another step'


def test_of_many_wrong_paths_only_some_are_compared_with_others() -> None:
    found = problems_of(*(f"look.contact.emial{number}" for number in range(300)))
    assert len(found) == 300
    assert sum("did you mean" in fix for _, _, fix in found) == 100
