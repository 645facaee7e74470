"""Messages end to end: real plans, real receivers on loopback, failures of every kind."""

import asyncio
import base64
import json
import logging
import os
import sys
from contextlib import AsyncExitStack

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from temporalio.worker import Replayer

from airlock.admission.configuration.config import parse_config
from airlock.alerts.routing import Delivery
from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.client.live_gate import LiveGate
from airlock.notify.dead_letters import dead_letters, resend
from airlock.notify.delivery import QUEUE, NotifyWorkflow
from airlock.notify.service import Notifier, runner
from airlock.plans.state import State
from airlock.temporal.connection import DATA_CONVERTER
from sandbox.smtp import read_mailbox
from tests import running
from tests.processes.harness import Process
from tests.tools.test_sending import FULL, postman
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.receivers import mail_receiver, web_receiver
from tests.workflows.world import WORLD

KEY = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
PATH = "T0SECRETPATH/B0SECRET/x9secretx9"
HOOK = """
[notify.hook]
kind = "webhook"
url = "{url}"
secret = {{ "$secret" = "HOOK" }}
pause = "0.1s"
timeout = 60
"""


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    monkeypatch.setenv("AIRLOCK_SECRET_HOOK", KEY)


@pytest.fixture
async def notifying():
    """Makes a notifier with its workers running; its `said` are the ends of its attempts."""
    async with AsyncExitStack() as stack:

        async def make(airlock, text):
            said = []
            notifier = Notifier(airlock.client, parse_config(text), lambda delivery, how: said.append((delivery, how)))
            await stack.enter_async_context(running.running(notifier.workers()))
            notifier.said = said
            return notifier

        yield make


async def looking(notifier, condition):
    """Look at what stands until a condition holds, at the pace of a process: a namespace bounds its questions."""

    async def holds():
        if condition():
            return True
        await notifier.look()
        await asyncio.sleep(0.3)
        return False

    await until(holds)


async def told(notifier, receiver, number):
    """Look until a receiver has taken so many messages."""
    await looking(notifier, lambda: len(receiver.taken) >= number)
    return receiver.taken


def types(receiver):
    return [each.json["type"] for each in receiver.taken]


async def given_up(airlock, number):
    """Wait until so many dead letters are listed, and return them."""

    async def listed():
        found = await dead_letters(airlock.client)
        if len(found) == number:
            return (found,)
        await asyncio.sleep(0.2)
        return ()

    return (await until(listed))[0]


async def histories(client):
    """Return the histories of all deliveries as JSON."""
    found = client.list_workflows(f"WorkflowType = '{names.NOTIFY_WORKFLOW}'")
    return [(await client.get_workflow_handle(each.id).fetch_history()).to_json() async for each in found]


async def test_a_waiting_plan_is_told_once_signed_and_verified_by_another_library(airlock_with, plan, notifying):
    airlock = await airlock_with()
    async with web_receiver() as hook:
        handle = await airlock.submit(plan(step("a", "put", key="k", value="v"), goal="Set <!channel> the key"))
        status = await awaiting(handle)
        notifier = await notifying(airlock, HOOK.format(url=hook.url))
        (message,) = await told(notifier, hook, 1)
        body = Webhook(KEY).verify(message.body, message.headers)
        assert body["type"] == "plan.waiting"
        (about,) = body["alerts"]
        assert about["plan_id"] == handle.plan_id
        assert about["digest"] == status.digest[:12]
        assert "<!channel>" not in about["goal"]
        with pytest.raises(WebhookVerificationError):
            Webhook(KEY).verify(message.body + b" ", message.headers)
        # another process starts where this one is: Temporal has the workflow, so nothing is sent again
        again = Notifier(airlock.client, parse_config(HOOK.format(url=hook.url)), lambda *_: None)
        assert await again.look() == ()
        assert await notifier.look() == ()
        await approved(handle)
        assert (await handle.result()).state is State.COMPLETED
        assert len(hook.received) == 1


