"""Today's policy, and the time at which Temporal stored an approval: what a plan must know before an approval counts."""

from datetime import UTC, datetime

from temporalio import activity
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import DataConverter, WorkflowSerializationContext
from temporalio.exceptions import ApplicationError

from airlock.activities.toolbox import Toolbox
from airlock.base.incoming import MalformedMessage
from airlock.run.messages import Approve, parse_message
from airlock.temporal.history import Unreadable, read_run
from airlock.wire import PolicyNow, PolicyRequest, StoredAt, StoredAtRequest

_APPROVE = "approve"


class PolicyActivities:
    """Activities of the operator's worker that an approval needs."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="policy_now")
    async def policy_now(self, request: PolicyRequest) -> PolicyNow:
        """Return the policy of this worker. It only reads the worker's memory."""
        if request.gate:
            self._toolbox.require_gate(request.gate)
        else:
            self._toolbox.require_plan(request.plan_id, undo=True)
        return PolicyNow(policy=self._toolbox.policy)

    @activity.defn(name="stored_at")
    async def stored_at(self, request: StoredAtRequest) -> StoredAt:
        """Return when Temporal stored each of some approvals that were sent to this run as signals.

        The first signal that says the same counts, however often it was sent.

        Raises:
            ApplicationError: If the run's history cannot be read; Temporal retries.
        """
        self._toolbox.require_plan(request.plan_id, undo=True)
        info, client = activity.info(), activity.client()
        try:
            events = await read_run(client, info.workflow_id or "", info.workflow_run_id or "")
        except Unreadable as error:
            raise ApplicationError(str(error), type="Unreadable") from error
        # as the run itself reads its messages: a large one costs a worker as little here as there
        context = WorkflowSerializationContext(namespace=client.namespace, workflow_id=info.workflow_id or "")
        converter = client.data_converter.with_context(context)
        stored: dict[Approve, datetime] = {}
        for event in events:
            if (approval := await _approval_in(converter, event)) is not None:
                stored.setdefault(approval, event.event_time.ToDatetime(UTC))
        return StoredAt(times=tuple(stored.get(approval) for approval in request.approvals))


async def _approval_in(converter: DataConverter, event: HistoryEvent) -> Approve | None:
    """Return the approval in an event of a history; None for any other event."""
    if event.WhichOneof("attributes") != "workflow_execution_signaled_event_attributes":
        return None
    signal = event.workflow_execution_signaled_event_attributes
    if signal.signal_name != _APPROVE:
        return None
    try:
        arguments = await converter.decode(signal.input.payloads)
        message = parse_message(_APPROVE, tuple(arguments))
    except MalformedMessage:
        return None
    except Exception as error:  # noqa: BLE001  # any client may have sent this: it must not keep the others from counting
        activity.logger.warning("a signal in the history cannot be decoded: %s", type(error).__name__)
        return None
    return message if isinstance(message, Approve) else None
