"""The description of a catalogue's tools for programs and agents: contracts, arguments and outputs as plain JSON."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from airlock.plans.catalogue import Catalogue


def catalogue_document(catalogue: Catalogue) -> dict[str, Any]:
    """Return every tool of a catalogue, by name, with the hash of all contracts."""
    tools = [tool_document(catalogue, name) for name in catalogue.names]
    return {"catalogue_hash": catalogue.digest(), "tools": tools}


def tool_document(catalogue: Catalogue, name: str) -> dict[str, Any]:
    """Return the contract of one tool, and the JSON Schemas of its arguments and of its output."""
    tool = catalogue.get(name)
    return {
        **catalogue.contract(name).model_dump(mode="json"),
        **({"details": tool.details} if tool and tool.details else {}),
        "arguments": tool.arguments.model_json_schema() if tool else {},
        "output": output_schema(tool.output) if tool else {},
    }


def output_schema(output: TypeAdapter[Any]) -> Mapping[str, Any]:
    """Return the JSON Schema of a tool's output; an empty one, which anything fits, where its type has none."""
    try:
        return output.json_schema(mode="serialization")
    except PydanticInvalidForJsonSchema:
        return {}
