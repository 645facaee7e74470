"""The two conflicts that are answered by an order: a prerequisite tool that comes too late, a resource two steps need."""

import heapq
from collections.abc import Mapping

from airlock.admission.conflicts.conflict import Answer, Conflict, ConflictKind, conflict, quoted
from airlock.admission.conflicts.situation import Findings, Situation
from airlock.admission.policy import ANY, Policy
from airlock.base.errors import Problem
from airlock.base.text import listed
from airlock.plans.contract import Contract
from airlock.plans.graph import cycles
from airlock.plans.plan import Step
from airlock.plans.refs import SECRET, markers
from airlock.plans.schedule import live_order


def find_ordering(situation: Situation) -> Findings:
    """Find the steps whose tool needs another tool (`depends_on_tools`) that no earlier step calls.

    Such a step is moved behind the first step that calls the prerequisite, preferably one that may go live. If its agent
    lacks a permission, the step is moved to an agent that has it. A prerequisite that no step calls, or that can only come
    later, refuses the plan.
    """
    if not any(contract.depends_on_tools for contract in situation.contracts.values()):
        return Findings()
    if missing := _uncalled_prerequisites(situation):
        return Findings(problems=missing)
    moved, stuck = _moves(situation)
    if stuck:
        return Findings(problems=(_cycle_problem(situation, stuck),))
    conflicts: list[Conflict] = []
    agents: dict[str, str] = {}
    for step, behind in moved.items():
        old, contract = situation.steps[step], situation.contracts[step]
        agent = _able_agent(old, contract, [agents.get(name, situation.steps[name].agent) for name in behind], situation)
        needed = listed([quoted(tool) for tool in sorted({situation.steps[name].tool for name in behind})])
        detail = f"{step} ({quoted(old.tool)}) needs {needed} before it; {step} is moved behind {listed(behind)}"
        if agent is not None:
            agents[step] = agent
            detail += f", and from {quoted(old.agent)} to {quoted(agent)}, who may call it"
        conflicts.append(conflict(ConflictKind.ORDERING, Answer.REASSIGN, (step, *behind), detail))
    edges = tuple((before, step) for step, behind in moved.items() for before in behind)
    return Findings(conflicts=tuple(conflicts), edges=edges, agents=agents)


def find_resources(situation: Situation) -> Findings:
    """Find the steps that would change one resource live in no defined order: each waits for the previous one.

    Their order is the order of the live calls: irreversible calls as late as the plan allows, then by id. A resource needs
    at most one edge less than it has steps, and no edge that follows from others.
    """
    candidates = situation.live_candidates
    changing = {
        step: names
        for step in candidates
        if (names := situation.resources.get(step)) and not situation.contracts[step].read_only
    }
    if len({name for names in changing.values() for name in names}) == sum(len(names) for names in changing.values()):
        return Findings()
    late = frozenset(step for step in candidates if situation.contracts[step].irreversible)
    order = live_order(situation.parents, candidates, (), late)
    bit = {step: 1 << position for position, step in enumerate(order)}
    above: dict[str, int] = {}
    last: dict[str, str] = {}
    waits: dict[str, list[tuple[str, str]]] = {}
    edges: list[tuple[str, str]] = []
    for step in order:
        reach = 0
        for parent in situation.parents[step]:
            reach |= above[parent] | bit[parent]
        before = [(last[name], name) for name in changing.get(step, ()) if name in last]
        # latest first: everything that the latest step waits for needs no edge of its own
        for earlier, name in sorted(before, key=lambda pair: (-bit[pair[0]], pair[1])):
            if not reach & bit[earlier]:
                edges.append((earlier, step))
                reach |= above[earlier] | bit[earlier]
                waits.setdefault(name, []).append((earlier, step))
        last |= dict.fromkeys(changing.get(step, ()), step)
        above[step] = reach
    return Findings(conflicts=tuple(_delay(name, waits[name]) for name in sorted(waits)), edges=tuple(edges))


def _delay(resource: str, waits: list[tuple[str, str]]) -> Conflict:
    steps = list(dict.fromkeys(step for pair in waits for step in pair))
    both = "both" if len(steps) == 2 else "all"
    waiting = listed([f"{later} waits for {earlier}" for earlier, later in waits])
    detail = f"{listed(steps)} {both} need {quoted(resource)}; {waiting}"
    return conflict(ConflictKind.RESOURCE, Answer.DELAY, steps, detail)


