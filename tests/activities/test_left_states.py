"""A call compares with what earlier calls left, where its preview could not foresee it; with keys, only with a receipt."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.left_states import ChainStates, left_by
from airlock.activities.calls.permitted import Permitted
from airlock.activities.functions.secrets import Secrets
from airlock.activities.toolbox import Toolbox
from airlock.admission.policy import Policy
from airlock.base.keyring import Channel, Key, Keyring
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode
from airlock.plans.left_states import NotAsForeseen
from airlock.plans.outcome import Attempt, CallFailed, CallStale, CallSucceeded, StepPreview
from airlock.plans.own_steps import MAX_LEFT_BYTES
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool_call import ToolCall
from airlock.run.live.call_messages import CallRequest, ChainRequest, LeftStates
from airlock.tools.files.file_writing import file_write
from airlock.tools.files.folder import FileState

NAME = "file:a.md"
ARGS = {"path": "a.md", "content": "final", "content_base64": None, "mode": None}
OTHER = {"sha256": UNKNOWN, "mode": "0600", "size": 5}
DRAFT = FileState.of(b"draft", 0o644).model_dump(mode="json")
LIVE = Keyring((Key(Channel.LIVE, b"a" * 32),), datetime(2020, 1, 1, tzinfo=UTC))
FORGER = Keyring((Key(Channel.LIVE, b"b" * 32),), datetime(2020, 1, 1, tzinfo=UTC))


@pytest.fixture
def write(tmp_path):
    """Return a function that makes one live call of `file_write` in a folder."""
    catalogue = Catalogue([file_write], settings={"files": {"root": str(tmp_path)}})

    async def call(step_id: str, content: str, **more: Any) -> Attempt:
        step = Step(id=step_id, agent="a", tool="file_write", args={"path": "a.md", "content": content}, confidence=1.0)
        asked = CallRequest(step=step, contract=catalogue.contract("file_write", step.args), epoch=3, **more)
        chain = ChainRequest(plan_id="p", calls=(asked,))
        sent = ChainRequest.model_validate_json(chain.model_dump_json())
        activities = CallActivities(Toolbox(catalogue, Policy()))
        return (await environment().run(activities.call, sent)).attempts[0]

    return call


def environment() -> ActivityEnvironment:
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")
    return env


def relying(observed: Any = UNKNOWN, **follows: str) -> StepPreview:
    return StepPreview(
        step="final", looked=False, effect="e", args=ARGS, observed=observed,
        follows=follows or {NAME: "draft"},
    )  # fmt: skip


async def test_a_call_is_made_on_what_the_earlier_one_says_it_left(write, tmp_path):
    draft = await write("draft", "draft", wanted=(NAME, "file:b.md"))
    assert isinstance(draft, CallSucceeded)
    assert draft.leaves == {NAME: DRAFT}
    final = await write("final", "final", preview=relying(), left={"draft": LeftStates(states=draft.leaves)})
    assert isinstance(final, CallSucceeded)
    assert final.leaves == {}, "no later step asked for it"
    assert (tmp_path / "a.md").read_text() == "final"


async def test_what_another_program_changed_between_is_not_overwritten(write, tmp_path):
    draft = await write("draft", "draft", wanted=(NAME,))
    (tmp_path / "a.md").write_text("theirs")
    final = await write("final", "final", preview=relying(), left={"draft": LeftStates(states=draft.leaves)})
    assert isinstance(final, CallStale)
    assert final.error == "Stale: 'a.md' has changed since its preview"
    assert (tmp_path / "a.md").read_text() == "theirs"


@pytest.mark.parametrize(
    ("preview", "left", "said"),
    [
        (relying(), {}, "its preview could not tell file:a.md as step 'draft' leaves it"),
        (relying(), {"other": LeftStates(states={NAME: DRAFT})}, "could not tell"),
        (relying(), {"draft": LeftStates(states={"file:b.md": DRAFT})}, "could not tell"),
        (
            relying(OTHER),
            {"draft": LeftStates(states={NAME: DRAFT})},
            "foresaw at mode",
        ),
    ],
)
async def test_without_it_or_with_another_one_nothing_is_written(write, tmp_path, preview, left, said):
    await write("draft", "draft")
    final = await write("final", "final", preview=preview, left=left)
    assert isinstance(final, CallStale)
    assert said in final.error
    assert (tmp_path / "a.md").read_text() == "draft"


def made(**leaves: Any) -> CallSucceeded:
    return CallSucceeded(step="draft", output=None, leaves=leaves)


async def _compared(keyring: Keyring, left: dict[str, LeftStates], *before: tuple[Attempt, bool]) -> Any:
    """Return what a call compares with in a chain on a worker with these keys, after earlier calls of the chain."""

    async def look() -> Any:
        request = CallRequest(
            step=Step(id="final", agent="a", tool="file_write", confidence=1.0), preview=relying(), left=left,
            contract=Catalogue([file_write]).contract("file_write", {}),
        )  # fmt: skip
        states = ChainStates(Permitted(ChainRequest(plan_id="p", calls=(request,)), keyring, "policy"))
        taken = [states.take(attempt, now=now, undone=1) for attempt, now in before]
        return states.observed(request), taken

    return await environment().run(look)


async def receipted(keyring: Keyring, undone: int = 1) -> LeftStates:
    _, (attempt,) = await _compared(keyring, {}, (made(**{NAME: DRAFT}), True))
    return LeftStates(states=attempt.leaves, undone=undone, proof=attempt.left_receipt)


async def test_inside_a_chain_the_worker_hands_it_on_with_a_receipt():
    observed, (attempt,) = await _compared(LIVE, {}, (made(**{NAME: DRAFT}), True))
    assert observed == DRAFT
    assert attempt.left_receipt
    assert (await _compared(LIVE, {"draft": await receipted(LIVE)}))[0] == DRAFT


async def test_the_receipt_of_an_earlier_run_counts_and_its_word_alone_does_not():
    known = made(**{NAME: DRAFT}).model_copy(update={"left_receipt": (await receipted(LIVE)).proof})
    assert (await _compared(LIVE, {}, (known, False)))[0] == DRAFT
    with pytest.raises(NotAsForeseen, match="no receipt of a live call"):
        await _compared(LIVE, {}, (made(**{NAME: DRAFT}), False))


@pytest.mark.parametrize("change", ["none", "forged", "states", "undone", "step"])
async def test_what_no_live_call_left_is_not_compared_with(change):
    left = await receipted(FORGER if change == "forged" else LIVE)
    step = "draft"
    if change == "none":
        left = left.model_copy(update={"proof": ""})
    if change == "states":
        left = left.model_copy(update={"states": {NAME: {**DRAFT, "size": 9}}})
    if change == "undone":
        left = left.model_copy(update={"undone": 0})
    if change == "step":
        with pytest.raises(NotAsForeseen, match="could not tell"):
            await _compared(LIVE, {"other": left})
        return
    with pytest.raises(NotAsForeseen, match=r"file:a\.md comes from step 'draft' with no receipt of a live call"):
        await _compared(LIVE, {step: left})


async def test_a_worker_without_keys_takes_it_as_it_comes():
    assert (await _compared(Keyring(), {"draft": LeftStates(states={NAME: DRAFT})}))[0] == DRAFT


async def test_a_call_that_failed_leaves_nothing():
    with pytest.raises(NotAsForeseen):
        await _compared(Keyring(), {}, (CallFailed(step="draft", error="no"), True))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"a": {"v": 1}, "not asked for": 1}, {"a": {"v": 1}}),
        ({"a": None}, {"a": None}),
        ({"a": "hush-hush-hush"}, {}),
        ({"a": b"bytes"}, {}),
        ({"a": "x" * MAX_LEFT_BYTES}, {}),
        ({"a": float("nan")}, {}),
        ({}, {}),
        (None, {}),
        ([1], {}),
    ],
)
def test_only_what_is_asked_for_and_may_be_kept_leaves_the_activity(given, kept):
    secrets = Secrets({"AIRLOCK_SECRET_TOKEN": "hush-hush-hush"})
    secrets.resolve("token")
    call = ToolCall("p", "s", "a", Mode.LIVE, "p/s", wanted=("a",))
    call.leaves = given
    assert left_by(call, secrets) == kept
