"""Receivers that fail, hang or lose an answer, and a process that is killed: each message keeps its id or is given up."""

import asyncio
import json
import sys

import pytest

from airlock.base.errors import AirlockError
from airlock.notify.dead_letters import resend
from airlock.plans.state import State
from sandbox.smtp import read_mailbox
from tests.processes.harness import Process
from tests.workflows.conftest import approved, awaiting, step, until
from tests.workflows.notifications import HOOK, KEY, environment, given_up, told
from tests.workflows.receivers import mail_receiver, web_receiver


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    monkeypatch.setenv("AIRLOCK_SECRET_HOOK", KEY)


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
