"""The workflow of one delivery. Its id is that of the message, so that none is sent by two workflows."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from airlock.alerts.routing import Delivery
    from airlock.base import names
    from airlock.base.model import WireModel

QUEUE = "airlock-notify"
DELIVER = "deliver"
"""The name of the activity. A process that sends serves it on a queue for each receiver: one that hangs delays no other."""
LONGEST_PAUSE = timedelta(minutes=15)
KEEP_TRYING = timedelta(hours=24)
"""The time after which a delivery is a dead letter, however many attempts are left."""
HEARTBEAT_TIMEOUT = timedelta(seconds=20)
"""The silence after which the process of an attempt counts as lost, and another attempt is made."""
_ATTEMPT = timedelta(minutes=3)
"""The time of one attempt: an answer of the plan, and one of the receiver."""


class Delivered(WireModel):
    """The end of a delivery."""

    sent: bool
    answer: str
    """The answer of the receiver; or the reason why nothing was sent."""


def receiver_queue(receiver: str) -> str:
    """Return the task queue of the attempts for one receiver."""
    return f"{QUEUE}-{receiver}"


@workflow.defn(name=names.NOTIFY_WORKFLOW)
class NotifyWorkflow:
    """One delivery. A run that fails is a dead letter: `airlock notify failed` lists it, and `resend` starts it again."""

    @workflow.run
    async def run(self, delivery: Delivery) -> Delivered:
        """Try until the receiver has the message, there is nothing more to tell, or the attempts are used up.

        Raises:
            ActivityError: If it is a dead letter; the cause tells what the receiver answered last.
        """
        first = timedelta(seconds=delivery.pause)
        done: Delivered = await workflow.execute_activity(
            DELIVER,
            delivery,
            result_type=Delivered,
            activity_id=DELIVER,
            task_queue=receiver_queue(delivery.receiver),
            summary=f"{delivery.kind} to {delivery.receiver}",
            start_to_close_timeout=_ATTEMPT,
            schedule_to_close_timeout=KEEP_TRYING,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(
                initial_interval=first,
                backoff_coefficient=2.0,
                maximum_interval=max(first, LONGEST_PAUSE),
                maximum_attempts=delivery.attempts,
            ),
        )
        return done
