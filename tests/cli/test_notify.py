"""`airlock notify test`, and what `airlock check` says of receivers: from the command line, with real receivers."""

import asyncio
import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.workflows.receivers import mail_receiver, web_receiver

ROOT = Path(__file__).resolve().parents[2]
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
PLAN = {
    "plan_id": "p1",
    "goal": "test",
    "requested_by": "alice",
    "steps": [{"id": "a", "agent": "crm", "tool": "math_compute", "args": {"expression": "1"}, "confidence": 0.9}],
}


async def airlock(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command with the airlock.toml of a folder, and return its exit code and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "airlock", *arguments, "--config", str(folder / "airlock.toml"), cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, said.decode()


def written(folder: Path, text: str) -> Path:
    (folder / "airlock.toml").write_text(text, encoding="utf-8")
    return folder


async def test_each_receiver_answers_and_says_who_is_asked(tmp_path: Path) -> None:
    async with web_receiver() as hook, web_receiver("403") as chat, mail_receiver(tmp_path / "mail") as port:
        folder = written(
            tmp_path,
            f"""
            [policy]
            approvers = ["alice", "bob"]
            [notify.hook]
            kind = "webhook"
            url = "{hook.url}"
            secret = {{ "$secret" = "HOOK" }}
            [notify.chat]
            kind = "slack"
            url = {{ "$secret" = "CHAT" }}
            people = ["mallory"]
            [notify.desk]
            kind = "email"
            to = {{ bob = "bob@example.com" }}
            [settings.smtp]
            host = "127.0.0.1"
            port = {port}
            sender = "airlock@example.com"
            starttls = false
            """,
        )
        secrets = {"AIRLOCK_SECRET_HOOK": KEY, "AIRLOCK_SECRET_CHAT": f"{chat.url}/T0PATHSECRET"}
        # no Temporal answers there, and none is needed
        code, said = await airlock(folder, "notify", "test", "--json", TEMPORAL_ADDRESS="127.0.0.1:1", **secrets)
        assert code == 1
        document = json.loads(said)
        rows: dict[str, Any] = {row["receiver"]: row for row in document["receivers"]}
        assert {name: row["taken"] for name, row in rows.items()} == {"hook": True, "chat": False, "desk": True}
        assert rows["hook"]["asked"] == ["alice", "bob"]
        assert rows["desk"]["asked"] == ["bob"]
        assert "is never asked" in rows["chat"]["note"]
        assert "403" in rows["chat"]["answer"]
        assert "PATHSECRET" not in said
        body = Webhook(KEY).verify(hook.taken[0].body, hook.taken[0].headers)
        assert (body["type"], body["alerts"]) == ("test", [])
        assert "[TEST]" in (tmp_path / "mail" / "mailbox.jsonl").read_text()

        code, said = await airlock(folder, "notify", "test", "hook", **secrets)
        assert (code, len(hook.taken), len(chat.received)) == (0, 2, 1)
        assert "hook (webhook): taken" in said


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        ("", ["test"], "there is no receiver"),
        ('[notify.desk]\nkind = "email"\nto = { a = "a@b.test" }', ["test"], "settings.smtp.host"),
        (
            '[notify.chat]\nkind = "slack"\nurl = { "$secret" = "CHAT" }\nzone = "Mars/Olympus"',
            ["test"],
            "no time zone of this machine",
        ),
        ('[notify.chat]\nkind = "slack"\nurl = { "$secret" = "CHAT" }', ["test", "chatt"], "did you mean 'chat'?"),
        ('[notify.chat]\nkind = "slack"\nurl = { "$secret" = "CHAT" }', ["test"], "no secret 'CHAT'"),
        ('[notify.chat]\nkind = "slack"\nurl = { "$secret" = "PLAIN" }', ["test"], "must begin with https://"),
    ],
)
async def test_a_receiver_that_cannot_work_is_told_with_its_fix(
    tmp_path: Path, text: str, arguments: list[str], told: str
) -> None:
    code, said = await airlock(
        written(tmp_path, text), "notify", *arguments, AIRLOCK_SECRET_PLAIN="http://chat.example.com/T0"
    )
    assert code in (1, 2)
    assert told in said
    assert "T0" not in said


async def test_check_tells_which_receiver_is_not_asked_about_a_plan(tmp_path: Path) -> None:
    text = """
    [policy]
    approvers = ["alice", "bob"]
    [notify.first]
    kind = "slack"
    url = { "$secret" = "CHAT" }
    people = ["alice"]
    [notify.second]
    kind = "slack"
    url = { "$secret" = "CHAT" }
    people = ["bob"]
    """
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    _, said = await airlock(written(tmp_path, text), "check", "plan.json")
    assert "receiver first is not asked about this plan" in said
    assert "receiver second" not in said