def _uncalled_prerequisites(situation: Situation) -> tuple[Problem, ...]:
    called = {step.tool for step in situation.steps.values()}
    return tuple(
        Problem(
            where=f"steps.{name}.tool",
            message=f"{situation.steps[name].tool!r} needs {tool!r} before it, and no step calls that",
            fix=f"add a step with tool {tool!r} before {name!r}",
        )
        for name in sorted(situation.steps)
        for tool in situation.contracts[name].depends_on_tools
        if tool not in called
    )


def _moves(situation: Situation) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return the steps that each moved step must wait for, and the steps for which no order exists.

    This is Kahn's algorithm with one more rule: a step is ready only after some step has called each tool it needs. The set
    of callable steps never shrinks, so the walk gets stuck only if no order exists.
    """
    needs = {step: situation.contracts[step].depends_on_tools for step in situation.parents}
    bit = {tool: 1 << number for number, tool in enumerate(sorted({tool for tools in needs.values() for tool in tools}))}
    children, waiting = (
        situation.children,
        {step: len(situation.parents[step]) + len(needs[step]) for step in situation.parents},
    )
    needed_by: dict[str, list[str]] = {tool: [] for tool in bit}
    for step, tools in needs.items():
        for tool in tools:
            needed_by[tool].append(step)
    ready = sorted(step for step in waiting if waiting[step] == 0)
    caller: dict[str, str] = {}
    above: dict[str, int] = {}
    moved: dict[str, tuple[str, ...]] = {}
    while ready:
        step = heapq.heappop(ready)
        behind = _behind(step, situation, bit, above, caller)
        if behind:
            moved[step] = behind
        tool = situation.steps[step].tool
        released = list(children[step])
        if tool in bit:
            if tool not in caller:
                released += needed_by[tool]
            if tool not in caller or (situation.uncapped(step) and not situation.uncapped(caller[tool])):
                caller[tool] = step
        for other in released:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready, other)
    return moved, tuple(sorted(step for step in waiting if waiting[step] > 0))


def _behind(
    step: str, situation: Situation, bit: Mapping[str, int], above: dict[str, int], caller: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the steps that a step must be moved behind, and record in `above` the tools called before it then."""
    reach = 0
    for parent in situation.parents[step]:
        reach |= above[parent] | bit.get(situation.steps[parent].tool, 0)
    behind = []
    for tool in situation.contracts[step].depends_on_tools:
        if not reach & bit[tool]:
            behind.append(caller[tool])
            reach |= above[caller[tool]] | bit[tool]
    above[step] = reach
    return tuple(sorted(behind))


def _cycle_problem(situation: Situation, stuck: tuple[str, ...]) -> Problem:
    """Return why no order exists: one cycle of steps that must come before each other."""
    members = set(stuck)
    reached = {step.tool for name, step in situation.steps.items() if name not in members}
    waits: dict[str, tuple[str, ...]] = {}
    for step in stuck:
        tools = set(situation.contracts[step].depends_on_tools) - reached
        callers = {name for name in stuck if situation.steps[name].tool in tools} if tools else set()
        waits[step] = tuple(sorted(callers | members.intersection(situation.parents[step])))
    cycle = cycles(waits)[0]
    return Problem(
        where=f"steps.{cycle[0]}",
        message=f"each of these would have to come before the next, for its tool or by the plan: {' -> '.join(cycle)}",
        fix="remove one of these dependencies, or call the prerequisite tool in a step of its own before them",
    )


def _able_agent(step: Step, contract: Contract, preferred: list[str], situation: Situation) -> str | None:
    """Return an agent that may make a call; None if the step's own agent may, or if no known agent may."""
    policy: Policy = situation.policy
    if not policy.missing_permissions(step.agent, contract):
        return None
    in_plan = sorted({other.agent for other in situation.steps.values()})
    named = sorted(name for name in policy.agents if name != ANY)
    candidates = (*preferred, *in_plan, *named)
    secrets = [marker.text for marker in markers(step.args) if marker.kind == SECRET]
    return next(
        (
            name
            for name in candidates
            if not policy.missing_permissions(name, contract)
            and all(policy.grants_secret(name, secret) for secret in secrets)
        ),
        None,
    )
