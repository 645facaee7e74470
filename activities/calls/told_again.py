"""Activities that Temporal hands out again although their workflow asks for one attempt."""

from temporalio import activity

from airlock.plans.outcome import CallInDoubt
from airlock.run.live.call_messages import CallRequest, ChainRequest


def told_again(request: ChainRequest) -> str:
    """Return what Temporal was told, if this is not the first time that it hands out this activity; empty if it is.

    The workflow asks for one attempt. A client that reaches Temporal can raise that while the first is still at it, and can
    reset the activity, which makes it attempt 1 again; only the time of its scheduling tells then.
    """
    info = activity.info()
    if info.attempt > 1:
        return f"make attempt {info.attempt} of what may be tried once"
    # a workflow that is reset takes along what was not begun, with a new time: the histories of its other runs tell then
    ours = request.run_id in ("", info.workflow_run_id)
    return "begin again what may be tried once" if ours and info.current_attempt_scheduled_time > info.scheduled_time else ""


def perhaps_made(call: CallRequest, told: str) -> CallInDoubt:
    """Return the outcome of a call of such an activity: an earlier attempt may have made it."""
    error = f"Temporal was told to {told}: an earlier one may have made this call"
    return CallInDoubt(step=call.step.id, error=error, token_lost=True, lost=True)
