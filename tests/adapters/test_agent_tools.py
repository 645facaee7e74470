"""The part that the adapters share, without a server: names, definitions, the plan of a turn, the texts of answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from airlock.adapters.agent_tools import MAX_NAME, AgentCall, AgentTools, framework_name, refused
from airlock.base.errors import ConfigError, PlanError
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import parse_plan
from airlock.plans.state import State
from airlock.plans.tool_document import catalogue_document
from airlock.run.call_record import CallStatus
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import PlanResult, StepView
from tests.adapters.notes import add_note, read_notes

CATALOGUE = Catalogue([read_notes, add_note], settings={"notes": {"folder": "."}})
ADAPTERS = Path(__file__).parents[2] / "airlock" / "adapters"


def tools(catalogue: Any = CATALOGUE, **more: Any) -> AgentTools:
    return AgentTools(catalogue, agent="clerk", requested_by="rita", **more)


def read(id: str) -> AgentCall:
    return AgentCall(id, "notes__read", {"book": "b"})


def add(id: str) -> AgentCall:
    return AgentCall(id, "notes__add", json.dumps({"book": "b", "line": id}))


@pytest.mark.parametrize("adapter", ["pydantic_ai", "langchain", "openai_agents"])
def test_an_adapter_is_read_in_one_sitting(adapter: str) -> None:
    assert len((ADAPTERS / f"{adapter}.py").read_text().splitlines()) < 60


def test_definitions_have_name_description_and_both_schemas() -> None:
    add_tool, read_tool = tools()
    assert (add_tool.name, add_tool.tool, add_tool.read_only) == ("notes__add", "notes.add", False)
    assert (read_tool.name, read_tool.tool, read_tool.read_only) == ("notes__read", "notes.read", True)
    assert set(add_tool.arguments["properties"]) == {"book", "line"}
    assert add_tool.description == "Add a line to a book of notes."
    assert '"number"' in add_tool.whole_description


def test_the_printed_catalogue_makes_the_same_tools(tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps(catalogue_document(CATALOGUE)))
    assert list(tools(path)) == list(tools(catalogue_document(CATALOGUE))) == list(tools())
    assert [tool.tool for tool in tools(path, only=["notes.read"])] == ["notes.read"]
    with pytest.raises(ConfigError, match=r"no tool 'notes\.write'"):
        tools(path, only=["notes.write"])


def named(*names: str) -> dict[str, Any]:
    return {"tools": [{"tool": name} for name in names]}


def test_names_are_what_every_framework_takes_and_lead_back() -> None:
    long = "server." + "x" * 100
    given = tools(named("files.read", "git-log", "Größe", long, long + "y"))
    names = [tool.name for tool in given]
    assert names[:3] == ["files__read", "git-log", "Gr__e"]
    assert all(len(name) <= MAX_NAME and name.isascii() for name in names)
    assert len(set(names)) == 5
    steps = given.plan(["run"], [AgentCall(str(number), name, {}) for number, name in enumerate(names)])["steps"]
    assert [step["tool"] for step in steps] == ["files.read", "git-log", "Größe", long, long + "y"]


@pytest.mark.parametrize("names", [("files.read", "files__read"), ("a b", "a/b")])
def test_tools_that_would_have_one_name_are_refused(names: tuple[str, str]) -> None:
    assert framework_name(names[0]) == framework_name(names[1])
    with pytest.raises(ConfigError, match="would both be"):
        tools(named(*names))
    assert len(list(tools(named(*names), only=names[:1]))) == 1


def test_a_read_waits_for_writes_alone_and_a_write_for_all_before_it() -> None:
    plan = tools().plan(["run"], [read("a"), read("b"), add("c"), read("d"), add("e")])
    assert {step["id"]: step["after"] for step in plan["steps"]} == {
        "1-notes__read": [],
        "2-notes__read": [],
        "3-notes__add": ["1-notes__read", "2-notes__read"],
        "4-notes__read": ["3-notes__add"],
        "5-notes__add": ["3-notes__add", "4-notes__read"],
    }
    assert parse_plan(plan).deadline_seconds is None
    assert parse_plan(tools(deadline="2h").plan(["run"], [read("a")])).deadline_seconds == 7_200
    assert parse_plan(plan).goal == "One turn of clerk: notes.read, notes.read, notes.add, notes.read and notes.add"


def test_the_id_of_a_plan_names_the_turn_and_nothing_else() -> None:
    first = tools().plan(["run", 1], [add("a")])["plan_id"]
    assert tools(goal="other", confidence=0.5).plan(["run", 1], [add("a")])["plan_id"] == first
    others = [
        (["run", 2], [add("a")]),
        (["other", 1], [add("a")]),
        (["run", 1], [add("b")]),
        (["run", 1], [add("a"), add("b")]),
    ]
    assert len({first, *(tools().plan(turn, calls)["plan_id"] for turn, calls in others)}) == 5


@pytest.mark.parametrize("args", ["{", "[1]", "null", "7"])
def test_arguments_that_are_no_object_refuse_the_turn(args: str) -> None:
    with pytest.raises(PlanError, match=r"steps\.2-notes__add\.args: is not a JSON object"):
        tools().plan(["run"], [read("a"), AgentCall("b", "notes__add", args)])


def test_a_tool_that_is_not_there_refuses_the_turn() -> None:
    with pytest.raises(PlanError, match="there is no such tool"):
        tools().plan(["run"], [AgentCall("a", "send_email", {})])


def ended(status: str, outcome: Outcome = Outcome.ABORTED, why: str = "alice: wrong book", **more: Any) -> PlanResult:
    view = StepView(id="1-notes__add", agent="clerk", tool="notes.add", status=status, **more)
    return PlanResult(
        plan_id="p", outcome=outcome, state=State.ABORTED, why=why, digest="d", steps=(view,), live=(), undone=(), kept=(),
        not_settled=(), outputs={"1-notes__add": {"number": 1}} if status == "live" else {},
    )  # fmt: skip


def text(result: PlanResult) -> str:
    answer = tools().answers([add("a")], result)["a"]
    assert not answer.in_effect
    return answer.text


@pytest.mark.parametrize(
    ("status", "begins"),
    [
        ("waiting", "Not in effect (aborted). "),
        (CallStatus.FAILED, 'Not in effect (failed: "torn"). '),
        (CallStatus.FAILED_BEFORE, 'Not in effect (failed_before: "torn"). '),
        (CallStatus.DUPLICATE, 'Not in effect (duplicate: "torn"). '),
        (CallStatus.UNDONE, 'Not in effect any more (undone: "torn"): '),
        (CallStatus.KEPT, 'In effect still, at least in part (kept: "torn"): '),
        (CallStatus.UNDO_FAILED, 'In effect still, at least in part (undo_failed: "torn"): '),
        (CallStatus.IN_DOUBT, 'Not known (in_doubt: "torn"): the call may be in effect. '),
    ],
)
def test_every_status_has_its_words(status: str, begins: str) -> None:
    said = text(ended(status, error="" if status == "waiting" else "torn"))
    assert said.startswith(begins)
    assert said.endswith('The plan ended aborted: "alice: wrong book". Do not repeat the call unless the user asks.')


def test_an_approval_that_never_came_is_told() -> None:
    said = text(ended("waiting", Outcome.EXPIRED, "no approval within 24h"))
    assert said.startswith('Not in effect (expired). The plan ended expired: "no approval within 24h". ')


def test_no_status_is_forgotten() -> None:
    for status in set(CallStatus) - {CallStatus.LIVE}:
        assert "in effect" in text(ended(status)).lower()


def test_a_call_in_effect_is_answered_with_its_output_however_the_plan_ended() -> None:
    answer = tools().answers([add("a")], ended("live"))["a"]
    assert (answer.in_effect, answer.value, answer.text) == (True, {"number": 1}, '{"number": 1}')
    lost = ended("live").model_copy(update={"outputs": {}})
    assert tools().answers([add("a")], lost)["a"].value == "In effect. Its output is too large to be shown."


def test_the_reasons_of_a_low_ceiling_are_told_and_may_be_corrected() -> None:
    failed = ended("waiting", Outcome.REHEARSED, "nothing may go live", ceiling="MOCK", reasons=("its dry run failed: no",))
    assert text(failed) == (
        'Not in effect (not_called: "its dry run failed: no"). The plan ended rehearsed: "nothing may go live". '
        "Correct the call before you make it again, or tell the user."
    )


def test_the_problems_of_a_refused_plan_are_told_to_every_call() -> None:
    why = "refused at admission: steps.1-notes__add.args.line: is missing (fix: add 'line')"
    answers = tools().answers([add("a"), read("b")], ended("waiting", why=why).model_copy(update={"digest": None}))
    assert answers == refused([add("a"), read("b")], why.removeprefix("refused at admission: "))
    assert answers["b"].text.startswith("Refused: no call of this turn was made. steps.1-notes__add.args.line: is missing")


def test_two_calls_of_one_id_are_refused_since_one_would_get_the_answer_of_the_other() -> None:
    with pytest.raises(PlanError, match="two calls have the id '1'"):
        tools().plan(["run", 1], [add("1"), read("2"), add("1")])
