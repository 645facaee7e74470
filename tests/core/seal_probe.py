"""Prints the digest of an example seal, and other things that must not depend on the hash seed."""

import json

from airlock.plans.graph import graph_problems, topological_order, waves
from airlock.plans.schedule import live_order
from airlock.run.presentation.preview import render_preview
from tests.core.build import awaiting, catalogue, plan, policy, step

IDS = ["find", "create", "record", "bill", "tell", "note", "log", "send"]


def example() -> list[str]:
    """Return the values that must be the same everywhere."""
    run = awaiting(
        plan(
            step("find", "read", args={"b": 1, "a": {"z": 1, "y": [True, None]}}),
            step("create", "write", "find", args={"name": {"$ref": "find.hits[0].name"}, "key": {"$ref": "log.id"}}),
            step("log", "order"),
            step("tell", "mail", "create", "log"),
            step("memo", args={"key": "k"}),
            step("note", args={"key": "k"}),
        ),
        policy(approvers=["ann", "bob"], agents={"*": {"permissions": {"a", "b", "money", "z"}}}),
    )
    assert run.sealed is not None
    assert run.digest is not None
    ring = {name: (IDS[index - 1], IDS[index - 3]) for index, name in enumerate(IDS)}
    loose = {f"x{number}": () for number in range(60)}
    cyclic = plan(*(step(name, "write", *after) for name, after in {**ring, **loose}.items()))
    parents = {name: tuple(sorted(IDS[:index:2])) for index, name in enumerate(IDS)}
    return [
        run.digest,
        render_preview(run.sealed, run.digest),
        catalogue().digest(),
        *(str(problem) for problem in graph_problems(cyclic)),
        json.dumps([topological_order(parents), waves(parents, set(IDS)), live_order(parents, set(IDS), (), {"find"})]),
    ]


if __name__ == "__main__":
    print(json.dumps(example()))