async def test_a_receiver_that_fails_is_tried_again_under_the_same_id(airlock_with, plan, notifying):
    airlock = await airlock_with()
    async with web_receiver("500", "close", "429:1", "503") as hook:
        await awaiting(await airlock.submit(plan(step("a", "put", key="k"))))
        notifier = await notifying(airlock, HOOK.format(url=hook.url))
        await told(notifier, hook, 1)
        assert [each.status for each in hook.received] == [500, 0, 429, 503, 200]
        assert len({each.headers["webhook-id"] for each in hook.received}) == 1
        stamps = [int(each.headers["webhook-timestamp"]) for each in hook.received]
        assert stamps[3] - stamps[2] >= 1  # the second that the receiver asked for


async def test_what_is_given_up_is_listed_and_sent_again(airlock_with, plan, notifying):
    airlock = await airlock_with()
    async with web_receiver("500", "500", "404") as hook:
        await awaiting(await airlock.submit(plan(step("a", "put", key="k"))))
        notifier = await notifying(airlock, HOOK.format(url=hook.url) + "attempts = 2")
        await notifier.look()
        (letter,) = await given_up(airlock, 1)
        assert (letter.receiver, letter.kind) == ("hook", "waiting")
        assert letter.why.startswith("the message was answered 500")
        assert await notifier.look() == ()  # a dead letter is not sent again by itself
        await resend(airlock.client, letter.id)
        await until(lambda: len(hook.received) == 3)  # 404 is final
        assert "404" in (await given_up(airlock, 1))[0].why
        await resend(airlock.client, letter.id)
        await until(lambda: hook.taken)
        await given_up(airlock, 0)
        with pytest.raises(AirlockError, match="no dead letter"):
            await resend(airlock.client, letter.id)


async def test_a_receiver_that_hangs_holds_up_no_plan_and_no_other_receiver(airlock_with, plan, notifying):
    airlock = await airlock_with()
    async with web_receiver(*["hang"] * 50) as hanging, web_receiver() as hook:
        config = HOOK.format(url=hook.url) + HOOK.format(url=hanging.url).replace("notify.hook", "notify.lost")
        handles = [await airlock.submit(plan(step("a", "put", key=f"k{number}"))) for number in range(8)]
        for handle in handles:
            await awaiting(handle)
        notifier = await notifying(airlock, config)
        await told(notifier, hook, 8)
        await until(lambda: len(hanging.received) >= 5)
        for handle in handles:
            await approved(handle)
            assert (await handle.result()).state is State.COMPLETED
        assert not hanging.taken
        hanging.let_go.set()


async def test_what_no_longer_holds_is_not_sent(airlock_with, plan, notifying):
    airlock = await airlock_with()
    async with web_receiver("503") as hook:
        handle = await airlock.submit(plan(step("a", "put", key="k")))
        await awaiting(handle)
        notifier = await notifying(airlock, HOOK.format(url=hook.url).replace('"0.1s"', '"3s"'))
        await notifier.look()
        await until(lambda: hook.received)
        await approved(handle)
        await handle.result()
        await until(lambda: any("no longer holds" in how for _, how in notifier.said))
        assert len(hook.received) == 1


async def test_every_other_kind_reaches_its_receiver(airlock_with, plan, notifying):
    airlock = await airlock_with()
    async with web_receiver() as hook:
        notifier = await notifying(airlock, HOOK.format(url=hook.url))
        doubtful = plan(step("mail", "send", to="jo", agent="crm"))
        WORLD.trouble[(doubtful["plan_id"], "mail")] = ["lost"]
        stuck = plan(step("a", "put", key="k"), step("b", "put", ("a",), key="l"))
        WORLD.trouble[(stuck["plan_id"], "b")] = ["fail"]
        WORLD.undo_trouble[(stuck["plan_id"], "a")] = 100
        undone = plan(step("a", "put", key="k"), step("b", "put", ("a",), key="l"))
        WORLD.trouble[(undone["plan_id"], "b")] = ["fail"]
        for document in (doubtful, stuck, undone):
            await approved(await airlock.submit(document))
        locked = await airlock.submit(plan(step("a", "put", key="k")))
        await awaiting(locked)
        await locked.decide("lock", by="olga", reason="wait for the audit")
        await LiveGate(airlock.client).lock("olga", "a bad deploy")

        kinds = {"plan.in_doubt", "plan.parked", "plan.rolled_back", "plan.locked", "system.system_locked"}
        await looking(notifier, lambda: kinds <= set(types(hook)))
        about = {each.json["type"]: each.json["alerts"][0] for each in hook.taken}
        assert about["plan.in_doubt"]["parked"] == ["mail"]
        assert about["plan.parked"]["plan_id"] == stuck["plan_id"]
        assert about["plan.rolled_back"]["plan_id"] == undone["plan_id"]
        assert about["plan.rolled_back"]["undone"] > 0
        assert about["plan.locked"]["why"].endswith("wait for the audit")
        assert (about["system.system_locked"]["by"], about["system.system_locked"]["scope"]) == ("olga", None)


