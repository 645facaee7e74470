"""The corpus as data: 200 plans on eight stateful APIs (see `sandbox/corpus/NOTICE.md`)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """One line of the corpus: a plan file, the API classes it uses, and the state they start from."""

    plan: dict[str, Any]
    classes: tuple[str, ...]
    initial_config: dict[str, Any]

    @property
    def plan_id(self) -> str:
        """The plan's id."""
        return str(self.plan["plan_id"])

    def calls(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Return module, method and arguments of each step, in order."""
        for step in self.plan["steps"]:
            module, _, method = step["tool"].partition(".")
            yield module, method, step["args"]


@dataclass(frozen=True, slots=True)
class CorpusTool:
    """One tool of the corpus: how often it is called, and whether any call changed the API's state."""

    tool: str
    calls: int
    changes_state: bool


def load_plans() -> list[CorpusPlan]:
    """Return all plans, in the order of the file."""
    rows = _lines(CORPUS / "plans.jsonl")
    return [CorpusPlan(row["plan"], tuple(row["classes"]), row["initial_config"]) for row in rows]


def load_tools() -> list[CorpusTool]:
    """Return all tools, in the order of the file."""
    return [CorpusTool(**row) for row in _lines(CORPUS / "tools.jsonl")]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
