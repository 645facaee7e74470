"""The end of a rehearsal that could not look: it is no result, and the plan does not go on as if it were one."""

from collections.abc import Iterable
from datetime import datetime

from airlock.plans.outcome import MockFailed, PreviewFailed, StepPreview
from airlock.plans.state import State
from airlock.run.decisions.decision import decide
from airlock.run.messages import Abort, Lock
from airlock.run.outcome import Outcome
from airlock.run.state import Run

BY = "airlock"


def end_unrehearsed(run: Run, outcomes: Iterable[MockFailed | StepPreview | PreviewFailed], now: datetime) -> bool:
    """End a rehearsal in which a target did not answer in any try; return True if there was one.

    A run that has made no call yet ends as `unrehearsed`, and the same plan may be submitted again. One with calls is
    locked: they must neither be forgotten nor repeated, and an unlock rehearses what remains.

    Args:
        run: The plan's run, in MOCK or DRY_RUN; changed in place.
        outcomes: The outcomes of its mocks or dry runs.
        now: UTC.
    """
    found = [each for each in outcomes if isinstance(each, MockFailed | PreviewFailed) and each.unlooked]
    if not found:
        return False
    what = "mock" if run.state is State.MOCK else "dry run"
    end_without_answer(run, f"the {what} of step {found[0].step!r} got no answer: {found[0].error}", now)
    return True


def end_without_answer(run: Run, why: str, now: datetime) -> None:
    """End the rehearsal of a run for a reason that says nothing about its steps; see `end_unrehearsed`."""
    if run.acted:
        reason = f"not rehearsed: {why}. Unlock the plan to rehearse what remains, or roll it back"
        decide(run, "lock", Lock(by=BY, reason=reason[:2_000]), now)
    else:
        abort_unrehearsed(run, why, now)


def abort_unrehearsed(run: Run, why: str, now: datetime) -> None:
    """End a run that has changed nothing, and that nothing is known about, so that the same plan may be submitted again."""
    nothing = "Nothing was changed" if run.calls else "Nothing was called"
    reason = f"not rehearsed: {why}. {nothing}: submit the same plan again"
    if decide(run, "abort", Abort(by=BY, reason=reason[:2_000]), now).accepted:
        run.outcome = Outcome.UNREHEARSED