async def test_escalation_reaches_the_next_receiver_and_a_digest_tells_all_at_once(airlock_with, plan, notifying):
    airlock = await airlock_with()
    async with web_receiver() as hook, web_receiver() as boss, web_receiver() as digest:
        first = 'events = ["waiting"]\nescalate = { after = "1s", to = "boss" }\n'
        second = HOOK.format(url=boss.url).replace("notify.hook", "notify.boss") + "events = []\n"
        third = HOOK.format(url=digest.url).replace("notify.hook", "notify.digest") + 'events = ["waiting"]\n'
        handles = [await airlock.submit(plan(step("a", "put", key=f"k{number}"))) for number in range(3)]
        for handle in handles:
            await awaiting(handle)
        notifier = await notifying(airlock, HOOK.format(url=hook.url) + first + second + third + 'digest = { every = "1m" }')
        await told(notifier, boss, 3)
        assert types(hook) == ["plan.waiting"] * 3
        assert {alert["escalated"] for each in hook.taken for alert in each.json["alerts"]} == {False}
        assert {alert["escalated"] for each in boss.taken for alert in each.json["alerts"]} == {True}

        def seen():
            return {alert["plan_id"] for each in digest.taken for alert in each.json["alerts"]}

        # the end of a minute may fall between the plans
        await looking(notifier, lambda: seen() == {handle.plan_id for handle in handles})
        assert types(digest)[0] == "digest"


async def test_two_processes_send_one_message_which_teams_takes_as_a_card(airlock_with, plan, notifying, monkeypatch):
    airlock = await airlock_with()
    async with web_receiver("202") as teams:
        monkeypatch.setenv("AIRLOCK_SECRET_TEAMS", teams.url)
        config = '[notify.teams]\nkind = "teams"\nurl = { "$secret" = "TEAMS" }\nevents = ["waiting"]\n'
        await awaiting(await airlock.submit(plan(step("a", "put", key="k"))))
        one, other = await notifying(airlock, config), Notifier(airlock.client, parse_config(config), lambda *_: None)

        async def started():
            return [each for found in await asyncio.gather(one.look(), other.look()) for each in found]

        assert len(await until(started)) == 1
        await until(lambda: teams.received)
        assert teams.received[0].json["attachments"][0]["content"]["type"] == "AdaptiveCard"
        assert await started() == []
        (history,) = [
            await airlock.client.get_workflow_handle(each.id).fetch_history()
            async for each in airlock.client.list_workflows(f"WorkflowType = '{names.NOTIFY_WORKFLOW}'")
        ]
        # the next version of the process takes up what this one has begun
        await Replayer(workflows=[NotifyWorkflow], workflow_runner=runner(), data_converter=DATA_CONVERTER).replay_workflow(
            history
        )


async def test_a_dead_letter_is_seen_and_sent_again_from_the_command_line(airlock_with, plan, notifying):
    airlock = await airlock_with()
    async with web_receiver("401") as hook:
        await awaiting(await airlock.submit(plan(step("a", "put", key="k"))))
        notifier = await notifying(airlock, HOOK.format(url=hook.url))
        await notifier.look()
        await given_up(airlock, 1)
        (letter,) = json.loads(await command(airlock, "failed", "--json"))["failed"]
        assert letter["why"].startswith("the message was answered 401")
        assert letter["id"] in await command(airlock, "resend", letter["id"])
        await until(lambda: hook.taken)
        assert "there is no dead letter" in await command(airlock, "resend", "plan-p1")


