"""Messages reach their receivers, signed and once: every kind, mail, escalation, a digest, from any process."""

import asyncio

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from temporalio.worker import Replayer

from airlock.admission.configuration.config import parse_config
from airlock.base import names
from airlock.client.live_gate import LiveGate
from airlock.notify.delivery import NotifyWorkflow
from airlock.notify.service import Notifier, runner
from airlock.plans.state import State
from airlock.temporal.connection import DATA_CONVERTER
from sandbox.smtp import read_mailbox
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.notifications import HOOK, KEY, looking, told, types
from tests.workflows.receivers import mail_receiver, web_receiver
from tests.workflows.world import WORLD


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    monkeypatch.setenv("AIRLOCK_SECRET_HOOK", KEY)


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
