"""Search attributes and summary of a run, by which Temporal lists it, within the limits of the server."""

import json
from collections.abc import Iterable

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from airlock.base import names
from airlock.base.markdown import code
from airlock.base.text import count
from airlock.base.visible import visible
from airlock.plans.plan import Plan
from airlock.plans.state import State

MAX_AGENTS = 100
MAX_ATTRIBUTE = 2_000
"""Bytes of one search attribute; Temporal refuses more than 2,048."""
MAX_SUMMARY = 390
"""Bytes of a run's summary; Temporal refuses more than 400."""


def attributes_of(plan: Plan) -> TypedSearchAttributes:
    """Return the search attributes with which a run of a plan, or of its undo, starts."""
    agents = _indexed({step.agent for step in plan.steps})
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(names.ATTRIBUTE_STATE), State.MOCK.value),
            SearchAttributePair(SearchAttributeKey.for_keyword_list(names.ATTRIBUTE_AGENTS), agents),
        ]
    )


def _indexed(agents: Iterable[str]) -> list[str]:
    """Return the agents by which a plan can be found: as many as fit, because the server refuses a longer value."""
    kept: list[str] = []
    size = 2
    for agent in sorted(agents):
        size += len(json.dumps(agent)) + 1  # a client may escape every character beyond ASCII
        if size > MAX_ATTRIBUTE or len(kept) == MAX_AGENTS:
            break
        kept.append(agent)
    return kept


def summary_line(plan: Plan) -> str:
    """Return the line under which Temporal lists the run of a plan: its goal, its size, and who requested it."""
    goal = visible(" ".join(plan.goal.split()))[:150] or plan.plan_id
    by = f" ({count(len(plan.steps), 'step')}, by {_code(visible(plan.requested_by)[:60], MAX_SUMMARY // 2)})"
    return _code(goal, MAX_SUMMARY - len(by.encode())) + by


def _code(text: str, most: int) -> str:
    """Return a text as code of at most so many bytes: Temporal's UI reads a summary as Markdown."""
    inner = _cut(code(text)[1:-1], most - 2)
    return f"`{inner}`" if inner.strip() else ""


def _cut(text: str, most: int) -> str:
    """Return the beginning of a text that has at most so many bytes."""
    return text.encode()[:most].decode(errors="ignore")
