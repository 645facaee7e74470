"""The findings about a plan on a screen: problems, ceilings, conflicts with what would settle them, and the verdict."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from airlock.admission.conflicts.conflict import ConflictKind
from airlock.admission.examination import Examination
from airlock.admission.needed_secrets import secrets_of_plan
from airlock.base.text import count
from airlock.cli.output import console, print_plain, print_problem, safe, say
from airlock.plans.applied_rule import Effect

_MAX_ROWS = 100
"""Steps of a plan up to which each has a row of its own; in larger plans steps that differ in the id alone share one.
More rows than these are printed as plain lines."""
_COLUMNS = ("step", "tool", "agent", "risk", "ceiling", "why")
_WIDEST = 40
"""Width in characters up to which a column of plain lines is aligned."""


def print_findings(findings: Examination, *, catalogue: bool) -> None:
    """Print all findings about a plan.

    Args:
        findings: The findings.
        catalogue: True if a catalogue was looked at.
    """
    screen = console()
    for problem in findings.problems:
        print_problem("error: ", problem, screen, "bold red")
    for problem in findings.warnings:
        print_problem("warning: ", problem, screen, "yellow")
    if findings.ceilings:
        _print_ceilings(findings, screen)
    grants = grants_of(findings)
    for found in findings.admitted.conflicts if findings.admitted else ():
        say(safe(f"conflict: {found.kind.value} -> {found.answer.value}: {found.detail}"))
        for fix in dict.fromkeys(grants[step] for step in found.steps if step in grants):
            if found.kind is ConflictKind.PERMISSION:
                screen.print(Text(f"  fix: {safe(fix)}", style="dim"), soft_wrap=True)
    if needed := secrets_of_plan(findings.plan, findings.contracts):
        say(safe(f"live workers need the secrets: {', '.join(needed)}"))
    verdict = f"{count(len(findings.problems), 'error')}, {count(len(findings.warnings), 'warning')}"
    where = "" if catalogue else " (structure only: no catalogue was looked at)"
    say(f"{findings.plan.plan_id}: {count(len(findings.plan.steps), 'step')}, {verdict}{where}")


def grants_of(findings: Examination) -> dict[str, str]:
    """Return, for each step whose agent lacks a permission, what the operator can write to grant it."""
    if findings.admitted is None:
        return {}
    policy, grants = findings.admitted.policy, dict[str, str]()
    lacking: dict[str, set[str]] = {}
    agents = {step.id: findings.admitted.steps[step.id].agent or step.agent for step in findings.plan.steps}
    for step, agent in agents.items():
        lacking.setdefault(agent, set()).update(policy.missing_permissions(agent, findings.admitted.contract(step)))
    for step, agent in agents.items():
        if policy.missing_permissions(agent, findings.admitted.contract(step)):
            grants[step] = policy.grant_for(agent, sorted(lacking[agent]))
    return grants


def _print_ceilings(findings: Examination, screen: Console) -> None:
    rows = _ceiling_rows(findings)
    title = "How far each step could go under this policy"
    if len(rows) <= _MAX_ROWS:
        table = Table(title=title, title_justify="left")
        for column in _COLUMNS:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        screen.print(table)
        return
    # to measure and fold thousands of rows takes a table three times as long as the examination of the plan
    lines = [_COLUMNS, *rows]
    widths = [min(max(len(line[column]) for line in lines), _WIDEST) for column in range(len(_COLUMNS) - 1)]
    aligned = ("  ".join([*map(str.ljust, line, widths), line[-1]]) for line in lines)
    print_plain("\n".join([title, *aligned]))


def _ceiling_rows(findings: Examination) -> list[tuple[str, ...]]:
    """Return a row for each step; in a large plan, for all steps that differ in the id alone."""
    admitted = findings.admitted.steps if findings.admitted else {}
    single: list[tuple[str, ...]] = []
    alike: dict[tuple[str, ...], list[str]] = {}
    for step in findings.plan.steps:
        row, ceiling = admitted[step.id], findings.ceilings[step.id]
        ruled = (rule.sentence for rule in row.rules if rule.unknown or rule.effect is not Effect.DENY)
        why, agent = safe("; ".join((*ceiling.reasons, *ruled))), safe(row.agent or step.agent)
        rest = (safe(step.tool), agent, row.contract.risk.value, ceiling.mode.value, why)
        single.append((step.id, *rest))
        alike.setdefault(rest, []).append(step.id)
    if len(single) <= _MAX_ROWS:
        return single
    return [(_steps_alike(steps), *shared) for shared, steps in alike.items()]


def _steps_alike(steps: Sequence[str]) -> str:
    if len(steps) <= 3:
        return ", ".join(steps)
    return f"{steps[0]}, {steps[1]} ... {steps[-1]} ({len(steps):,} steps)"
