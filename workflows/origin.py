"""Origin of carried state: a run believes what it begins with only if Airlock itself continued it as new.

Any client can start a workflow with any input: directly, by a cron schedule, a retry policy or a schedule, together with a
signal, or as the child of a workflow of its own. Such an input can be a copy of one that Airlock once carried on.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from airlock.base.incoming import MalformedMessage
from airlock.temporal import proof
from airlock.temporal.proof_converter import SentObject
from airlock.temporal.seeds import seeds

NO_CRON = "Airlock's workflows take no cron schedule and no retry policy: start it once, without them"

FORGETFUL = "a run that continues another one must carry on what that one knew"


class Life(Protocol):
    """The part of `workflow.Info` that tells where a run comes from."""

    @property
    def continued_run_id(self) -> str | None:
        """The run that this one continues."""

    @property
    def first_execution_run_id(self) -> str:
        """The first run of the chain."""

    @property
    def cron_schedule(self) -> str | None:
        """The cron schedule of the run."""

    @property
    def retry_policy(self) -> Any:
        """The retry policy of the run."""

    @property
    def workflow_start_time(self) -> datetime:
        """The start of the run, UTC."""


def repeated(info: Life) -> str:
    """Return the refusal of a run that Temporal would start again by itself; empty for any other."""
    # such a run has a predecessor that Airlock did not continue, and would call again what an ended run called
    return NO_CRON if info.cron_schedule or info.retry_policy is not None else ""


def proofs_are_due(start: Any, info: Life) -> bool:
    """Return True if state that this run begins with needs a proof of its origin."""
    return isinstance(start, SentObject) and start.is_due(info.workflow_start_time)


def forgetful(info: Life) -> bool:
    """Return True if a run continues another one, and must not begin without what that one knew.

    A client that takes a workflow task can continue the run as new with an input of its own. Such a run would have the
    name and the execution of the plan, the gate or the claim, and know nothing of the calls that were made.
    """
    return info.continued_run_id is not None and seeds().proofs_due


def foreign(start: Any, kind: str, info: Life) -> str:
    """Return why the state in a start does not come from the run that this one continues; empty if it does.

    Args:
        start: The input of the run, as the converter handed it over.
        kind: The class of inputs that a continue-as-new of this workflow carries.
        info: The run.
    """
    if info.continued_run_id is None:
        return "only a continue-as-new carries state on"
    if not proofs_are_due(start, info):
        return ""
    if why := start.objection(kind, proof.BY_WORKFLOW, info.workflow_start_time):
        return f"no run of Airlock carried it on: {why}"
    stamp = start.stamp
    if (stamp.run, stamp.first) != (info.continued_run_id, info.first_execution_run_id):
        return "it is a copy: another run carried it on"
    return ""


def require_airlock(name: str, kind: type, at: datetime, arguments: Sequence[Any]) -> None:
    """Like `require_worker`, for a message that a run of Airlock may send itself, too."""
    by_run = [isinstance(given, SentObject) and given.stamp.by == proof.BY_WORKFLOW for given in arguments]
    require_worker(name, kind, at, arguments, proof.BY_WORKFLOW if any(by_run) else proof.BY_WORKER)


def require_worker(name: str, kind: type, at: datetime, arguments: Sequence[Any], by: str = proof.BY_WORKER) -> None:
    """Refuse a signal or an update that only workers of Airlock send, where it needs a proof of that and has none.

    Args:
        name: The signal or the update.
        kind: The class of its argument.
        at: The time of its arrival, UTC.
        arguments: Its arguments.
        by: The part of a worker that sends it.

    Raises:
        MalformedMessage: If no worker of Airlock is known to have sent it.
    """
    for given in arguments:
        why = given.objection(kind.__name__, by, at) if isinstance(given, SentObject) else ""
        if why:
            raise MalformedMessage(f"{name}: no worker of Airlock is known to have sent it: {why}")
