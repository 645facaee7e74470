"""Answers as results of MCP tools: as structured content, and as the same JSON in a text for hosts that show only that.

Whatever an answer holds, no secret is named in its result.
"""

import json

from mcp_types import CallToolResult, TextContent

from airlock.mcp.answers import Answer
from airlock.mcp.masking import masked


def tool_result(answer: Answer, *, failed: bool | None = None) -> CallToolResult:
    """Return an answer as the result of a tool call.

    Args:
        answer: The answer.
        failed: True to mark it as an error; unless given, a refusal is one.
    """
    content = masked(answer.model_dump(mode="json"))
    text = json.dumps(masked(answer.model_dump(mode="json", exclude_defaults=True)), ensure_ascii=False)
    is_error = not answer.ok if failed is None else failed
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=content, is_error=is_error)
