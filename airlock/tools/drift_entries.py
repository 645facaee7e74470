"""The table `[policy.may_drift]` beside the catalogue: a tool or an argument that is not there may not drift."""

from collections.abc import Iterator, Mapping, Sequence

from airlock.base.errors import Problem
from airlock.base.likely import likely_fix
from airlock.plans.arguments.canonical_field import key_of
from airlock.plans.tool import Tool


def drift_problems(entries: Mapping[str, Sequence[str]], tools: Mapping[str, Tool]) -> Iterator[Problem]:
    """Yield a problem for each entry that names no tool of the catalogue, or no argument of its tool."""
    for name, paths in entries.items():
        where = f"policy.may_drift.{name}"
        if name not in tools:
            yield Problem(where=where, message="no tool of that name is in the catalogue", fix=likely_fix(name, tools))
            continue
        model = tools[name].arguments
        known = [key_of(field, info) for field, info in model.model_fields.items()]
        for path in paths:
            first = path.partition(".")[0]
            if known and first not in known and model.model_config.get("extra") != "allow":
                message = f"{path[:80]!a} is no argument of {name}"
                yield Problem(where=where, message=message, fix=likely_fix(first, known))
