"""An operator's own tools: two routes of a billing service, a line or two each. Named in `airlock.toml`."""

import os

from airlock.tools.http_routes import http_tool

BILLING_URL = os.environ.get("BILLING_URL", "http://127.0.0.1:8094")

open_billing_account = http_tool(
    name="open_billing_account",
    description="Open a billing account; closing it again undoes that.",
    method="POST",
    url=f"{BILLING_URL}/billing/accounts",
    undo_url=f"{BILLING_URL}/billing/accounts/{{id}}",
    risk="MEDIUM",
    reversibility="reversible",
    permissions={"billing:write"},
    timeout=20,
)

charge_card = http_tool(
    name="charge_card",
    description="Charge the first month; a refund undoes that. The sandbox always declines the card.",
    method="POST",
    url=f"{BILLING_URL}/billing/charge",
    undo_url=f"{BILLING_URL}/billing/charges/{{id}}",
    risk="MEDIUM",
    reversibility="compensable",
    permissions={"billing:charge"},
    depends_on_tools={"open_billing_account"},
    timeout=20,
)
