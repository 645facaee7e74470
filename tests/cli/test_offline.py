"""Commands without a server: bad usage and a server that is not there are named in plain words; some need none."""

import json
import os
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast, get_origin

import pytest
from temporalio.service import RPCError, RPCStatusCode
from typer.testing import CliRunner

from airlock.cli.app import Commands, app
from airlock.cli.approve import to_be_signed
from airlock.cli.decisions import me
from airlock.cli.output import Refusal
from airlock.cli.signing import Signing
from airlock.client import PlanHandle
from airlock.plans.state import State
from airlock.run.decisions.signature import signature_refusal
from airlock.run.messages import Approve
from airlock.run.presentation.views import PreviewView
from airlock.temporal.connection import refusal_of
from airlock.worker.command import app as worker_app
from tests.cli.conftest import CONFIG, EXAMPLES, NO_SERVER, invoke, new_key, run_starter
from tests.command_lines import starter_commands, worker_command


def test_tools_shows_every_contract() -> None:
    done = invoke("tools", "--config", CONFIG)
    assert done.exit_code == 0
    assert "send_email" in done.stdout
    assert "irreversible" in done.stdout
    document = json.loads(invoke("tools", "--config", CONFIG, "--json").stdout)
    mail = next(tool for tool in document["tools"] if tool["tool"] == "send_email")
    assert (mail["risk"], mail["timeout"], mail["has_dry_run"]) == ("HIGH", 25.0, True)
    assert set(mail["arguments"]["required"]) == {"to", "subject", "body"}


