"""The parameters of an operation: how each value is written into the path, the query, a header or a cookie."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pydantic import Field

from airlock.base.errors import ContractError, ToolFailed
from airlock.base.model import FileModel, is_empty

USUAL = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
"""The style of a parameter that states none, by its place."""
_STYLES = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
_BETWEEN = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\b", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_IN_A_HEADER = re.compile(r"[\t\x20-\x7e]*")


class Writing(FileModel):
    """The way in which one value is written, where it is not the usual one of its place."""

    style: str
    explode: bool = Field(default=False, exclude_if=is_empty)
    as_json: bool = Field(default=False, exclude_if=is_empty)
    """True if the value is written as JSON."""


def writing_of(where: str, parameter: Mapping[str, Any]) -> Writing | None:
    """Return how a parameter is written; None for the usual way.

    Args:
        where: Its place: path, query, header or cookie; a field of a form is written as in a query.
        parameter: The parameter object of the document, or the encoding object of a field.

    Raises:
        ContractError: If its style is none of its place, or its content is no JSON.
    """
    if content := parameter.get("content"):
        if not any(is_json(kind) for kind in content):
            raise ContractError(f"the {where} parameter {parameter.get('name')!r} is {', '.join(content)}, and not JSON")
        return Writing(style=USUAL[where], as_json=True)
    style = str(parameter.get("style") or USUAL[where])
    explode = parameter.get("explode", style == "form")
    if style not in _STYLES[where] or not isinstance(explode, bool):
        raise ContractError(f"the {where} parameter {parameter.get('name')!r} has the style {style!r}, which is none there")
    usual = style == USUAL[where] and explode is (style == "form")
    return None if usual else Writing(style=style, explode=explode)


def is_json(media: str) -> bool:
    """Return True for a media type of JSON."""
    return _JSON.match(media) is not None or media.strip() == "*/*"


def path_of(template: str, values: Mapping[str, Any], writings: Mapping[str, Writing]) -> str:
    """Return a path with its placeholders filled. No value changes the number of its parts.

    Raises:
        ToolFailed: If a value is missing, or would lead to another path.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values or values[name] in ("", None, [], {}):
            raise ToolFailed(f"there is no {name!r} to put into {template}")
        return _in_path(name, values[name], writings.get(f"path.{name}", Writing(style="simple")))

    path = _PLACEHOLDER.sub(value_of, template)
    if any(part in (".", "..") for part in path.split("/")):
        raise ToolFailed(f"the values given would lead from {template} to another path")
    return path


def _in_path(name: str, value: Any, writing: Writing) -> str:
    if writing.as_json:
        return _quoted(_json(value))
    start = {"simple": "", "label": ".", "matrix": ";"}[writing.style]
    between = {"simple": ",", "label": ".", "matrix": ";"}[writing.style] if writing.explode else ","
    named = f"{_quoted(name)}=" if writing.style == "matrix" else ""
    if isinstance(value, Mapping):
        named = "" if writing.explode else named
        return start + named + between.join(_members(value, "=" if writing.explode else ","))
    if isinstance(value, list):
        repeated = named if writing.explode else ""
        return start + ("" if repeated else named) + between.join(f"{repeated}{_quoted(_leaf(each))}" for each in value)
    return f"{start}{named}{_quoted(_leaf(value))}"


def query_of(values: Mapping[str, Any], writings: Mapping[str, Writing], place: str = "query") -> str:
    """Return a query, or a form in the place `body`, without the `?`."""
    parts = [part for name, value in values.items() for part in _in_query(name, value, writings.get(f"{place}.{name}"))]
    return "&".join(parts)


def _in_query(name: str, value: Any, writing: Writing | None) -> Iterator[str]:
    written = writing or Writing(style="form", explode=True)
    if written.as_json:
        yield f"{_quoted(name)}={_quoted(_json(value))}"
    elif written.style == "deepObject":
        yield from _deep(_quoted(name), value)
    elif not isinstance(value, Mapping | list):
        yield f"{_quoted(name)}={_quoted(_leaf(value))}"
    elif written.explode:
        items = value.items() if isinstance(value, Mapping) else ((name, each) for each in value)
        yield from (f"{_quoted(key)}={_quoted(_leaf(each))}" for key, each in items)
    elif value:
        between = _BETWEEN[written.style]
        leaves = _members(value, between) if isinstance(value, Mapping) else (_quoted(_leaf(each)) for each in value)
        yield f"{_quoted(name)}={between.join(leaves)}"


def _deep(name: str, value: Any) -> Iterator[str]:
    """Yield `name[key]=value` for each value inside; the keys of lists, of which the standard says nothing, are indexes."""
    if isinstance(value, Mapping | list):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, each in items:
            yield from _deep(f"{name}[{_quoted(str(key))}]", each)
    else:
        yield f"{name}={_quoted(_leaf(value))}"


def header_of(name: str, value: Any, writing: Writing | None) -> str:
    """Return the value of a header.

    Raises:
        ToolFailed: If no header can hold it.
    """
    written = writing or Writing(style="simple")
    if isinstance(value, Mapping) and not written.as_json:
        join = "=" if written.explode else ","
        said = ",".join(f"{key}{join}{_leaf(each)}" for key, each in value.items())
    elif isinstance(value, list) and not written.as_json:
        said = ",".join(map(_leaf, value))
    else:
        said = _json(value) if written.as_json else _leaf(value)
    if not _IN_A_HEADER.fullmatch(said):
        raise ToolFailed(f"headers.{name} has characters that no header can hold: use ASCII without line breaks")
    return said


def cookies_of(values: Mapping[str, Any], writings: Mapping[str, Writing]) -> str:
    """Return the value of the header `Cookie`."""
    return "; ".join(
        part for name, value in values.items() for part in _in_query(name, value, writings.get(f"cookie.{name}"))
    )


def _members(value: Mapping[str, Any], join: str) -> Iterator[str]:
    return (f"{_quoted(str(key))}{join}{_quoted(_leaf(each))}" for key, each in value.items())


def _leaf(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _quoted(text: str) -> str:
    return quote(text, safe="")
