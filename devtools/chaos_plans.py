"""The plans of the chaos run, made by a seed: several agents over a dozen shelves, in every order."""

import random
from dataclasses import dataclass
from typing import Any

SHELVES = tuple(f"s{number:02}" for number in range(1, 13))
AGENTS = tuple(f"agent-{letter}" for letter in "abcdef")
REQUESTER = "rita"
TWINS = 0.06
"""The share of plans that get a twin: another plan with exactly the same calls."""
REFUSED = 0.15
"""The share of plans one of whose calls fails, so that they roll back."""
MAILS = 0.3
"""The share of plans that send a mail."""
_PUTTING = ("book", "book", "stack", "pin")


@dataclass(frozen=True)
class Batch:
    """The plans in the order in which they are submitted. `twins` are pairs of plan ids with the same calls."""

    plans: tuple[dict[str, Any], ...]
    twins: tuple[tuple[str, str], ...]
    refused: tuple[str, ...]

    @property
    def steps(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Every step by plan id and step id."""
        return {(plan["plan_id"], step["id"]): step for plan in self.plans for step in plan["steps"]}


def make_plans(seed: int, count: int) -> Batch:
    """So many plans, the same for the same seed.

    Every plan has 2 to 5 steps on 1 to 3 shelves. Twins have the same calls, one of them a mail, and stand next to each
    other. At least one pair of twins and one plan that fails are among ten or more plans.
    """
    rng = random.Random(seed)
    pairs = max(1, round(count * TWINS)) if count >= 2 else 0
    singles = count - 2 * pairs
    refused = set(rng.sample(range(singles), min(singles, max(1, round(count * REFUSED)))))
    mailing = set(rng.sample(range(singles), round(singles * MAILS)))
    groups: list[list[dict[str, Any]]] = []
    failing: list[str] = []
    for number in range(singles):
        plan_id = f"chaos-{number:03}"
        steps = _steps(rng, plan_id if number in mailing else None)
        if number in refused:
            rng.choice([step for step in steps if step["tool"] != "notify"])["args"]["refuse"] = True
            failing.append(plan_id)
        groups.append([_plan(plan_id, steps)])
    twins = []
    for number in range(pairs):
        steps = _steps(rng, f"twins-{number:03}")
        twins.append((f"twin-{number:03}-a", f"twin-{number:03}-b"))
        groups.append([_plan(plan_id, steps) for plan_id in twins[-1]])
    rng.shuffle(groups)
    return Batch(tuple(plan for group in groups for plan in group), tuple(twins), tuple(failing))


def _plan(plan_id: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"plan_id": plan_id, "goal": "survive", "requested_by": REQUESTER, "steps": steps}


def _steps(rng: random.Random, mail_to: str | None) -> list[dict[str, Any]]:
    count = rng.randint(2, 5)
    shelves = rng.sample(SHELVES, rng.randint(1, min(3, count)))
    # every shelf at least once, in an order of the plan's own
    places = shelves + [rng.choice(shelves) for _ in range(count - len(shelves))]
    rng.shuffle(places)
    mail_at = rng.randrange(count) if mail_to else None
    steps: list[dict[str, Any]] = []
    for number, shelf in enumerate(places):
        args: dict[str, Any] = {"shelf": shelf, "hold": round(rng.uniform(0.05, 0.3), 3)}
        name = rng.choice(_PUTTING)
        if number == mail_at:
            name, args = "notify", {**args, "to": f"{mail_to}@chaos.test", "subject": f"news of {mail_to}"}
        after = [steps[-1]["id"]] if steps and rng.random() < 0.6 else []
        agent = rng.choice(AGENTS)
        step = {"id": f"step{number + 1}", "agent": agent, "tool": name, "args": args, "confidence": 0.95, "after": after}
        steps.append(step)
    return steps
