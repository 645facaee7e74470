"""The proof of an activity's own input: a run of Airlock asked for it, and this very run."""

import time
from datetime import UTC, datetime

from temporalio import activity

from airlock.base.keyring import Channel, Demands
from airlock.temporal import proof


def unproven_input(demands: Demands) -> str:
    """Return the reason why nothing shows that the run of this activity asked for it; empty if that is proved.

    Args:
        demands: The demands of this worker's keys; without a key of the channel `run` nothing is demanded.
    """
    now = datetime.fromtimestamp(time.time(), UTC)
    if not demands.due(Channel.RUN, now):
        return ""
    stamp = proof.asked()
    if not stamp.proven:
        return (
            f"this worker has keys and the question carries no proof ({stamp.checked}): "
            "give the orchestrating workers the run key"
        )
    if stamp.by != proof.BY_WORKFLOW:
        return f"the question was made by a {stamp.by}, not by a workflow"
    if demands.revokes(stamp.key, now):
        return f"the key {stamp.key} of the question is revoked"
    if stamp.run != activity.info().workflow_run_id:
        return "the question was asked by another run"
    return ""
