"""The values of parameters in a request: the examples of the OpenAPI standard, and what no value may do."""

from typing import Any

import pytest

from airlock.base.errors import ToolFailed
from airlock.tools.openapi.parameters import Writing, cookies_of, header_of, path_of, query_of, writing_of

TEXT, LIST, OBJECT = "blue", ["blue", "black", "brown"], {"R": 100, "G": 200, "B": 150}


def writings(place: str, style: str | None, explode: bool | None, **more: Any) -> dict[str, Writing]:
    stated = {"name": "color", **({"style": style} if style else {}), **({} if explode is None else {"explode": explode})}
    found = writing_of(place, {**stated, **more})
    return {f"{place}.color": found} if found else {}


@pytest.mark.parametrize(
    ("style", "explode", "value", "path"),
    [
        (None, None, TEXT, "/blue"),
        (None, None, LIST, "/blue,black,brown"),
        (None, None, OBJECT, "/R,100,G,200,B,150"),
        ("simple", True, OBJECT, "/R=100,G=200,B=150"),
        ("label", False, TEXT, "/.blue"),
        ("label", False, LIST, "/.blue,black,brown"),
        ("label", True, LIST, "/.blue.black.brown"),
        ("label", True, OBJECT, "/.R=100.G=200.B=150"),
        ("matrix", False, TEXT, "/;color=blue"),
        ("matrix", False, LIST, "/;color=blue,black,brown"),
        ("matrix", True, LIST, "/;color=blue;color=black;color=brown"),
        ("matrix", False, OBJECT, "/;color=R,100,G,200,B,150"),
        ("matrix", True, OBJECT, "/;R=100;G=200;B=150"),
        (None, None, "a/b?c=d#e", "/a%2Fb%3Fc%3Dd%23e"),
        (None, None, ["a,b", "c"], "/a%2Cb,c"),
        (None, None, True, "/true"),
    ],
)
def test_a_value_in_the_path(style: str | None, explode: bool | None, value: Any, path: str) -> None:
    assert path_of("/{color}", {"color": value}, writings("path", style, explode)) == path


@pytest.mark.parametrize(
    ("style", "explode", "value", "query"),
    [
        (None, None, TEXT, "color=blue"),
        (None, None, "", "color="),
        (None, None, LIST, "color=blue&color=black&color=brown"),
        (None, None, OBJECT, "R=100&G=200&B=150"),
        ("form", False, LIST, "color=blue,black,brown"),
        ("form", False, OBJECT, "color=R,100,G,200,B,150"),
        ("form", False, [], ""),
        ("spaceDelimited", False, LIST, "color=blue%20black%20brown"),
        ("pipeDelimited", False, LIST, "color=blue%7Cblack%7Cbrown"),
        ("deepObject", True, OBJECT, "color[R]=100&color[G]=200&color[B]=150"),
        ("deepObject", True, {"in": {"range": [1, 2]}}, "color[in][range][0]=1&color[in][range][1]=2"),
        ("deepObject", True, ["a", "b"], "color[0]=a&color[1]=b"),
        (None, None, 1.5, "color=1.5"),
        (None, None, "a&b=c d+ä", "color=a%26b%3Dc%20d%2B%C3%A4"),
    ],
)
def test_a_value_in_the_query(style: str | None, explode: bool | None, value: Any, query: str) -> None:
    assert query_of({"color": value}, writings("query", style, explode)) == query


def test_a_value_that_is_written_as_json() -> None:
    content = {"content": {"application/json": {"schema": {}}}}
    assert query_of({"color": OBJECT}, writings("query", None, None, **content)) == (
        "color=%7B%22R%22%3A100%2C%22G%22%3A200%2C%22B%22%3A150%7D"
    )


@pytest.mark.parametrize(
    ("explode", "value", "header"),
    [
        (None, LIST, "blue,black,brown"),
        (None, OBJECT, "R,100,G,200,B,150"),
        (True, OBJECT, "R=100,G=200,B=150"),
        (None, 5, "5"),
    ],
)
def test_a_value_in_a_header(explode: bool | None, value: Any, header: str) -> None:
    assert header_of("color", value, writings("header", None, explode).get("header.color")) == header


def test_cookies() -> None:
    assert cookies_of({"a": "x; b=y", "n": 1}, {}) == "a=x%3B%20b%3Dy; n=1"


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nb", "\x00", "ä"])
def test_no_value_ends_a_header(value: str) -> None:
    with pytest.raises(ToolFailed, match="no header can hold"):
        header_of("color", value, None)


@pytest.mark.parametrize(
    ("template", "style", "values"),
    [
        ("/a/{color}", None, {"color": ".."}),
        ("/a/{color}", None, {"color": "."}),
        ("/a/{color}{more}", None, {"color": ".", "more": "."}),
        ("/a/.{color}", None, {"color": "."}),
        ("/a/{color}", "label", {"color": "."}),
        ("/a/{color}/b", None, {"color": ""}),
        ("/a/{color}/b", None, {"color": []}),
        ("/a/{color}/b", None, {}),
    ],
)
def test_no_value_leads_to_another_path(template: str, style: str | None, values: dict[str, Any]) -> None:
    with pytest.raises(ToolFailed):
        path_of(template, values, writings("path", style, None))
