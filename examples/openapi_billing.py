"""The tools of docs/guides/writing-a-tool.md that an OpenAPI document describes."""

import os
from pathlib import Path

from airlock.tools.openapi import openapi_tools

URL = os.environ.get("BILLING_URL", "http://127.0.0.1:8094") + "/billing"

TOOLS = openapi_tools(
    Path(__file__).parent / "openapi" / "billing.json",
    name="billing",
    url=URL,
    rated={
        "openAccount": {
            "risk": "MEDIUM",
            "reversibility": "reversible",
            "undo_url": f"{URL}/accounts/{{id}}",
            "permissions": {"billing:write"},
        },
    },
)
