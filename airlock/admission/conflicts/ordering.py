"""The two conflicts that are answered by an order: a prerequisite tool that comes too late, a resource two steps need."""

import heapq
from collections.abc import Mapping

from airlock.admission.conflicts.conflict import Answer, Conflict, ConflictKind, conflict, listed, shown
from airlock.admission.conflicts.situation import Findings, Situation
from airlock.admission.policy import ANY, Policy
from airlock.base.errors import Problem
from airlock.plans.contract import Contract, Mode
from airlock.plans.graph import circles
from airlock.plans.plan import Step
from airlock.plans.schedule import live_order


def find_ordering(scene: Situation) -> Findings:
    """Find steps whose tool names another in `depends_on_tools` that is not called before them.

    Such a step is moved behind the first step that calls the prerequisite, one that may go live if there is any; if its
    agent lacks a permission, the step is given to one that may call it. A prerequisite that no step calls, or that can
    only come later, refuses the plan.
    """
    if not any(contract.depends_on_tools for contract in scene.contracts.values()):
        return Findings()
    if missing := _never_called(scene):
        return Findings(problems=missing)
    moved, left = _moves(scene)
    if left:
        return Findings(problems=(_too_late(scene, left),))
    conflicts: list[Conflict] = []
    agents: dict[str, str] = {}
    for step, behind in moved.items():
        old, contract = scene.steps[step], scene.contracts[step]
        agent = _able_agent(old, contract, [agents.get(name, scene.steps[name].agent) for name in behind], scene)
        needed = listed([shown(tool) for tool in sorted({scene.steps[name].tool for name in behind})])
        detail = f"{step} ({shown(old.tool)}) needs {needed} before it; {step} is moved behind {listed(behind)}"
        if agent is not None:
            agents[step] = agent
            detail += f", and from {shown(old.agent)} to {shown(agent)}, who may call it"
        conflicts.append(conflict(ConflictKind.ORDERING, Answer.REASSIGN, (step, *behind), detail))
    edges = tuple((before, step) for step, behind in moved.items() for before in behind)
    return Findings(conflicts=tuple(conflicts), edges=edges, agents=agents)


def find_resources(scene: Situation) -> Findings:
    """Find steps that would change the same resource live with no order between them: each waits for the previous one.

    Their order is that of the calls, irreversible ones as late as the plan allows, then by id. It needs at most one edge
    less than there are steps, and none where one follows from others.
    """
    going = scene.going()
    changing = {
        step: names for step in going if (names := scene.resources.get(step)) and not scene.contracts[step].read_only
    }
    if len({name for names in changing.values() for name in names}) == sum(len(names) for names in changing.values()):
        return Findings()
    late = frozenset(step for step in going if scene.contracts[step].irreversible)
    order = live_order(scene.parents, going, (), late)
    bit = {step: 1 << position for position, step in enumerate(order)}
    above: dict[str, int] = {}
    last: dict[str, str] = {}
    waits: dict[str, list[tuple[str, str]]] = {}
    edges: list[tuple[str, str]] = []
    for step in order:
        reach = 0
        for parent in scene.parents[step]:
            reach |= above[parent] | bit[parent]
        before = [(last[name], name) for name in changing.get(step, ()) if name in last]
        # the latest first: what it waits for itself needs no edge of its own
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
    told = listed([f"{later} waits for {earlier}" for earlier, later in waits])
    detail = f"{listed(steps)} {both} need {shown(resource)}; {told}"
    return conflict(ConflictKind.RESOURCE, Answer.DELAY, steps, detail)


def _never_called(scene: Situation) -> tuple[Problem, ...]:
    called = {step.tool for step in scene.steps.values()}
    return tuple(
        Problem(
            where=f"steps.{name}.tool",
            message=f"{scene.steps[name].tool!r} needs {tool!r} before it, and no step calls that",
            fix=f"add a step with tool {tool!r} before {name!r}",
        )
        for name in sorted(scene.steps)
        for tool in scene.contracts[name].depends_on_tools
        if tool not in called
    )


def _moves(scene: Situation) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Return the prerequisites that each step must be moved behind, and the steps that no order fits.

    The graph is walked with one more rule: a step is called only after some step that calls each tool it needs. What
    may be called never shrinks on the way, so this gets stuck only where no order fits.
    """
    needs = {step: scene.contracts[step].depends_on_tools for step in scene.parents}
    bit = {tool: 1 << number for number, tool in enumerate(sorted({tool for tools in needs.values() for tool in tools}))}
    children, waiting = scene.children(), {step: len(scene.parents[step]) + len(needs[step]) for step in scene.parents}
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
        behind = _behind(step, scene, bit, above, caller)
        if behind:
            moved[step] = behind
        tool = scene.steps[step].tool
        released = list(children[step])
        if tool in bit:
            if tool not in caller:
                released += needed_by[tool]
            if tool not in caller or (_may_go_live(scene, step) and not _may_go_live(scene, caller[tool])):
                caller[tool] = step
        for other in released:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready, other)
    return moved, tuple(sorted(step for step in waiting if waiting[step] > 0))


def _behind(
    step: str, scene: Situation, bit: Mapping[str, int], above: dict[str, int], caller: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the prerequisite that a step must be moved behind.

    Records which tools that matter are called before it then.
    """
    reach = 0
    for parent in scene.parents[step]:
        reach |= above[parent] | bit.get(scene.steps[parent].tool, 0)
    behind = []
    for tool in scene.contracts[step].depends_on_tools:
        if not reach & bit[tool]:
            behind.append(caller[tool])
            reach |= above[caller[tool]] | bit[tool]
    above[step] = reach
    return tuple(sorted(behind))


def _may_go_live(scene: Situation, step: str) -> bool:
    return all(cap.mode is Mode.LIVE for cap in scene.caps[step])


def _too_late(scene: Situation, left: tuple[str, ...]) -> Problem:
    """Return the reason why no order fits: one circle of steps that must come before each other."""
    stuck = set(left)
    reached = {step.tool for name, step in scene.steps.items() if name not in stuck}
    waits: dict[str, tuple[str, ...]] = {}
    for step in left:
        tools = set(scene.contracts[step].depends_on_tools) - reached
        callers = {name for name in left if scene.steps[name].tool in tools} if tools else set()
        waits[step] = tuple(sorted(callers | (stuck & set(scene.parents[step]))))
    circle = circles(waits)[0]
    return Problem(
        where=f"steps.{circle[0]}",
        message=f"each of these would have to come before the next, for its tool or by the plan: {' -> '.join(circle)}",
        fix="remove one of these dependencies, or call the prerequisite tool in a step of its own before them",
    )


def _able_agent(step: Step, contract: Contract, preferred: list[str], scene: Situation) -> str | None:
    """Return the agent that may call a step in place of its own; None when its own may, or no agent named may."""
    policy: Policy = scene.policy
    if not policy.missing_permissions(step.agent, contract):
        return None
    in_plan = sorted({other.agent for other in scene.steps.values()})
    named = sorted(name for name in policy.agents if name != ANY)
    candidates = (*preferred, *in_plan, *named)
    return next((name for name in candidates if not policy.missing_permissions(name, contract)), None)
