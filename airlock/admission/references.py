"""The references of a plan: written correctly, and leading to something that the tool they read from declares."""

from collections.abc import Iterable, Mapping

from airlock.admission.places import misplaced_markers
from airlock.base.errors import Problem
from airlock.base.text import shorten
from airlock.plans.arguments.output_shape import Nowhere, OutputShape, as_path
from airlock.plans.plan import Plan
from airlock.plans.refs import REF, Marker, markers, syntax_error
from airlock.plans.tool import Tool

_SUGGESTED = 100
"""Different paths for which a similar one is looked for; each takes up to a millisecond."""


def reference_problems(plan: Plan) -> list[Problem]:
    """Return each `$ref` and `$secret` of the plan that is not written correctly."""
    return [
        Problem(
            where=f"steps.{step.id}.args.{marker.path}".removesuffix("."),
            message=wrong,
            fix='write {"$ref": "<step>.<path>"}' if marker.kind == REF else 'write {"$secret": "<name>"}',
        )
        for step in plan.steps
        for marker in markers(step.args)
        if (wrong := syntax_error(marker))
    ] + [problem for step in plan.steps for problem in misplaced_markers(step)]


def path_problems(plan: Plan, tools: Mapping[str, Tool]) -> list[Problem]:
    """Return each `$ref` that reads what no output of its step has, by the output that the tool declares.

    A tool that declares no output, or leaves a part of it open, is taken at its word.

    Args:
        plan: A plan; references that are not written correctly are left to `reference_problems`.
        tools: The tool of each step; steps with an unknown tool are absent.
    """
    paths = _Paths(tools)
    return [
        problem
        for step in plan.steps
        for marker in markers(step.args)
        if marker.kind == REF and not syntax_error(marker) and (problem := paths.problem(step.id, marker))
    ]


class _Paths:
    """The paths of a plan's references. Thousands of steps share a few tools, and their references a few paths."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._shapes: dict[str, OutputShape] = {}
        self._found: dict[tuple[str, tuple[str | int, ...]], Nowhere | None] = {}
        self._looked_for = 0

    def problem(self, reader: str, marker: Marker) -> Problem | None:
        tool, parts = self._tools.get(marker.step), marker.parts
        if tool is None or not parts or (nowhere := self._nowhere(tool, parts)) is None:
            return None
        said = f"the output of {tool.name} (step {marker.step!r}) {nowhere.why}"
        return Problem(
            where=f"steps.{reader}.args.{marker.path}",
            message=shorten(f"$ref {shorten(str(marker.text), 100)!r}: {said}"),
            fix=_fix(marker.step, nowhere),
        )

    def _nowhere(self, tool: Tool, parts: tuple[str | int, ...]) -> Nowhere | None:
        if (tool.name, parts) not in self._found:
            if tool.name not in self._shapes:
                self._shapes[tool.name] = OutputShape(tool.output)
            nowhere = self._shapes[tool.name].lacks(parts, suggest=self._looked_for < _SUGGESTED)
            self._looked_for += nowhere is not None
            self._found[tool.name, parts] = nowhere
        return self._found[tool.name, parts]


def _fix(step: str, nowhere: Nowhere) -> str:
    if nowhere.likely is not None:
        return f"did you mean {step + as_path(nowhere.likely)!r}?"
    return _one_of(nowhere.known) or f'write {{"{REF}": "{step}"}} for the whole output, or read another step'


def _one_of(names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"use one of its fields there: {listed}" if listed else ""
