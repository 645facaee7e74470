"""Questions of a run for today's policy: by an activity, or by a local one where the history of a run has it so."""

from temporalio import workflow
from temporalio.workflow import ActivityHandle

with workflow.unsafe.imports_passed_through():
    from airlock.admission.admitted import TASK_EPOCH
    from airlock.wire import PolicyNow, PolicyRequest
    from airlock.workflows import commands
    from airlock.workflows.patches import POLICY_BY_TASK


class PolicyQuestions:
    """The questions that one run asks, one after the other."""

    def __init__(self) -> None:
        self._asked = 0

    def ask(self, request: PolicyRequest, epoch: int) -> ActivityHandle[PolicyNow]:
        """Start reading today's policy.

        Args:
            request: Whose policy is asked for.
            epoch: The rules of the run; 0 while they are not known.
        """
        if epoch < TASK_EPOCH and not workflow.patched(POLICY_BY_TASK):
            return commands.policy_now_locally(request)
        self._asked += 1
        return commands.policy_now(request, self._asked)
