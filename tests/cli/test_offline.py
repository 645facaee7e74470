"""Commands that need no server: check and tools; and how every command speaks when there is none."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast, get_origin

import pytest
from temporalio.service import RPCError, RPCStatusCode
from typer.testing import CliRunner

from airlock.cli.app import Commands, app
from airlock.cli.approve import to_be_signed
from airlock.cli.check import examine_files
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
from tests.cli.conftest import NO_SERVER, new_key, note_plan, run_starter
from tests.command_lines import starter_commands, worker_command

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CONFIG = str(EXAMPLES.parent / "airlock.toml")


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_check_is_silent_about_a_good_plan_but_shows_the_ceilings() -> None:
    done = invoke("check", str(EXAMPLES / "onboard_customer.json"), "--config", CONFIG)
    assert done.exit_code == 0
    assert "10 steps, 0 errors, 0 warnings" in done.stdout
    assert done.stdout.count("LIVE") == 10


def test_check_as_json_is_one_document(plan_file: Callable[..., str]) -> None:
    done = invoke("check", str(EXAMPLES / "unsure_agent.json"), "--config", CONFIG, "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["problems"] == []
    assert {step["id"]: step["ceiling"] for step in document["steps"]} == {
        "write": "LIVE", "tidy": "DRY_RUN", "tell": "MOCK",
    }  # fmt: skip
    assert "lacks permission email:send" in document["steps"][2]["reasons"][0]


def test_check_of_a_large_plan_tells_once_what_its_steps_share(plan_file: Callable[..., str]) -> None:
    plan = note_plan("large")
    plan["steps"] = [
        {"id": f"s{n}", "agent": "ops", "tool": "file_write", "args": {"path": f"{n}.md", "content": "x"},
         "confidence": 0.95 if n else 0.1}
        for n in range(150)
    ]  # fmt: skip
    done = invoke("check", plan_file(plan), "--config", CONFIG)
    assert "s1, s2 ... s149 (149 steps)" in " ".join(done.stdout.split()), done.stdout
    assert "s150" not in done.stdout
    assert done.stdout.count("confidence 0.10") == 1, "the step that differs has a row of its own"


def test_check_of_a_large_plan_prints_a_line_for_each_step_that_differs(plan_file: Callable[..., str]) -> None:
    plan = note_plan("large")
    plan["steps"] = [
        {"id": f"s{n:04}", "agent": "ops", "tool": "file_write", "args": {"path": f"{n}.md", "content": "x"},
         "confidence": 0.1, "after": [f"s{n - 1:04}"] if n else []}
        for n in range(2_000)
    ]  # fmt: skip
    path = Path(plan_file(plan))
    began = time.process_time()
    examine_files(path, None, Path(CONFIG), no_catalogue=False)
    examined = time.process_time() - began
    began = time.process_time()
    done = invoke("check", str(path), "--config", CONFIG)
    printed = time.process_time() - began - examined
    lines = [line.split(maxsplit=5) for line in done.stdout.splitlines() if line.startswith("s")]
    assert lines[0] == ["step", "tool", "agent", "risk", "ceiling", "why"]
    assert [line[0] for line in lines[1:]] == [f"s{n:04}" for n in range(2_000)]
    assert lines[-1][1:5] == ["file_write", "ops", "MEDIUM", "MOCK"]
    assert lines[-1][5].endswith("; depends on 's1998', which stays at MOCK")
    assert printed < 1.5 * examined, "a table of so many rows takes three times as long as the examination"


FINDINGS = [
    ({"tool": "file_writ"}, "steps.one.tool: no tool 'file_writ' in the catalogue", "did you mean 'file_write'?"),
    ({"args": {"path": 7, "content": "x"}}, "steps.one.args.path: is a whole number, not a text", "write a text in quotes"),
    ({"args": {"path": "a", "content": "x", "colour": 1}}, "steps.one.args.colour: ", "remove 'colour'"),
    ({"after": ["two"]}, "steps.one: depends on itself: one -> two -> one", "remove one of these dependencies"),
    ({"after": ["three"]}, "names step 'three', which is not in the plan", "name one of the plan's steps"),
    ({"args": {"path": "a", "content": {"$ref": "gone.text"}}}, "args.content: names step 'gone'", "did you mean 'one'?"),
    (
        {"args": {"path": "a", "content": {"$ref": "two.["}}},
        "is not a plain path",
        'write {"$ref": "<step>.<path>"}',
    ),
    ({"confidence": 7}, "steps.one.confidence: ", "write a number from 0.0 to 1.0"),
    ({"colour": "red"}, "steps.one.colour: ", "remove 'colour'"),
]


@pytest.mark.parametrize(("change", "message", "fix"), FINDINGS)
def test_every_error_names_the_place_and_the_fix(
    change: dict[str, Any], message: str, fix: str, plan_file: Callable[..., str]
) -> None:
    plan = note_plan("findings")
    plan["steps"][0] |= change
    done = invoke("check", plan_file(plan), "--config", CONFIG)
    assert done.exit_code == 1
    said = done.stdout + done.stderr
    assert message in said
    assert f"  fix: {fix}" in said
    as_json = invoke("check", plan_file(plan), "--config", CONFIG, "--json")
    assert as_json.exit_code == 1
    document = json.loads(as_json.stdout)
    assert document["error"].startswith("the plan cannot be accepted")
    assert any(message.split(": ")[-1] in problem["where"] + ": " + problem["message"] for problem in document["problems"])


def test_advice_is_no_error(plan_file: Callable[..., str]) -> None:
    plan = note_plan("advised")
    plan["steps"][0] |= {"tool": "send_email", "args": {"to": "a@b.test", "subject": "s", "body": "sk-live-123"}}
    done = invoke("check", plan_file(plan), "--config", CONFIG)
    assert done.exit_code == 0
    assert "warning: steps.one: is irreversible and comes before reversible two" in done.stdout
    assert "warning: steps.one.args.body: looks like a secret in clear text" in done.stdout
    assert done.stdout.count("  fix: ") == 3  # of both warnings, and of the permission that the agent lacks


def test_a_plan_that_is_too_large_is_said_to_be(plan_file: Callable[..., str]) -> None:
    plan = note_plan("large")
    plan["steps"][0]["args"]["content"] = "x" * 1_600_000
    done = invoke("check", plan_file(plan), "--no-catalogue")
    assert done.exit_code == 1
    assert "more than the 1,500,000 (300,000 compressed) one plan may have" in done.stderr


def test_without_a_catalogue_only_the_structure_is_looked_at(plan_file: Callable[..., str]) -> None:
    plan = note_plan("structure")
    plan["steps"][0]["tool"] = "unheard_of"
    done = invoke("check", plan_file(plan), "--no-catalogue")
    assert done.exit_code == 0
    assert "structure only" in done.stdout


def test_an_older_plan_takes_its_validation(plan_file: Callable[..., str]) -> None:
    older, validations = str(EXAMPLES / "assignments.json"), str(EXAMPLES / "validations.json")
    plain = json.loads(invoke("check", older, "--no-catalogue", "--json").stdout)
    validated = json.loads(invoke("check", older, "--validation", validations, "--no-catalogue", "--json").stdout)
    assert plain["digest"] != validated["digest"]
    wrong = invoke("check", older, "--validation", plan_file({"other": 1}), "--no-catalogue")
    assert wrong.exit_code == 1
    assert "validations.validation_id: is missing" in wrong.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "is not a JSON object"), (None, "No such file or directory")],
)
def test_an_unreadable_file_is_said_to_be(content: str | None, message: str, plan_file: Callable[..., str]) -> None:
    path = "no/such/plan.json" if content is None else plan_file(content)
    done = invoke("check", path)
    assert done.exit_code == 1
    assert message in done.stderr
    assert "fix: " in done.stderr


def test_a_wrong_configuration_names_its_key(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text("[policy]\nconfidence_treshold_for_live = 0.9\n")
    done = invoke("tools", "--config", str(config), "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["problems"][0]["where"] == "policy.confidence_treshold_for_live"
    missing = invoke("tools", "--config", str(tmp_path / "none.toml"))
    assert missing.exit_code == 1
    assert "No such file or directory" in missing.stderr


def test_the_environment_names_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "small.toml"
    config.write_text('[catalogue]\nmodules = ["tools.compute"]\n')
    monkeypatch.setenv("AIRLOCK_CONFIG", str(config))
    names = [tool["tool"] for tool in json.loads(invoke("tools", "--json").stdout)["tools"]]
    assert names == ["math_compute"]


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"plan_id": "a", "plan_id": "b"}', "the key 'plan_id' is repeated"),
        ('{"plan_id": ' + "9" * 5_000 + "}", "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ('{"plan_id": "deep", "requested_by": "r", "steps": ' + "[" * 900 + "]" * 900 + "}", "plan cannot be accepted"),
    ],
    ids=["repeated key", "huge number", "no end", "deep"],
)
def test_odd_files_are_named_without_a_traceback(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text)
    done = invoke("check", str(path), "--no-catalogue")
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


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


def test_a_missing_permission_comes_with_the_line_that_grants_it() -> None:
    done = invoke("check", str(EXAMPLES / "unsure_agent.json"), "--config", CONFIG)
    assert "conflict: PERMISSION -> DOWNGRADE: agent 'researcher' lacks permission email:send" in done.stdout
    (fix,) = (line for line in done.stdout.splitlines() if line.startswith("  fix: "))
    assert "in airlock.toml, in the section [policy.agents.researcher]: permissions = [" in fix
    assert '"email:send"]' in fix
    document = json.loads(invoke("check", str(EXAMPLES / "unsure_agent.json"), "--config", CONFIG, "--json").stdout)
    assert document["grants"] == {"tell": fix.removeprefix("  fix: ")}


def test_one_is_no_plural(plan_file: Callable[..., str]) -> None:
    document = note_plan("one")
    document["steps"] = [{**document["steps"][0], "tool": "file_writ"}]
    done = invoke("check", plan_file(document), "--config", CONFIG)
    assert "1 step, 1 error, 0 warnings" in done.stdout


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
