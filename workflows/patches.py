"""Patches whose absence a client cannot feign: rules of newer code, which hold where the history has their marker."""

from temporalio import workflow

from airlock.temporal.seeds import seeds

SEEN_RESET = "a reset to the first workflow task is seen"
"""Code before it did not see such a reset, and went on."""
LATE_GRANT = "late-call-needs-its-grant"
"""Version 0.1 looked for `busy` only: where a gate was locked, it made the call without its slot and its claim."""
RECALLED = "a gate asks for its earlier run"
"""Older code believed the start of a worker, which a client may have copied: it forgot who was in."""
DECIDED_EARLY = "a decision before admission is judged by today's policy"
"""Older code took a decision before admission from everyone."""
ANNOUNCED_EARLY = "a slot that is announced before its queue is known is asked for"
"""Older code let such a plan wait until it asked again by itself, for five minutes."""
REHEARSED_FULL = "a full run makes its dry runs before it continues as new, if a decision waits for them"
"""Older code let that decision and the run wait for each other, until a lock."""
KEPT_APART = "an activity that is asked for after one that was dropped has an id of its own"
"""Older code used that of the dropped one, which Temporal refuses until the worker has ended it."""
ASKED_AFTER_A_FAILURE = "what the gates gave is asked for after the failure of a question that was dropped"
"""In older code that failure failed the plan."""


def patched(patch: str) -> bool:
    """Return True if a rule holds in this run; False only in a history of older code.

    Where proofs are demanded there is no history of code before these patches. A client that takes a workflow task could
    complete it as older code would have, without the marker.
    """
    return workflow.patched(patch) or seeds().proofs_due


def from_here_on(patch: str) -> bool:
    """Return True if this workflow task is computed under a rule, or was; False in one that older code computed.

    `workflow.patched` has one answer for a whole run: older code, or a client that completed the first task as older code
    would have, decided for the rest. Here each task has its own, until one is True. Ask no more then.
    """
    return workflow.patched(f"{patch}, from event {workflow.info().get_current_history_length()}")


# Those below are asked for by `workflow.patched` itself: with keys too there are histories of code before them.
GATE_DECISIONS = "a decision about a gate is judged by today's policy"
"""Older code took it from everyone. A gate that was started, or went on, under `SIGNED_EPOCH` needs no marker.

Neither does one that a client started where proofs are demanded: see `gate_start.rules_of`.
"""
POLICY_BY_TASK = "today's policy is asked for by an activity"
"""Older code asked by a local activity. Runs under `TASK_EPOCH` need no marker."""
