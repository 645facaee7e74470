"""Mocks go on with whatever earlier mocks returned, and with texts that stand for what is not known yet."""

from collections.abc import Callable
from typing import Any

import pytest

from airlock import tools
from airlock.admission.config import parse_config
from airlock.plans.refs import UNKNOWN
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
