"""The tools of docs/guides/writing-a-tool.md whose arguments another system describes as JSON Schemas."""

from typing import Any

from airlock import SchemaArguments, Tool, ToolCall, tool

DESCRIBED: list[dict[str, Any]] = [
    {
        "name": "find_room",
        "description": "Find a meeting room.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "seats": {"type": "integer", "minimum": 1},
                "building": {"enum": ["north", "south"], "default": "north"},
                "equipment": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["seats"],
            "additionalProperties": False,
        },
    },
    {
        "name": "find_person",
        "description": "Find a colleague.",
        "inputSchema": {
            "type": "object",
            "properties": {"email": {"type": "string", "format": "email"}},
            "required": ["email"],
            "additionalProperties": False,
        },
    },
]
"""The answer of the other system to the question for its tools."""


def make(row: dict[str, Any]) -> Tool:
    """Return the tool of one description."""

    def live(args: SchemaArguments, call: ToolCall) -> dict[str, Any]:
        return {"asked": row["name"], "arguments": args.given()}  # here: send them to the other system

    live.__doc__ = row["description"]
    return tool(name=row["name"], arguments=row["inputSchema"], risk="LOW", reversibility="read_only")(live)


TOOLS = [make(row) for row in DESCRIBED]
