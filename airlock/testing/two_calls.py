"""The trial of two calls that change the same thing, as two steps of one plan do."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import JsonValue

from airlock.activities.calls.left_states import left_by
from airlock.plans.contract import Mode
from airlock.plans.drift import drift
from airlock.plans.left_states import NotAsForeseen, completed, relies_on
from airlock.plans.own_steps import Earlier, OwnSteps
from airlock.plans.refs import UNKNOWN, contains_unknown
from airlock.plans.tool import ToolFunction
from airlock.plans.tool_call import ToolCall
from airlock.testing.trial import Trial


async def try_two_calls(trial: Trial, then: Mapping[str, Any]) -> None:
    """Make two calls with previews from before both, then undo them in reverse order."""
    look = trial.tool.functions.get("dry_run")
    if look is None or not trial.contract.undoable:
        trial.skipped.append("then")
        return
    later, before = trial.model(then), await trial.look()
    said = await trial.run("first of two dry runs", look, trial.call(Mode.DRY_RUN, step="first"))
    own = OwnSteps({"first": (), "then": ("first",)})
    own.add("first", said.leaves)
    ahead = trial.call(Mode.DRY_RUN, step="then", look_before=partial(own.before, "then"))
    foreseen = await _foreseen(trial, look, ahead, later)
    fix = "its dry run calls `call.earlier` with the name under which the dry run of the first one has `leaves`"
    trial.must(bool(ahead.follows), "the dry run of a later step asks for what an earlier one leaves", fix)
    relies = all(relies_on(foreseen, name, left.seen) for name, left in ahead.follows.items())
    trial.must(relies, "the dry run of a later step returns what it got as `observed`")
    wanted = tuple(sorted(ahead.follows))
    first = trial.call(Mode.LIVE, step="first", observed=said.observed, wanted=wanted)
    await trial.run("first of two live calls", trial.tool.live, first)
    between = await trial.look()
    now = await trial.run("dry run between two calls", look, trial.call(Mode.DRY_RUN, step="then"), later)
    same = drift(foreseen, now.observed)
    trial.must(not same, "the first call leaves what its dry run said", f"it differs at {', '.join(same) or 'the whole'}")
    last = trial.call(Mode.LIVE, step="then", observed=now.observed)
    if contains_unknown(foreseen):
        last.observed = await _compared(trial, foreseen, ahead, first, now.observed)
    await trial.run("second of two live calls", trial.tool.live, last, later)
    trial.must(await trial.look() != between, "the second call changes what the first one left")
    undo = trial.tool.functions["compensate"]
    await trial.run("undo of the second call", undo, trial.call(Mode.LIVE, step="then", undo=last.undo), later)
    trial.must(await trial.look() == between, "the undo of the second call restores what the first one left")
    await trial.run("undo of the first call", undo, trial.call(Mode.LIVE, step="first", undo=first.undo))
    trial.must(await trial.look() == before, "the undo of both calls restores the target")


async def _foreseen(trial: Trial, look: ToolFunction, ahead: ToolCall, later: Any) -> JsonValue:
    """Return the state that the second call relies on, by its dry run before the first call is made."""
    trial.unknown.clear()
    said = await trial.run("second of two dry runs", look, ahead, later)
    for unknown in trial.unknown:
        ahead.follows[unknown.name] = Earlier(unknown.step, UNKNOWN)
        return UNKNOWN
    observed: JsonValue = said.observed
    return observed


async def _compared(trial: Trial, foreseen: JsonValue, ahead: ToolCall, first: ToolCall, now: JsonValue) -> JsonValue:
    """Return what the second call compares with, where its dry run left that open."""
    left = left_by(first, trial.secrets)
    compares, why = foreseen, ""
    try:
        compares = completed(foreseen, {name: each.step for name, each in ahead.follows.items()}, left)
    except NotAsForeseen as error:
        why = str(error)
    trial.must(not why, "the first call sets `leaves` where the second one's dry run left a state open", why)
    holds = all(relies_on(now, name, state) for name, state in left.items())
    trial.must(holds, "a dry run after the first call observes what that one set in `leaves`")
    again = trial.call(Mode.LIVE, step="first", observed=None, attempt=2, wanted=first.wanted)
    await trial.run("first of two calls with the same key again", trial.tool.live, again)
    trial.must(left_by(again, trial.secrets) == left, "the same idempotency key again sets `leaves` again")
    return compares
