"""The services as processes: ready line, stop, kill and restart, no orphans; and the demo's database."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.database import create_database
from sandbox.processes import ROOT, NotReady, Service, start

BODY = {"locationId": "loc-1", "email": "jo@acme.test"}
HEADERS = {"Authorization": "Bearer s3cret", "Version": "2021-07-28", "Idempotency-Key": "k"}


def command(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("service", ["crm", "smtp", "corpus"])
def test_one_ready_line_and_a_clean_exit(service: Service, number: int, tmp_path: Path) -> None:
    extra = ["--mailbox", str(tmp_path)] if service == "smtp" else []
    with command(service, "--port", "0", *extra) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = json.loads(process.stdout.readline())
        assert ready == {"ready": True, "service": service, "port": ready["port"]}
        with socket.create_connection(("127.0.0.1", ready["port"])):  # an open connection does not hold it up
            process.send_signal(number)
            assert process.wait(60) == 0
        assert process.stdout.read() == b""
        assert process.stderr.read() == b""


def test_a_request_in_progress_does_not_hold_up_the_exit() -> None:
    with start("crm") as crm, httpx.Client(base_url=crm.url, trust_env=False) as client:
        client.post("/_sandbox/faults", json={"path_prefix": "/page", "delay_seconds": 3_600})
        with pytest.raises(httpx.ReadTimeout):
            client.get("/page", timeout=httpx.Timeout(60, read=0.1))
        assert crm.stop(within=60) == 0


def test_a_killed_crm_goes_on_from_its_file(tmp_path: Path) -> None:
    state = tmp_path / "new" / "crm.sqlite"
    with start("crm", state=state) as crm:
        created = httpx.post(f"{crm.url}/contacts/", json=BODY, headers=HEADERS, trust_env=False)
        assert created.status_code == 201
        port = crm.port
        assert crm.kill() == -signal.SIGKILL
        assert not crm.running
    with start("crm", state=state, port=port) as crm:
        assert crm.port == port
        again = httpx.post(f"{crm.url}/contacts/", json=BODY, headers=HEADERS, trust_env=False)
        assert again.json() == created.json()
        assert again.headers["idempotent-replayed"] == "true"
        log = httpx.get(f"{crm.url}/_sandbox/log", trust_env=False).json()["requests"]
        assert [each["replayed"] for each in log] == [False, True]


def test_a_token_can_be_insisted_on() -> None:
    with start("crm", token="s3cret") as crm:
        right = httpx.post(f"{crm.url}/contacts/", json=BODY, headers=HEADERS, trust_env=False)
        wrong = httpx.get(f"{crm.url}/contacts/x", headers={**HEADERS, "Authorization": "Bearer other"}, trust_env=False)
    assert (right.status_code, wrong.status_code) == (201, 401)


def test_a_port_in_use_is_said_clearly() -> None:
    with start("corpus") as corpus, pytest.raises(NotReady, match=r"cannot listen on 127\.0\.0\.1:\d+"):
        start("corpus", port=corpus.port)


def test_a_service_that_does_not_start_is_reported_with_its_words() -> None:
    with pytest.raises(NotReady, match="--mailbox"):
        start("smtp")


def test_stop_and_kill_are_safe_to_repeat(tmp_path: Path) -> None:
    server = start("smtp", mailbox=tmp_path)
    assert server.url == f"smtp://127.0.0.1:{server.port}"
    assert [server.stop(), server.stop(), server.kill()] == [0, 0, 0]


def test_a_service_ends_with_the_process_that_started_it(eventually: Callable[..., None]) -> None:
    code = "from sandbox.processes import start; p = start('crm'); print(p.pid, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    eventually(lambda: not alive(pid))


def alive(pid: int) -> bool:
    """Return True unless the process is gone or waits for its parent to collect it."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_the_database_has_its_tables_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "demo.sqlite"
    create_database(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO accounts (contact_id, name, email, plan) VALUES ('c', 'n', 'e', 'p')")
        db.execute("INSERT INTO notes (subject, body) VALUES ('s', 'b')")
    create_database(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT * FROM accounts").fetchall() == [(1, "c", "n", "e", "p", 1)]
        assert db.execute("SELECT * FROM notes").fetchall() == [(1, "s", "b", 1)]
        columns: list[Any] = db.execute("PRAGMA table_info(accounts)").fetchall()
        assert [each[1] for each in columns] == ["id", "contact_id", "name", "email", "plan", "row_version"]
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("INSERT INTO accounts (email) VALUES ('e')")
