"""One examination of a plan, shared by every door: the same answers, and the work done once."""

from collections import Counter
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission import examination as module
from airlock.admission.ceiling import ceilings
from airlock.admission.configuration.config import Config
from airlock.admission.examination import Examination, examine
from airlock.admission.reliability import Reliability
from airlock.base.errors import PlanError
from airlock.cli.check import look_at
from airlock.client import Airlock
from airlock.client.plans import MEMO_DIGEST
from airlock.plans import graph
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.plan import Plan
from tests.core.build import OPEN_POLICY, TOOLS, catalogue, dags, make_tool, plan, plan_of, policy, step


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the calls of everything in an examination that grows with the plan."""
    counted: Counter[str] = Counter()

    def count(place: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(place, name)

        def counting(*args: Any, **named: Any) -> Any:
            counted[name] += 1
            return original(*args, **named)

        monkeypatch.setattr(place, name, counting)

    for name in ("reference_problems", "graph_problems", "argument_problems"):
        count(module, name)
    for name in ("parents_of", "topological_order", "reversed_parents", "cycles"):
        count(graph, name)
    return counted


def chain(number: int) -> Plan:
    """Return a chain of steps on resources of their own, some of them irreversible."""
    ids = [f"s{position:03d}" for position in range(number)]
    return plan(
        *(
            step(name, "mail" if position % 5 == 0 else "write", *ids[max(0, position - 1) : position], args={"key": name})
            for position, name in enumerate(ids)
        )
    )


class Server:
    """A server that records which plans were started."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def get_workflow_handle(self, workflow_id: str, **_options: Any) -> SimpleNamespace:
        """Return a handle as the client does."""
        return SimpleNamespace(id=workflow_id)

    async def start_workflow(self, _name: str, start: Any, **options: Any) -> SimpleNamespace:
        """Record a plan with its digest."""
        self.started.append(options["memo"][MEMO_DIGEST])
        return SimpleNamespace(id=options["id"])


def test_check_examines_a_plan_once(calls: Counter[str]) -> None:
    found = look_at(chain(20), (Config(policy=OPEN_POLICY), catalogue()))
    assert (found.problems, len(found.ceilings), bool(found.warnings)) == ((), 20, True)
    assert calls == {
        "reference_problems": 1,
        "graph_problems": 1,
        "argument_problems": 20,
        "parents_of": 1,
        "topological_order": 1,
        "reversed_parents": 1,
    }


async def test_start_and_submit_examine_a_plan_once(calls: Counter[str]) -> None:
    server = Server()
    found = look_at(chain(20), (Config(policy=OPEN_POLICY), catalogue()))
    before = Counter(calls)
    await Airlock(server).submit(found)  # type: ignore[arg-type]
    assert calls == before
    assert server.started == [chain(20).digest()]


async def test_submit_examines_what_was_not_examined_and_starts_nothing_that_is_wrong(calls: Counter[str]) -> None:
    server = Server()
    door = Airlock(server)  # type: ignore[arg-type]
    await door.submit(chain(3))
    assert calls["reference_problems"] == 1
    wrong = plan(step("a", "write", "b"))
    for given_as in (wrong, wrong.model_dump(mode="json"), examine(wrong)):
        with pytest.raises(PlanError, match="names step 'b'"):
            await door.submit(given_as)
    assert len(server.started) == 1


def test_admission_with_claims_of_other_plans_examines_a_plan_once(calls: Counter[str]) -> None:
    found = examine(chain(20), catalogue(), OPEN_POLICY)
    again = found.with_standing({"s005": "plan q made it"})
    assert again.admitted is not None
    assert again.admitted.steps["s005"].caps[-1].mode is Mode.MOCK
    assert found.admitted is not None
    assert all(cap.mode is Mode.LIVE for cap in found.admitted.steps["s005"].caps)
    assert calls == {
        "reference_problems": 1,
        "graph_problems": 1,
        "argument_problems": 20,
        "parents_of": 1,
        "topological_order": 1,
        "reversed_parents": 1,
    }


def test_the_order_is_computed_again_only_where_conflicts_add_edges(calls: Counter[str]) -> None:
    crowded = plan(*(step(f"s{number}", args={"key": "one"}) for number in range(5)))
    found = examine(crowded, catalogue(), OPEN_POLICY)
    assert found.admitted is not None
    assert found.admitted.order == ("s0", "s1", "s2", "s3", "s4")
    assert found.admitted.steps["s4"].parents == ("s3",)
    assert found.parents["s4"] == (), "the examination keeps the plan's own graph"
    assert calls["topological_order"] == 2


@given(st.data())
def test_claims_counted_afterwards_or_at_once_give_the_same_answer(data: st.DataObject) -> None:
    parents = data.draw(dags())
    tools = {name: data.draw(st.sampled_from(TOOLS)) for name in parents}
    standing = {name: f"plan q made {name}" for name in parents if data.draw(st.booleans())}
    proposed = plan_of(parents, tools)
    at_once = examine(proposed, catalogue(), OPEN_POLICY, standing=standing)
    afterwards = examine(proposed, catalogue(), OPEN_POLICY).with_standing(standing)
    assert afterwards.admission == at_once.admission


