"""Dry runs of one plan see what its earlier steps would leave: on real files, through the preview activity."""

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio.testing import ActivityEnvironment

from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.plans.catalogue import Catalogue
from airlock.plans.outcome import Previewed
from airlock.plans.own_steps import Left
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.files.file_deleting import file_delete
from airlock.tools.files.file_writing import file_write
from airlock.tools.files.folder import FileState
from airlock.wire import PreviewResult, RehearsalRequest


class Nothing(BaseModel):
    pass


@tool(name="forgetful", risk="MEDIUM", reversibility="irreversible")
async def forgetful(args: Nothing, call: ToolCall) -> None: ...


@forgetful.dry_run
async def _forget(args: Nothing, call: ToolCall) -> Preview:
    call.earlier("file:n/a.md")
    return Preview(effect="writes over it", observed="something else")


@tool(name="glance", risk="LOW", reversibility="read_only")
async def glance(args: Nothing, call: ToolCall) -> None: ...


@glance.dry_run
async def _glance(args: Nothing, call: ToolCall) -> Preview:
    return Preview(effect="glances")


@tool(name="inspect", risk="LOW", reversibility="read_only")
async def inspect(args: Nothing, call: ToolCall) -> None: ...


@inspect.dry_run
async def _inspect(args: Nothing, call: ToolCall) -> Preview:
    earlier = call.earlier("file:n/a.md")
    return Preview(effect=f"inspects {earlier.seen['size'] if earlier else 'the world'}")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "n").mkdir()
    return tmp_path


@pytest.fixture
def look(folder):
    catalogue = Catalogue([file_write, file_delete, forgetful, glance, inspect], settings={"files": {"root": str(folder)}})
    policy = Policy.model_validate({"agents": {"a": {"permissions": ["*"]}}})
    activities = PreviewActivities(Toolbox(catalogue, policy))

    async def run(
        *steps: tuple[str, str, dict[str, Any], tuple[str, ...]], own: bool = True, beats: Any = None, **more: Any
    ) -> PreviewResult:
        made = [
            Step(id=name, agent="a", tool=tool_name, args=args, confidence=1.0, after=after)
            for name, tool_name, args, after in steps
        ]
        contracts = {step.id: catalogue.contract(step.tool, step.args) for step in made}
        if own:
            more.setdefault("parents", {step.id: step.parents for step in made})
        asked = RehearsalRequest(
            plan_id="p", steps=tuple(made), epoch=3 if own else 2,
            contracts={contract.digest(): contract for contract in contracts.values()},
            contract_of={step: contract.digest() for step, contract in contracts.items()}, **more,
        )  # fmt: skip
        env = ActivityEnvironment()
        env.info = dataclasses.replace(env.info, heartbeat_details=[beats] if beats else [])
        return await env.run(activities.preview, RehearsalRequest.model_validate_json(asked.model_dump_json()))

    return run


def write(content: Any, path: str = "n/a.md", **more: Any) -> dict[str, Any]:
    return {"path": path, "content": content, **more}


def shown(result: PreviewResult) -> dict[str, Any]:
    return {each.step: each if isinstance(each, Previewed) else each.error for each in result.previews}


DRAFT = FileState.of(b"draft\n", 0o640).model_dump(mode="json")


async def test_the_second_write_of_a_file_is_previewed_on_what_the_first_one_leaves(look):
    steps = shown(await look(
        ("draft", "file_write", write("draft\n", mode="640"), ()),
        ("final", "file_write", write("final!\n"), ("draft",)),
        ("gone", "file_delete", {"path": "n/a.md"}, ("final",)),
        ("again", "file_write", write("new\n"), ("gone",)),
    ))  # fmt: skip
    assert steps["draft"].effect == "Would create n/a.md (6 bytes, mode 0640)."
    assert steps["draft"].follows == {}
    assert steps["final"].effect == "Would replace 6 bytes (mode 0640) of n/a.md (7 bytes, mode 0640)."
    assert steps["final"].observed == DRAFT
    assert steps["final"].undo == "Restore the 6 bytes and mode 0640."
    assert steps["final"].follows == {"file:n/a.md": "draft"}
    assert steps["gone"].effect == "Would delete n/a.md (7 bytes, mode 0640)."
    assert steps["gone"].follows == {"file:n/a.md": "final"}
    assert steps["again"].effect == "Would create n/a.md (4 bytes, mode 0644)."
    assert steps["again"].observed == FileState().model_dump(mode="json")


async def test_a_step_that_depends_on_none_of_them_and_another_file_see_the_world(look, folder):
    (folder / "n" / "a.md").write_text("old")
    steps = shown(await look(
        ("draft", "file_write", write("draft\n"), ()),
        ("beside", "file_write", write("x"), ()),
        ("other", "file_write", write("x", "n/b.md"), ("draft",)),
    ))  # fmt: skip
    assert steps["beside"].observed["size"] == 3
    assert steps["other"].effect.startswith("Would create")
    assert (steps["beside"].follows, steps["other"].follows) == ({}, {})


