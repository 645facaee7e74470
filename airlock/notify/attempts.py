"""The activity of one attempt: look again whether the message is due and true, then send it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from airlock.admission.configuration.notify_config import AlertKind, Receivers
from airlock.admission.policy import Policy
from airlock.alerts.routing import DIGEST, Delivery, deliveries, in_digest, matching, moment_of
from airlock.base.errors import AirlockError
from airlock.client.errors import NoSuchPlan
from airlock.notify.delivery import DELIVER, HEARTBEAT_TIMEOUT, Delivered
from airlock.notify.letters import Letter, digest_letter, letter
from airlock.notify.sending import Sender, SendFailed
from airlock.notify.standing import Standing

LONGEST_WAIT = timedelta(hours=1)
"""The longest Retry-After that is kept to."""
NOT_TAKEN = "NotTaken"
"""The type of the failure of an attempt."""
Told = Callable[[Delivery, str], None]


class Attempts:
    """Attempts of deliveries.

    The input names a plan and nothing about it. The words are made here of what the plan itself tells at this moment: a
    client that starts such a workflow cannot put words into a message, and what no longer holds is not sent.

    Args:
        standing: Reads what stands.
        receivers: The receivers of the operator's file.
        policy: The policy of today.
        sender: Sends letters.
        told: Called with each delivery that has ended or failed, and how.
    """

    def __init__(self, standing: Standing, receivers: Receivers, policy: Policy, sender: Sender, told: Told) -> None:
        self._standing = standing
        self._receivers = receivers
        self._policy = policy
        self._sender = sender
        self._told = told

    @activity.defn(name=DELIVER)
    async def deliver(self, delivery: Delivery) -> Delivered:
        """Make one attempt.

        Raises:
            ApplicationError: Of type `NotTaken`, if the receiver did not take the message.
        """
        has = _have_it()
        beating = asyncio.ensure_future(_beat(has))
        try:
            return await self._attempt(delivery, has)
        finally:
            beating.cancel()

    async def _attempt(self, delivery: Delivery, has: frozenset[str]) -> Delivered:
        try:
            prepared = await self._letter(delivery)
        except AirlockError as error:  # no worker answers for the plan
            self._told(delivery, f"attempt {activity.info().attempt} failed: {error}")
            raise ApplicationError(str(error), type=NOT_TAKEN, category=ApplicationErrorCategory.BENIGN) from None
        if isinstance(prepared, str):
            self._told(delivery, f"not sent: {prepared}")
            return Delivered(sent=False, answer=prepared)
        try:
            answer = await self._sender.send(prepared, self._receivers[delivery.receiver], has)
        except SendFailed as error:
            if error.taken:
                activity.heartbeat(sorted(has | error.taken))  # the next attempt leaves them out
            self._told(delivery, f"attempt {activity.info().attempt} failed: {error}")
            raise ApplicationError(
                str(error),
                type=NOT_TAKEN,
                non_retryable=not error.retry,
                category=ApplicationErrorCategory.BENIGN,  # told above in one line; a traceback would say less
                next_retry_delay=min(timedelta(seconds=error.after), LONGEST_WAIT) if error.after else None,
            ) from None
        self._told(delivery, f"sent: {answer}")
        return Delivered(sent=True, answer=answer)

    async def _letter(self, delivery: Delivery) -> Letter | str:
        """Return the letter of a delivery; a reason if there is nothing to send."""
        if delivery.receiver not in self._receivers or activity.info().workflow_id != delivery.id:
            return "its id is not that of its content: no process of Airlock started it"
        if delivery.kind == DIGEST:
            alerts = await self._standing.read()
        elif delivery.kind == AlertKind.SYSTEM_LOCKED:
            alerts = await self._standing.of_system()
        else:
            try:
                alerts = await self._standing.of_plan(delivery.plan_id)
            except NoSuchPlan as error:
                return str(error)
        now = datetime.now(UTC)
        due = [each.id for each in deliveries(alerts, self._receivers, self._policy) if each.due <= now]
        if delivery.id not in due:
            return "it no longer holds, or is not for this receiver"
        name, receiver = delivery.receiver, self._receivers[delivery.receiver]
        if delivery.kind == DIGEST:
            told = in_digest(alerts, name, moment_of(delivery), self._receivers, self._policy)
            return digest_letter(delivery.id, told, name, receiver, self._policy, now)
        reached = [told for alert in alerts for told in matching(alert, name, self._receivers, self._policy)]
        ((alert, at),) = [told for told in reached if told[0].key == delivery.key]
        return letter(delivery.id, alert, name, receiver, self._policy, now, escalated=at > alert.since)


def _have_it() -> frozenset[str]:
    """Return the people who have the mail from an earlier attempt, as its last heartbeat tells."""
    told = activity.info().heartbeat_details
    return frozenset(map(str, told[0])) if told and isinstance(told[0], list) else frozenset()


async def _beat(has: frozenset[str]) -> None:
    while True:
        activity.heartbeat(*((sorted(has),) if has else ()))
        await asyncio.sleep(HEARTBEAT_TIMEOUT.total_seconds() / 4)
