"""Mocks go on with whatever earlier mocks returned, and with texts that stand for what is not known yet."""

from collections.abc import Callable
from typing import Any

import pytest

from airlock import tools
from airlock.admission.configuration.config import parse_config
from airlock.plans.refs import UNKNOWN, bind
from airlock.plans.tool import Tool
from airlock.tools.loader import load_catalogue, tools_in

CATALOGUE = load_catalogue(parse_config(""))


@pytest.mark.parametrize("tool", tools_in(tools), ids=lambda tool: tool.name)
@pytest.mark.parametrize("value", [UNKNOWN, {"odd": 1}, ["x"], 7, None])
async def test_a_mock_keeps_its_shape_whatever_it_is_given(runner: Callable[..., Any], tool: Tool, value: Any) -> None:
    fields = tool.arguments.model_fields
    for broken in fields:
        sound = {"expression": "1 + x", "kind": "emails", "table": "t", "contact_id": "c", "name": "Jo"}
        values = {name: sound.get(name, "text") for name, field in fields.items() if field.is_required()}
        args = tool.arguments.model_construct(**{**values, broken: value})
        call = runner(tool).call()
        function = tool.functions["mock"]
        first, second = function(args, call), function(args, call)
        assert first == second
        assert tool.output.dump_python(tool.output.validate_python(first), mode="json") == first


OPEN: list[tuple[str, dict[str, Any], str]] = [
    ("http_request", {"url": "http://x.test"}, "body.items[3].name"),
    ("database_query", {"table": "t"}, "rows[2].name"),
    ("database_query", {"table": "t", "where": {"id": 3}}, "rows[0].name"),
    ("database_query", {"table": "t", "columns": ("name",), "where": {"name": "Jo"}}, "rows[1].name"),
    ("database_write", {"table": "t", "operation": "insert", "where": {}, "row": {"name": "Jo"}}, "row.row_version"),
    ("database_write", {"table": "t", "operation": "insert", "where": {}, "row": {"id": 3}}, "row.row_version"),
    ("database_write", {"table": "t", "operation": "update", "where": {"id": 3}, "row": {"plan": "gold"}}, "row.name"),
    ("database_write", {"table": "t", "operation": "delete", "where": {"id": 3}, "row": {}}, "row.name"),
    ("ghl_search", {"query": "jo"}, "contacts[1].companyName"),
    ("ghl_update_contact", {"contact_id": "c-1", "name": "Jo"}, "contact.phone"),
    ("ghl_update_contact", {"contact_id": "c-1", "name": "Jo"}, "contact.tags[0]"),
    ("memory_search", {"query": "jo"}, "matches[1].text"),
    ("goal_query", {}, "goals[1].goal"),
    ("text_extract", {"text": UNKNOWN, "kind": "emails"}, "values[1]"),
]
"""Tools with arguments, and what a later step may find in the answer that no mock can make up."""


@pytest.mark.parametrize(("name", "args", "path"), OPEN, ids=lambda value: value if isinstance(value, str) else "")
def test_what_only_the_target_knows_is_open_and_keeps_no_step_from_going_live(
    runner: Callable[..., Any], name: str, args: dict[str, Any], path: str
) -> None:
    """A mock that claimed to know all kept each step that reads a field of an answer, or its second item, at MOCK."""
    (tool,) = [tool for tool in tools_in(tools) if tool.name == name]
    found = tool.functions["mock"](tool.arguments.model_construct(**args), runner(tool).call())
    bound = bind({"value": {"$ref": f"s.{path}"}}, {"s": found}, str)
    assert bound.args == {"value": UNKNOWN}
    assert bound.unknown == ("value",)
