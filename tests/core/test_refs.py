"""References and secrets in arguments."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.base.errors import RefError
from airlock.plans.refs import REF, SECRET, UNKNOWN, Marker, bind, contains_unknown, markers, referenced_steps, syntax_error
from tests.core.build import json_values


def no_secret(name: str) -> str:
    raise AssertionError(name)


def ref(text: Any) -> dict[str, Any]:
    return {REF: text}


OUTPUTS = {
    "create": {"contact": {"id": 7, "tags": ["a", "b"]}, "none": None, "zero": 0, "no": False},
    "list": [1, 2],
    "text": "hello",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("create.contact.id", 7),
        ("create.contact.tags[1]", "b"),
        ("create.contact.tags[-1]", "b"),
        ("create.contact", {"id": 7, "tags": ["a", "b"]}),
        ("create.zero", 0),
        ("create.no", False),
        ("list", [1, 2]),
        ("list.@", [1, 2]),
        ("list.[0]", 1),
        ("list[0]", 1),
        ("list[-2]", 1),
        ("text", "hello"),
    ],
)
def test_bind(text: str, value: Any) -> None:
    bound = bind({"x": [{"y": ref(text)}], "plain": 1}, OUTPUTS, no_secret)
    assert bound.args == {"x": [{"y": value}], "plain": 1}
    assert bound.unknown == ()


def test_an_output_that_is_not_there_yet_is_unknown() -> None:
    bound = bind({"a": {"b": [0, ref("later.id")]}, "c": ref("create.contact.id")}, OUTPUTS, no_secret)
    assert bound.args == {"a": {"b": [0, UNKNOWN]}, "c": 7}
    assert bound.unknown == ("a.b[1]",)


PARTLY = {"made": {"id": UNKNOWN, "name": "x", "rows": [{"k": UNKNOWN, "n": 1}, UNKNOWN], "deep": UNKNOWN}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("made.name", "x"),
        ('made."name"', "x"),
        ("made.rows[0].n", 1),
        ("made.id", UNKNOWN),
        ("made.deep.er", UNKNOWN),
        ("made.nothing", UNKNOWN),
        ("made.rows[0]", {"k": UNKNOWN, "n": 1}),
    ],
)
def test_nothing_definite_is_said_of_what_is_partly_known(text: str, value: Any) -> None:
    bound = bind({"x": ref(text)}, PARTLY, no_secret)
    assert bound.args == {"x": value}
    assert bound.unknown == (("x",) if contains_unknown(value) else ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("create.nothing", r"x\.y: \$ref 'create\.nothing' found nothing .*'create'.*contact, no, none, zero"),
        ("create.none", "found nothing"),
        ("list.id", r"found nothing .*list"),
        ("text.id", r"found nothing .*str"),
        ("list[2]", "found nothing"),
        ("create.contact.tags[-3]", "found nothing"),
        ("create.length(zero)", "is not a plain path"),
        ("create.contact.tags[::0]", "is not a plain path"),
        ("create.[", "is not a plain path"),
    ],
)
def test_errors_carry_the_path(text: str, words: str) -> None:
    with pytest.raises(RefError, match=words) as caught:
        bind({"x": {"y": ref(text)}}, OUTPUTS, no_secret)
    assert str(caught.value).startswith("x.y: ")


def test_secrets() -> None:
    bound = bind({"a": {SECRET: "crm"}, "b": [{SECRET: "db"}]}, {}, lambda name: UNKNOWN if name == "db" else f"<{name}>")
    assert bound.args == {"a": "<crm>", "b": [UNKNOWN]}
    assert bound.unknown == ("b[0]",)


def test_markers_say_where_they_stand() -> None:
    args = {"row": {"id": ref("create.contact.id"), "k": 1}, "list": [0, [{SECRET: "crm"}]], "two": {REF: "a", "b": 1}}
    assert list(markers(args)) == [
        Marker("row.id", REF, "create.contact.id"),
        Marker("list[1][0]", SECRET, "crm"),
    ]
    assert [marker.keys for marker in markers(args)] == [("row", "id"), ("list", 1, 0)]
    assert referenced_steps(args) == ("create",)


@pytest.mark.parametrize(
    ("text", "step", "parts"),
    [
        ("a.b.c", "a", ("b", "c")),
        ("a", "a", ()),
        ("a.", "a", ()),
        ("a.@", "a", ()),
        ("s01[0].email", "s01", (0, "email")),
        ("s01.[0].email", "s01", (0, "email")),
        ('a."first name"[-1]', "a", ("first name", -1)),
        ("a.content-type", "a", ("content-type",)),
        (".x", "", None),
        (5, "", None),
    ],
)
def test_a_reference_is_a_step_and_a_path(text: Any, step: str, parts: tuple[str | int, ...] | None) -> None:
    marker = Marker("x", REF, text)
    assert (marker.step, marker.parts) == (step, parts)


@pytest.mark.parametrize(
    "text",
    [
        "m.result.[@,@]" + ".[@,@]" * 40,  # doubles with every part where it is evaluated
        "m.result" + ".[@,@]" * 40,
        "m.a || m.b",
        "m.a[?b == `1`]",
        "m.a[*].b",
        "m.a[0:9]",
        "m.sort_by(a, &b)",
        "m.{a: b}",
        "m.a[9999999]",
        'm."a\\u0041"',
        "m.a\n.b",
        "m.é",
        "m.a b",
        "m" + ".a" * 300,
    ],
)
def test_nothing_is_evaluated(text: str) -> None:
    assert syntax_error(Marker("x", REF, text))
    with pytest.raises(RefError):
        bind({"x": ref(text)}, {"m": {"a": {"b": 1}, "result": 1}}, no_secret)


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        (Marker("x", REF, 5), "takes a non-empty string"),
        (Marker("x", REF, ""), "takes a non-empty string"),
        (Marker("x", SECRET, None), r"\$secret takes a non-empty string"),
        (Marker("x", REF, ".id"), "names no step"),
        (Marker("x", REF, "."), "names no step"),
        (Marker("x", REF, "a.["), "is not a plain path"),
        (Marker("x", REF, "a.b c"), "is not a plain path"),
        (Marker("x", REF, "a." + "(" * 20_000), "is longer than 500 characters"),
        (Marker("", REF, "a.b"), "in the place of all arguments"),
        (Marker("", SECRET, "a"), "in the place of all arguments"),
    ],
)
def test_wording(marker: Marker, words: str) -> None:
    import re

    assert re.search(words, syntax_error(marker) or "")


def test_good_wording() -> None:
    assert syntax_error(Marker("x", REF, "a.b[0].c")) is None
    assert syntax_error(Marker("x", SECRET, "anything at all")) is None


@given(st.text(max_size=30))
def test_any_text_is_judged_and_never_crashes(text: str) -> None:
    marker = Marker("x", REF, text)
    wrong = syntax_error(marker)
    try:
        bind({"x": ref(text)}, {marker.step: OUTPUTS["create"]}, no_secret)
    except RefError:
        pass
    else:
        assert wrong is None or not marker.step


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=4))
def test_values_without_markers_come_out_unchanged(args: dict[str, Any]) -> None:
    if any(markers(args)):
        return
    bound = bind(args, OUTPUTS, no_secret)
    assert repr(bound.args) == repr(args)
    assert bound.unknown == ()


@given(st.dictionaries(st.text(min_size=1, max_size=6), json_values, max_size=3), st.data())
def test_whatever_is_referenced_is_bound_or_unknown(args: dict[str, Any], data: st.DataObject) -> None:
    known = data.draw(st.booleans())
    value = data.draw(json_values.filter(lambda value: value is not None and not contains_unknown(value)))
    args = {**args, "here": [ref("s.v")]}
    bound = bind(args, {"s": {"v": value}} if known else {}, lambda name: "secret")
    assert repr(bound.args["here"]) == repr([value] if known else [UNKNOWN])
    assert ("here[0]" in bound.unknown) is (not known)
