"""The contents of messages and their histories: no secret, no argument, and nothing that a client made up."""

import base64
import json
import logging

import pytest

from airlock.alerts.routing import Delivery
from airlock.base import names
from airlock.notify.dead_letters import dead_letters
from airlock.notify.delivery import QUEUE
from tests.postman import FULL, postman
from tests.workflows.conftest import awaiting, step, until
from tests.workflows.notifications import HOOK, KEY, given_up, told
from tests.workflows.receivers import web_receiver

PATH = "T0SECRETPATH/B0SECRET/x9secretx9"


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    monkeypatch.setenv("AIRLOCK_SECRET_HOOK", KEY)


async def histories(client):
    """Return the histories of all deliveries as JSON."""
    found = client.list_workflows(f"WorkflowType = '{names.NOTIFY_WORKFLOW}'")
    return [(await client.get_workflow_handle(each.id).fetch_history()).to_json() async for each in found]


async def test_a_full_mailbox_delays_no_other_person_and_no_address_is_in_a_history(airlock_with, plan, notifying):
    airlock = await airlock_with()
    answers = dict(FULL)
    async with postman(answers) as (port, taken):
        config = f"""
        [notify.desk]
        kind = "email"
        to = {{ alice = "alice@example.com", bob = "bob@example.com" }}
        events = ["waiting"]
        pause = "0.1s"
        [settings.smtp]
        host = "127.0.0.1"
        port = {port}
        sender = "airlock@sender.test"
        starttls = false
        """
        await awaiting(await airlock.submit(plan(step("a", "put", key="k"))))
        notifier = await notifying(airlock, config)
        await notifier.look()
        await until(lambda: len(notifier.said) >= 3)
        assert taken == [["alice@example.com"]], "once, however often the other one is tried"
        answers.clear()
        await until(lambda: "sent" in notifier.said[-1][1])
        assert taken == [["alice@example.com"], ["bob@example.com"]]
        assert "bob: 452" in notifier.said[0][1]
        assert not [how for _, how in notifier.said if "example.com" in how.lower()]
        assert not [one for one in await histories(airlock.client) if "example.com" in one.lower()]


async def test_no_secret_and_no_argument_is_in_a_history_or_a_log(airlock_with, plan, notifying, monkeypatch, caplog):
    airlock = await airlock_with()
    async with web_receiver("500", "404") as chat, web_receiver("500", "418") as hook:
        monkeypatch.setenv("AIRLOCK_SECRET_CHAT", f"{chat.url}/{PATH}?token=querysecret")
        slack = '[notify.chat]\nkind = "slack"\nurl = { "$secret" = "CHAT" }\npause = "0.1s"\ntimeout = 60\n'
        await awaiting(await airlock.submit(plan(step("a", "put", key="k", value="argument-4711"))))
        caplog.set_level(logging.DEBUG, logger="airlock")
        caplog.set_level(logging.INFO)
        notifier = await notifying(airlock, slack + HOOK.format(url=hook.url))
        await notifier.look()
        await until(lambda: len(chat.received) == 2 and len(hook.received) == 2)
        await given_up(airlock, 2)
        assert chat.received[0].path.startswith(f"/hook/{PATH}")
        letters = [letter.model_dump_json() for letter in await dead_letters(airlock.client)]
        said = [how for _, how in notifier.said]
        written = "\n".join([*await histories(airlock.client), *letters, *said, caplog.text])
        assert "was answered 404" in written
        payloads = [
            base64.b64decode(payload["data"]).decode(errors="replace")
            for history in await histories(airlock.client)
            for payload in find_payloads(json.loads(history))
        ]
        assert any("waiting" in payload for payload in payloads)
        for hidden in ("SECRETPATH", "querysecret", "x9secretx9", KEY[6:20], "argument-4711", "hook/T0"):
            assert hidden not in written, hidden
            assert not any(hidden in payload for payload in payloads), hidden
        assert not any("goal" in payload for payload in payloads)


def find_payloads(value):
    if isinstance(value, dict):
        if "data" in value and "metadata" in value:
            yield value
        for each in value.values():
            yield from find_payloads(each)
    elif isinstance(value, list):
        for each in value:
            yield from find_payloads(each)


async def test_a_client_that_starts_deliveries_can_put_nothing_into_a_message(airlock_with, plan, notifying):
    airlock = await airlock_with()
    async with web_receiver() as hook, web_receiver() as boss:
        # the boss is told after a day, and no client makes it sooner
        config = HOOK.format(url=hook.url) + 'escalate = { after = "24h", to = "boss" }\n'
        config += HOOK.format(url=boss.url).replace("notify.hook", "notify.boss") + "events = []\n"
        handle = await airlock.submit(plan(step("a", "put", key="k")))
        await awaiting(handle)
        notifier = await notifying(airlock, config)
        await told(notifier, hook, 1)
        await until(lambda: notifier.said)  # it says so after the receiver has it
        (known,) = {delivery.key: delivery for delivery, _ in notifier.said}.values()
        forged = [
            known.model_copy(update={"key": "0" * 20}),
            known.model_copy(update={"receiver": "boss"}),
            known.model_copy(update={"kind": "in_doubt", "key": "1" * 20}),
            known.model_copy(update={"plan_id": "no-such-plan", "key": "2" * 20}),
            known.model_copy(update={"kind": "digest", "key": "digest-20260101T000000Z"}),
        ]
        for each in forged:
            done = await start_forged(airlock.client, each, each.id)
            assert done["sent"] is False, each
        done = await start_forged(airlock.client, known, "notify-hook-of-another-id")
        assert "no process of Airlock started it" in done["answer"]
        assert len(hook.received) == 1
        assert not boss.received


async def start_forged(client, delivery: Delivery, id: str):
    return await client.execute_workflow(names.NOTIFY_WORKFLOW, delivery, id=id, task_queue=QUEUE)