async def test_an_edge_that_only_admission_knows_counts(look):
    steps = shown(await look(
        ("draft", "file_write", write("draft\n", mode="640"), ()),
        ("a-final", "file_write", write("final\n"), ()),
        parents={"draft": (), "a-final": ("draft",)},
    ))  # fmt: skip
    assert steps["a-final"].observed == DRAFT


async def test_two_earlier_writes_in_no_order_fail_the_dry_run_behind_them(look):
    steps = shown(await look(
        ("one", "file_write", write("1"), ()),
        ("two", "file_write", write("2"), ()),
        ("gone", "file_delete", {"path": "n/a.md"}, ("one", "two")),
    ))  # fmt: skip
    assert "one and two both leave 'file:n/a.md', in no order" in steps["gone"]


async def test_an_unknown_content_makes_the_next_step_known_after_live(look):
    steps = shown(await look(
        ("draft", "file_write", write({"$ref": "made.text"}), ()),
        ("final", "file_write", write("final\n"), ("draft",)),
        ("last", "file_write", write("last\n"), ("final",)),
        outputs={"made": {"text": UNKNOWN}},
    ))  # fmt: skip
    final = steps["final"]
    assert (final.looked, final.observed, final.follows) == (False, UNKNOWN, {"file:n/a.md": "draft"})
    assert "file:n/a.md, as step draft leaves it, is" in final.effect


async def test_states_of_an_earlier_request_and_of_an_earlier_attempt_are_used(look):
    draft = ("draft", "file_write", write("draft\n", mode="640"), ())
    final = ("final", "file_write", write("final\n"), ("draft",))
    leaves = {"draft": {"file:n/a.md": Left(seen=DRAFT)}}
    steps = shown(await look(final, parents={"draft": (), "final": ("draft",)}, leaves=leaves))
    assert steps["final"].observed == DRAFT
    first = await look(draft)
    beats = [each.model_dump(mode="json") for each in first.previews]
    steps = shown(await look(draft, final, beats=beats))
    assert steps["final"].observed == DRAFT


async def test_a_run_of_an_older_epoch_is_previewed_as_before(look):
    result = await look(
        ("draft", "file_write", write("draft\n"), ()),
        ("final", "file_write", write("final\n"), ("draft",)),
        ("gone", "file_delete", {"path": "n/a.md"}, ("final",)),
        own=False,
    )
    steps = shown(result)
    assert steps["final"].effect.startswith("Would create")
    assert "there is no file" in steps["gone"]
    assert "leaves" not in result.model_dump_json()
    assert "follows" not in result.model_dump_json()


async def test_a_dry_run_that_asks_and_does_not_say_so_is_refused(look):
    steps = shown(await look(
        ("draft", "file_write", write("draft\n"), ()),
        ("final", "forgetful", {}, ("draft",)),
    ))  # fmt: skip
    assert "it must return what it got, `seen`, as `observed`" in steps["final"]


async def test_a_read_that_never_asks_says_behind_which_writes_it_looked(look):
    steps = shown(await look(
        ("first", "glance", {}, ()),
        ("draft", "file_write", write("draft\n"), ("first",)),
        ("between", "inspect", {}, ("draft",)),
        ("last", "glance", {}, ("between",)),
        ("other", "file_write", write("x", "n/b.md"), ("draft",)),
    ))  # fmt: skip
    assert steps["between"].effect == "inspects 6"
    seen = {step: preview.seen_before for step, preview in steps.items()}
    assert seen == {"first": (), "draft": (), "between": (), "last": ("draft",), "other": ()}


async def test_a_read_of_a_state_that_only_live_knows_compares_with_nothing(look):
    steps = shown(await look(
        ("draft", "file_write", write({"$ref": "made.text"}), ()),
        ("look", "inspect", {}, ("draft",)),
        outputs={"made": {"text": UNKNOWN}},
    ))  # fmt: skip
    assert (steps["look"].looked, steps["look"].observed, steps["look"].follows) == (False, None, {})
    assert "file:n/a.md, as step draft leaves it, is (known after live)" in steps["look"].effect


async def test_steps_in_no_order_that_leave_one_file_are_told_of_each_other(look):
    steps = shown(await look(
        ("one", "file_write", write("1"), ()),
        ("two", "file_write", write("2"), ()),
        ("three", "file_write", write("3", "n/b.md"), ()),
    ))  # fmt: skip
    assert (steps["one"].beside, steps["two"].beside) == ({"file:n/a.md": ("two",)}, {"file:n/a.md": ("one",)})
    assert steps["three"].beside == {}


async def test_a_step_of_an_earlier_request_counts_too(look):
    steps = shown(await look(
        ("two", "file_write", write("2"), ()), parents={"one": (), "two": ()}, others={"one": ("file:n/a.md",)},
    ))  # fmt: skip
    assert steps["two"].beside == {"file:n/a.md": ("one",)}
    assert steps["two"].effect.startswith("Would create")


async def test_a_run_of_an_older_epoch_is_told_of_neither(look):
    steps = shown(await look(
        ("one", "file_write", write("1"), ()),
        ("two", "file_write", write("2"), ()),
        ("look", "glance", {}, ("one",)),
        own=False,
    ))  # fmt: skip
    assert [(each.beside, each.seen_before) for each in steps.values()] == [({}, ())] * 3
