"""A billing service of the sandbox, attached as an operator does it: by its document and by entries."""

import json
from pathlib import Path

from devtools.environment import ROOT

DOCUMENT = ROOT / "examples" / "openapi" / "billing.json"
ENTRIES = """
[openapi.billing.tools.listAccounts]
risk = "LOW"
reversibility = "read_only"

[openapi.billing.tools.readAccount]
risk = "LOW"
reversibility = "read_only"

[openapi.billing.tools.openAccount]
risk = "MEDIUM"
reversibility = "reversible"
resources = ["billing:accounts"]
dry_run = { tool = "listAccounts", args = "{query: {email: args.body.email}}" }
compensate = { tool = "closeAccount", args = "{params: {id: output.body.id}}" }
probe = { tool = "listAccounts", args = "{query: {email: args.body.email}}", happened = "answer.body.total > `0`" }

[openapi.billing.tools.closeAccount]
risk = "MEDIUM"
reversibility = "compensable"
observe = { tool = "readAccount", args = "{params: args.params}", state = "body", absent = "404" }
compensate = { tool = "openAccount", args = "{body: {name: before.name, email: before.email, plan: before.plan}}" }
"""


def document(folder: Path) -> Path:
    """Return a copy of the document, with an operation that the service always refuses."""
    found = json.loads(DOCUMENT.read_text())
    found["paths"]["/charge"] = {"post": {"operationId": "charge", "summary": "Charge a card."}}
    path = folder / "billing.json"
    path.write_text(json.dumps(found))
    return path


def billing(url: str, named: str | Path = DOCUMENT, entries: str = ENTRIES, more: str = "") -> str:
    """Return an `airlock.toml` that attaches the service.

    Args:
        url: The address of the sandbox.
        named: The document.
        entries: The entries of its operations.
        more: Further keys of its section.
    """
    return f"""
[catalogue]
modules = []
[openapi.billing]
document = {str(named)!r}
server = "{url}/billing"
{more}
{entries}
"""