@pytest.mark.parametrize(
    "arguments",
    [(), ("unknown",), ("check", "a", "b"), ("lock", "plan"), ("resolve", "plan", "step", "perhaps", "--reason", "r"),
     ("list", "--state", "NOWHERE"), ("list", "--limit", "0"), ("show", "a", "b"), ("tools", "--nothing")],
)  # fmt: skip
def test_bad_usage_exits_2(arguments: tuple[str, ...]) -> None:
    assert invoke(*arguments).exit_code == 2
    as_json = invoke(*arguments, "--json")
    assert as_json.exit_code == 2
    assert json.loads(as_json.stdout)["error"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("list", "--state", "nowhere"), "there is no state 'nowhere': use one of: MOCK, DRY_RUN, AWAITING_APPROVAL, LIVE"),
     (("list", "--state", "awaiting-aproval"), "did you mean 'AWAITING_APPROVAL'?"),
     (("resolve", "plan", "step", "perhaps", "--reason", "r"), "'perhaps' is not one of: happened, did_not_happen, retry"),
     (("resolve", "plan", "step", "hapened", "--reason", "r"), "Did you mean 'happened'?"),
     (("list", "--limit", "0"), "'0' is not a whole number from 1 to 10,000"),
     (("list", "--limit", "20000"), "'20000' is not a whole number from 1 to 10,000"),
     (("list", "--limit", "many"), "'many' is not a whole number from 1 to 10,000"),
     (("lock", "--reason", "r", "--timeout", "-1"), "'-1' is not a number of at least 0"),
     (("keys", "new", "--role", "liev"), "there is no role 'liev': did you mean 'live'?"),
     (("undo", "a-plan"), "No such command 'undo'. Did you mean 'rollback'?"),
     (("status", "a-plan"), "No such command 'status'. Did you mean 'show'?"),
     (("health", "--window", "week"), "'week' is not one of: hour, day, all")],
)  # fmt: skip
def test_bad_usage_names_what_may_be_written(arguments: tuple[str, ...], said: str) -> None:
    on_terminal = " ".join(invoke(*arguments).stderr.split())
    assert said in on_terminal
    assert said in json.loads(invoke(*arguments, "--json").stdout)["error"]
    assert "Value error" not in on_terminal


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--role", "nobody"), "'nobody' is not one of: all, orchestrate, rehearse, live"),
     (("--role", "rehearsal"), "Did you mean 'rehearse'?"),
     (("--log-level", "warnings"), "'warnings' is not one of: DEBUG, INFO, WARNING, ERROR. Did you mean 'WARNING'?"),
     (("--max-calls", "0"), "'0' is not a whole number of at least 1"),
     (("--metrics-address", "x"), "'x' is not an address to listen on")],
)  # fmt: skip
def test_bad_usage_of_a_worker_names_what_may_be_written(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(worker_app, arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert "Value error" not in done.stderr


def chosen_and_counted(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each option that takes a number or one of some values, with the command that has it."""
    for name, each in getattr(command, "commands", {}).items():
        yield from chosen_and_counted(command.load(name) if isinstance(command, Commands) else each, (*path, name))
    for option in command.params:
        kind = option.type_descriptor.annotation
        if kind in (int, float) or (isinstance(kind, type) and issubclass(kind, Enum)) or get_origin(kind) is Literal:
            yield path, option


def test_no_option_answers_in_the_words_of_a_library() -> None:
    asked = 0
    for program, root in ((app, starter_commands()), (worker_app, worker_command())):
        for path, option in chosen_and_counted(root):
            if not option.opts[0].startswith("-"):
                continue  # an argument: the words of one are in the table above
            done = CliRunner().invoke(program, [*path, f"{option.opts[0]}=x"])
            assert (done.exit_code, "'x'" in done.stderr) == (2, True), (path, option.name)
            assert not re.search(r"Input should|Value error|unable to parse", done.stderr)
            asked += 1
    assert asked >= 9


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("show", "p"), ("watch",), ("approve", "p", "--digest", "0" * 12), ("lock", "p", "--reason", "r"),
     ("start", str(EXAMPLES / "rehearse_only.json"))],
)  # fmt: skip
def test_without_a_server_it_says_so(arguments: tuple[str, ...]) -> None:
    environment = {**os.environ, **NO_SERVER}
    said = run_starter(*arguments, environment=environment)
    assert said.code == 1
    assert said.out == ""
    assert "Temporal does not answer at 127.0.0.1:1: Connection refused. Check TEMPORAL_ADDRESS" in said.err
    as_json = run_starter(*arguments, "--json", environment=environment)
    assert (as_json.code, as_json.err) == (1, "")
    assert set(as_json.json) == {"error", "problems"}


@pytest.mark.parametrize(
    ("address", "said"),
    [("http://127.0.0.1:1", "TEMPORAL_ADDRESS is a URL, 'http://127.0.0.1:1': write HOST:PORT, such as localhost:7233"),
     ("127.0.0.1", "The address names no port: write HOST:PORT."),
     ("no-such-host.invalid:7233", "at no-such-host.invalid:7233: failed to lookup address")],
)  # fmt: skip
def test_a_wrong_address_is_told_in_words(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    done = invoke("list")
    assert (done.exit_code, said in done.stderr) == (1, True), done.stderr
    assert "tonic" not in done.stderr


def test_a_namespace_that_is_not_there_names_the_setting() -> None:
    status = RPCStatusCode.NOT_FOUND
    assert "Check TEMPORAL_NAMESPACE" in refusal_of(RPCError("Namespace nope is not found.", status, b""))
    assert refusal_of(RPCError("busy.", RPCStatusCode.UNAVAILABLE, b"")) == "Temporal refused: busy"


class AnOlderPlan:
    """A plan that an earlier version admitted: it tells no nonce."""

    plan_id = "p"

    async def preview(self) -> PreviewView:
        return PreviewView(plan_id="p", state=State.AWAITING_APPROVAL, digest="ab" * 32, text="")

    async def status(self) -> SimpleNamespace:
        return SimpleNamespace(nonce="")


async def test_a_signature_fits_the_seal_it_names_and_no_other(tmp_path: Path) -> None:
    private, public = new_key()
    (tmp_path / "key").write_bytes(private)
    plan, by_key, digest = cast("PlanHandle", AnOlderPlan()), Signing(tmp_path / "key"), "ab" * 32
    approval, rest = await to_be_signed(plan, Approve(by="alice", digest=digest[:12]), by_key)
    assert not rest.wanted
    assert signature_refusal("p", approval, digest, [f"{public} alice"]) is None
    assert signature_refusal("p", approval, "cd" * 32, [f"{public} alice"]) is not None
    unsigned, rest = await to_be_signed(plan, Approve(by="alice", digest="cd" * 6), by_key)
    assert (unsigned.signature, rest.wanted) == (None, False)


@pytest.mark.parametrize("arguments", [("dev", "--folder"), ("keys", "new", "--folder"), ("init",)])
def test_a_file_in_the_place_of_a_folder_is_named_without_a_traceback(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = invoke(*arguments, str(tmp_path / "file" / "folder"))
    assert (done.exit_code, str(tmp_path / "file") in done.stderr) == (1, True), (done.stderr, done.exception)
    as_json = invoke(*arguments, str(tmp_path / "file" / "folder"), "--json")
    assert (as_json.exit_code, str(tmp_path / "file") in json.loads(as_json.stdout)["error"]) == (1, True)


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_name_does_not_stand_for_the_login_name(blank: str) -> None:
    """`--by "$ME"` with an unset variable must not let the login name decide."""
    with pytest.raises(Refusal, match="no name under it"):
        me(blank)
    assert me(" alice") == " alice"


def test_init_says_who_approves(tmp_path: Path) -> None:
    done = invoke("init", str(tmp_path / "new"))
    assert "approve first-plan --by YOUR-NAME" in done.stdout


def test_init_names_the_keys_as_they_lie_and_keeps_them_from_git(tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert f"{new}/.airlock/keys is secret" in invoke("init", str(new)).stdout
    assert (new / ".airlock" / ".gitignore").read_text() == "*\n"
    other = tmp_path / "other"
    (other / ".airlock").mkdir(parents=True)
    (other / ".airlock" / ".gitignore").write_text("keys\n")
    assert invoke("init", str(other)).exit_code == 0
    assert (other / ".airlock" / ".gitignore").read_text() == "keys\n"