async def command(airlock, *arguments):
    """Run a command of messages against the namespace of an Airlock, and return all that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "airlock", "notify", *arguments, env=environment(airlock),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    return said.decode()


def environment(airlock):
    return {
        **os.environ,
        "TEMPORAL_ADDRESS": airlock.client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": airlock.client.namespace,
        "AIRLOCK_SECRET_HOOK": KEY,
    }


async def test_mail_goes_to_those_asked_once_under_one_message_id(airlock_with, plan, notifying, tmp_path):
    airlock = await airlock_with()
    async with mail_receiver(tmp_path) as port:
        config = f"""
        [policy]
        approvers = ["alice", "bob", "rita"]
        [notify.desk]
        kind = "email"
        to = {{ alice = "alice@example.com", rita = "rita@example.com", olga = "olga@example.com" }}
        events = ["waiting"]
        link = "https://console.example.com/plans/{{plan_id}}"
        pause = "0.1s"
        attempts = 3
        [settings.smtp]
        host = "127.0.0.1"
        port = {port}
        sender = "Airlock <airlock@example.com>"
        starttls = false
        """
        handle = await airlock.submit(plan(step("a", "put", key="k"), goal="<b>Pay</b> evil.test/x"))
        await awaiting(handle)
        notifier = await notifying(airlock, config)
        await notifier.look()
        (mail,) = await until(lambda: read_mailbox(tmp_path))
        assert mail["to"] == ["alice@example.com"]
        assert mail["message_id"].startswith("<notify-desk-")
        assert mail["message_id"].endswith("@example.com>")
        assert mail["headers"]["Content-Type"].startswith("multipart/alternative")
        assert "evil.test" not in mail["body"]
        assert f"https://console.example.com/plans/{handle.plan_id}" in mail["body"]


async def test_a_mail_whose_answer_was_lost_comes_again_under_its_message_id(airlock_with, plan, notifying, tmp_path):
    airlock = await airlock_with()
    async with mail_receiver(tmp_path) as port:
        config = f"""
        [notify.desk]
        kind = "email"
        to = {{ alice = "alice@dropped.test" }}
        events = ["waiting"]
        pause = "0.1s"
        attempts = 2
        [settings.smtp]
        host = "127.0.0.1"
        port = {port}
        sender = "airlock@example.com"
        starttls = false
        """
        await awaiting(await airlock.submit(plan(step("a", "put", key="k"))))
        notifier = await notifying(airlock, config)
        await notifier.look()
        mails = await until(lambda: len(found := read_mailbox(tmp_path)) == 2 and found)
        assert len({mail["message_id"] for mail in mails}) == 1


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


@pytest.mark.slow
async def test_a_process_that_is_killed_sends_each_message_under_one_id(airlock_with, plan, tmp_path):
    airlock = await airlock_with()
    async with web_receiver("hang", "hang") as hook:
        handles = [await airlock.submit(plan(step("a", "put", key=f"k{number}"))) for number in range(6)]
        for handle in handles:
            await awaiting(handle)
        config = tmp_path / "airlock.toml"
        config.write_text(
            HOOK.format(url=hook.url).replace("timeout = 60", "timeout = 5") + 'events = ["waiting"]\n', encoding="utf-8"
        )
        run = [sys.executable, "-m", "airlock", "notify", "run", "--every", "0.2s", "--config", str(config)]
        first = Process(run, tmp_path / "first.log", environment(airlock))
        try:
            await until(lambda: len(hook.received) >= 2)
        finally:
            first.kill()
        second = Process(run, tmp_path / "second.log", environment(airlock))
        try:
            await until(lambda: len({each.headers["webhook-id"] for each in hook.taken}) == 6, seconds=400)
        finally:
            second.kill()
        by_plan = {}
        for each in hook.received:
            by_plan.setdefault(each.json["alerts"][0]["plan_id"], set()).add(each.headers["webhook-id"])
        assert sorted(by_plan) == sorted(handle.plan_id for handle in handles)
        assert all(len(ids) == 1 for ids in by_plan.values())
