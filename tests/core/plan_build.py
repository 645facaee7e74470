"""The smallest plan file, and the problems of one that is refused."""

from typing import Any

import pytest

from airlock.base.errors import PlanError
from airlock.plans.assignments import read_plan

STEP: dict[str, Any] = {"id": "create", "agent": "crm", "tool": "write", "confidence": 0.9}
PLAN: dict[str, Any] = {"plan_id": "p-1", "requested_by": "ann", "steps": [STEP]}


def problems(document: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(PlanError) as caught:
        read_plan(document)
    for found in caught.value.problems:
        assert found.where
        assert found.message
        assert found.fix
        assert str(found) in str(caught.value)
    return [(found.where, found.message, found.fix) for found in caught.value.problems]
