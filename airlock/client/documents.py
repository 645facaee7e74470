"""JSON documents that people write: plans and validations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airlock.base.errors import PlanError, Problem
from airlock.base.json_text import JsonFault, parse_json


def read_document(plan: Mapping[str, Any] | str | Path) -> Any:
    """Return the decoded JSON document at a path. A decoded document is returned unchanged.

    Raises:
        PlanError: If the file cannot be read or is not JSON.
    """
    if isinstance(plan, Mapping):
        return plan
    path = Path(plan)
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise PlanError([Problem(where=str(path), message=error.strerror or str(error), fix="check the path")]) from error
    except JsonFault as fault:
        raise PlanError([Problem(where=str(path), message=fault.message, fix=fault.fix)]) from fault
