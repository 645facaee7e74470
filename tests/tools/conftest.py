"""A tool is called as a worker would call it; the systems it acts on are real processes, files and databases."""

import asyncio
import inspect
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from airlock.base.errors import SecretError
from airlock.plans.contract import Mode
from airlock.plans.own_steps import OwnSteps
from airlock.plans.tool import Tool
from airlock.plans.tool_call import Preview, ToolCall
from devtools import postgresql
from sandbox.database import create_database
from sandbox.processes import SandboxProcess, start
from tests.tools.postgresql import Postgres

SECRETS = {"GHL_TOKEN": "a-very-secret-token"}
JO = {"email": "jo@acme.test", "name": "Jo Doe", "phone": "+31105550100", "tags": ["new"]}


def _secret(name: str) -> str:
    if name not in SECRETS:
        raise SecretError(f"no secret {name!r}")
    return SECRETS[name]


class Runner:
    """Calls the functions of one tool under one idempotency key, with the settings given."""

    def __init__(self, tool: Tool, settings: dict[str, Any] | None = None, key: str = "plan-1/step-1") -> None:
        self.tool = tool
        self.key = key
        self.settings = tool.settings_model.model_validate(settings or {}) if tool.settings_model else None

    def call(self, mode: Mode = Mode.LIVE, **more: Any) -> ToolCall:
        values: dict[str, Any] = {
            "plan_id": "plan-1", "step_id": "step-1", "agent": "tester", "mode": mode,
            "idempotency_key": self.key, "settings": self.settings, "secret": _secret, **more,
        }  # fmt: skip
        return ToolCall(**values)

    async def mock(self, **args: Any) -> Any:
        return await self._run("mock", args, self.call(Mode.MOCK, settings=None, secret=_secret))

    async def dry_run(
        self, *, unknown: tuple[str, ...] = (), follows_writes: bool = False, after: Preview | None = None,
        refs: dict[str, str] | None = None, **args: Any,
    ) -> Preview:  # fmt: skip
        """Preview a call, behind the call of an earlier preview if one is given."""
        own = OwnSteps({"step-1": ("step-0",)})
        own.add("step-0", after.leaves if after else {})
        call = self.call(
            Mode.DRY_RUN,
            unknown=unknown,
            follows_writes=follows_writes,
            look_before=partial(own.before, "step-1"),
            refs=refs or {},
        )
        found = await self._run("dry_run", args, call)
        assert isinstance(found, Preview)
        return Preview.model_validate_json(found.model_dump_json())  # it crosses to the workflow and back

    async def live(self, call: ToolCall | None = None, **args: Any) -> Any:
        return await self._run("live", args, call or self.call())

    async def undo(self, token: Any, **args: Any) -> None:
        await self._run("compensate", args, self.call(undo=token))

    async def probe(self, call: ToolCall | None = None, **args: Any) -> Any:
        return await self._run("probe", args, call or self.call())

    async def _run(self, kind: str, args: dict[str, Any], call: ToolCall) -> Any:
        function = self.tool.live if kind == "live" else self.tool.functions[kind]
        model = self.tool.arguments.model_validate(args)
        if inspect.iscoroutinefunction(function):
            result = await function(model, call)
        else:
            result = await asyncio.to_thread(function, model, call)
        if kind in ("mock", "live"):
            assert self.tool.output.dump_python(self.tool.output.validate_python(result), mode="json") == result
        return result


@pytest.fixture(scope="session")
def crm_process() -> Iterator[SandboxProcess]:
    with start("crm", token=SECRETS["GHL_TOKEN"]) as process:
        yield process


class CrmWorld:
    """The CRM as it really is, seen past the tools."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    @property
    def settings(self) -> dict[str, Any]:
        return {"base_url": str(self._client.base_url), "location_id": "loc-1", "timeout": 60}

    def contacts(self) -> list[dict[str, Any]]:
        return list(self._client.get("/_sandbox/contacts").json()["contacts"])

    def requests(self, method: str) -> list[dict[str, Any]]:
        log = self._client.get("/_sandbox/log").json()["requests"]
        return [each for each in log if each["method"] == method]

    def accounts(self) -> list[dict[str, Any]]:
        return list(self._client.get("/_sandbox/accounts").json()["accounts"])

    def fault(self, **fault: Any) -> None:
        assert self._client.post("/_sandbox/faults", json=fault).status_code == 201

    def request(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {SECRETS['GHL_TOKEN']}", "Version": "2021-07-28"}
        answer = self._client.request(method, path, headers=headers, **more)
        assert answer.is_success, answer.text
        return answer.json()

    def add(self, **fields: Any) -> dict[str, Any]:
        return dict(self.request("POST", "/contacts/", json={"locationId": "loc-1", **fields})["contact"])


@pytest.fixture
def crm(crm_process: SandboxProcess) -> Iterator[CrmWorld]:
    with httpx.Client(base_url=crm_process.url, trust_env=False) as client:
        client.post("/_sandbox/reset")
        yield CrmWorld(client)


@pytest.fixture(scope="session")
def mail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SandboxProcess, Path]]:
    mailbox = tmp_path_factory.mktemp("mailbox")
    with start("smtp", mailbox=mailbox, slow_seconds=30) as process:
        yield process, mailbox


class Database:
    """An SQLite file, seen past the tools."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def settings(self) -> dict[str, Any]:
        return {"url": f"sqlite:///{self.path}", "busy_timeout": 0.2}

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as db, db:
            return db.execute(statement, values).fetchall()

    def rows(self, table: str = "accounts") -> list[tuple[Any, ...]]:
        return self.run(f"SELECT * FROM {table} ORDER BY 1")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    create_database(tmp_path / "demo.db")
    return Database(tmp_path / "demo.db")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    if postgresql.programs() is None:
        if postgresql.FOUND.exists():
            pytest.fail("make postgresql found a server, which is not there any more: run it again")
        pytest.skip("there is no PostgreSQL: install Debian's postgresql, or run make postgresql")
    with postgresql.server() as url:
        yield url


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Postgres]:
    with Postgres.connected(postgres_url) as database:
        yield database


@pytest.fixture(scope="session")
def runner() -> Callable[..., Runner]:
    return Runner


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty folder for the file tools."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def tree(root: Path) -> dict[str, Any]:
    """Return everything in the folder but the backups: bytes and modes of files, folders."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] != ".airlock":
            mode = stat.S_IMODE(path.lstat().st_mode)
            found[name] = "folder" if path.is_dir() else (path.read_bytes(), mode)
    return found


@pytest.fixture
def base(crm: Any) -> str:
    """Return the address of the CRM, which stands for any HTTP service."""
    return str(crm.settings["base_url"]).rstrip("/")


@pytest.fixture
def allowed(base: str) -> dict[str, Any]:
    """Return the settings under which the HTTP tools reach it."""
    return {"allow_hosts": base.removeprefix("http://"), "timeout": 60}