@given(dags())
def test_the_graph_of_an_examination_is_the_plans(parents: Mapping[str, tuple[str, ...]]) -> None:
    found = examine(plan_of(parents, {}))
    assert found.graph is not None
    assert found.parents == parents
    assert found.graph.order == graph.topological_order(parents)
    assert found.graph.children == graph.reversed_parents(parents)


def test_each_argument_adds_to_what_is_known() -> None:
    proposed = plan(step("send", "mail"), step("write", "write", "send"))
    alone = examine(proposed)
    assert (alone.contracts, alone.admitted, alone.warnings, alone.ceilings) == ({}, None, (), {})
    assert alone.digest == proposed.digest()
    with_tools = examine(proposed, catalogue())
    assert set(with_tools.contracts) == {"send", "write"}
    assert [warning.where for warning in with_tools.warnings] == ["steps.send"]
    assert (with_tools.problems, with_tools.admitted, with_tools.ceilings) == ((), None, {})
    admitted = examine(proposed, catalogue(), policy(dry_run_only=True))
    assert admitted.admitted is not None
    assert {ceiling.mode for ceiling in admitted.ceilings.values()} == {Mode.DRY_RUN}
    rows = admitted.admitted
    assert admitted.ceilings == ceilings(rows.order, rows.parents, rows.caps)


def test_problems_of_the_structure_come_with_those_of_the_calls() -> None:
    found = examine(plan(step("a", "nope", "a", args={"password": "x"})), catalogue(), OPEN_POLICY)
    assert [problem.where for problem in found.problems] == ["steps.a", "steps.a.tool"]
    assert [warning.where for warning in found.warnings] == ["steps.a.args.password"]
    assert (found.graph, found.parents, found.contracts) == (None, {}, {})
    assert found.admission.admitted is None
    assert found.with_standing({"a": "x"}) is found


def test_problems_of_calls_come_with_the_warnings() -> None:
    proposed = plan(step("a", "nope"), step("b", args={"password": "hunter2"}))
    found = examine(proposed, catalogue(), OPEN_POLICY)
    assert [problem.where for problem in found.problems] == ["steps.a.tool"]
    assert [warning.where for warning in found.warnings] == ["steps.b.args.password"]


def test_a_variant_that_does_not_understand_the_arguments_is_a_problem_at_every_door() -> None:
    odd = make_tool("odd", "LOW", "read_only")

    @odd.variant
    def by_kind(args: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"risk": args["kind"]}

    tools = Catalogue([odd])
    for found in (
        examine(plan(step("a", "odd")), tools),
        look_at(plan(step("a", "odd")), (Config(policy=OPEN_POLICY), tools)),
    ):
        assert [problem.where for problem in found.problems] == ["steps.a.tool"]
        assert "does not understand these arguments" in found.problems[0].message


def test_reliability_is_recorded_only_where_it_counts() -> None:
    known = {"write": Reliability(ok=1, calls=100)}
    counted = examine(plan(step("a")), catalogue(), policy(calibrated_confidence=True), reliability=known)
    ignored = examine(plan(step("a")), catalogue(), OPEN_POLICY, reliability=known)
    assert counted.admitted is not None
    assert ignored.admitted is not None
    assert (counted.admitted.reliability, ignored.admitted.reliability) == (known, None)
    assert counted.ceilings["a"].mode is Mode.MOCK
    assert ignored.ceilings["a"].mode is Mode.LIVE


def test_claims_that_change_nothing_return_the_same_examination() -> None:
    found = examine(plan(step("a")), catalogue(), OPEN_POLICY)
    assert found.with_standing({}) is found


def test_a_catalogue_makes_the_contract_of_a_tool_without_variants_once() -> None:
    varied = make_tool("varied", "LOW", "read_only")

    @varied.variant
    def by_size(args: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"cost": args.get("size", 0)}

    tools = Catalogue([varied, make_tool("plain", "LOW", "read_only")], {"plain": {"timeout": 7}})
    assert tools.contract("plain", {"x": 1}) is tools.contract("plain")
    assert tools.contract("plain").timeout == 7
    assert [tools.contract("varied", {"size": size}).cost for size in (0, 5)] == [0, 5]


def test_warnings_about_order_name_everything_reversible_behind_an_irreversible_call() -> None:
    found: Examination = examine(
        plan(
            step("send", "mail"),
            step("read", "read", "send"),
            step("z", "write", "read", args={"key": "z"}),
            step("b", "order", "send"),
            step("late", "post", "z", "b"),
            step("free", "write", args={"key": "free"}),
        ),
        catalogue(),
    )
    assert [(warning.where, "before reversible b, z:" in warning.message) for warning in found.warnings] == [
        ("steps.send", True)
    ]
