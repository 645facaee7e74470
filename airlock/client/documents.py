"""JSON documents that people write: plans and validations."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airlock.base.errors import PlanError, Problem


def read_document(plan: Mapping[str, Any] | str | Path) -> Any:
    """Return the decoded JSON document at a path. A decoded document is returned unchanged.

    Raises:
        PlanError: If the file cannot be read or is not JSON.
    """
    if isinstance(plan, Mapping):
        return plan
    path = Path(plan)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
    except OSError as error:
        raise PlanError([Problem(where=str(path), message=error.strerror or str(error), fix="check the path")]) from error
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits, and endless nesting
        raise PlanError([Problem(where=str(path), message=f"is not JSON: {error}", fix="correct the syntax")]) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, and refuse repeated keys: a reader could see another value than the plan holds."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is repeated in one object")
    return found
