"""Tools that conflict with each other, and the answers to the conflicts of a plan of them."""

from collections.abc import Mapping
from typing import Any

from airlock.admission.admitted import Admission, Admitted
from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.plan import Plan, Step
from tests.core.build import OPEN_POLICY, make_tool, plan, step

CATALOGUE = Catalogue(
    [
        make_tool("read", "LOW", "read_only", resources=("row:{key}",)),
        make_tool("write", "MEDIUM", "reversible", compensate=True, resources=("row:{key}",), timeout=10),
        make_tool("mail", "HIGH", "irreversible", resources=("box:{to}",), timeout=10),
        make_tool("open", "MEDIUM", "reversible", compensate=True, timeout=10),
        make_tool("charge", "MEDIUM", "compensable", compensate=True, depends_on_tools={"open"}, permissions={"money"}),
        make_tool("close", "MEDIUM", "reversible", compensate=True, depends_on_tools={"charge", "open"}),
        make_tool("slow", "MEDIUM", "compensable", compensate=True, timeout=60),
        make_tool("metered", "LOW", "compensable", compensate=True, timeout=1, rate_limit="2/m"),
    ]
)


def answered(proposed: Plan, rules: Policy = OPEN_POLICY, standing: Mapping[str, str] | None = None) -> Admitted:
    admission = examine(proposed, CATALOGUE, rules, standing=standing)
    assert admission.admitted is not None, admission.problems
    return admission.admitted


def refused(*steps: Step, rules: Policy = OPEN_POLICY) -> Admission:
    admission = examine(plan(*steps), CATALOGUE, rules).admission
    assert admission.admitted is None
    return admission


def told(admitted: Admitted) -> list[str]:
    return [f"{found.kind.value} -> {found.answer.value}: {found.detail}" for found in admitted.conflicts]


def lowered(admitted: Admitted) -> dict[str, str]:
    """Return the reason that limits each step below LIVE, by step."""
    return {step: cap.reason for step, caps in admitted.caps.items() for cap in caps if cap.mode is not Mode.LIVE}


def on(step_id: str, key: str, *after: str, tool: str = "write", **more: Any) -> Step:
    return step(step_id, tool, *after, args={"to" if tool == "mail" else "key": key}, **more)


def wrote(step_id: str, to: str, *after: str, **more: Any) -> Step:
    return on(step_id, to, *after, tool="mail", **more)


AGENTS = {
    "bot": {"permissions": []},
    "clerk": {"permissions": ["money"]},
    "boss": {"permissions": ["*"]},
    "absent": {"permissions": ["money"]},
}
