"""The room decides nothing, by its source: of all that a plan, a gate or Temporal takes, it sends two messages."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import airlock.mcp
from airlock.base.errors import ConfigError, PlanError
from airlock.cli.app import app
from airlock.mcp.masking import HIDDEN, MAX_VALUE, bounded, masked
from airlock.mcp.proposals import examined
from airlock.mcp.tokens import add_token, agent_of, read_tokens

ROOM = Path(airlock.mcp.__file__).parent
SENDS = {
    "signal", "execute_update", "start_update", "start_workflow", "execute_workflow", "signal_with_start", "terminate",
    "cancel_workflow", "lock", "unlock", "reset", "get_async_activity_handle",
}  # fmt: skip
"""Methods by which a client of Temporal or of Airlock changes something."""


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(ROOM.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield node.func.attr, node


def test_of_all_messages_it_sends_the_withdrawal_and_the_amendment_of_the_agent() -> None:
    found = list(calls())
    assert [name for name, _ in found if name in SENDS] == []
    (decision,) = [node for name, node in found if name == "decide"]
    assert ast.literal_eval(decision.args[0]) == "abort"
    fields = {keyword.arg: keyword.value for keyword in decision.keywords}
    assert set(fields) == {"by", "reason", "withdrawn"}
    assert ast.literal_eval(fields["withdrawn"]) is True
    (amendment,) = [
        node for name, node in found if name == "amend" and any(keyword.arg == "by" for keyword in node.keywords)
    ]
    by = next(keyword.value for keyword in amendment.keywords if keyword.arg == "by")
    assert isinstance(by, ast.Name)
    assert by.id == "agent"


def test_it_imports_nothing_that_decides_or_holds_keys() -> None:
    names = [
        node.module
        for path in ROOM.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    ]
    closed = ("live_gate", "undo", "keyring", "workflows", "activities", "worker", "cli")
    assert [name for name in names if set(name.split(".")) & set(closed)] == []


def test_no_secret_is_named_however_deep() -> None:
    value = {"a": [{"b": {"$secret": "VAULT"}}, "key (secret VAULT as base64 0:9)!"], "c": 1}
    assert masked(value) == {"a": [{"b": {"$secret": HIDDEN}}, f"key {HIDDEN}!"], "c": 1}
    assert bounded("x" * 10) == "x" * 10
    assert "left_out" in bounded("x" * MAX_VALUE)


def test_the_same_content_is_the_same_plan_of_this_agent() -> None:
    plan = {"steps": [{"id": "a", "tool": "t", "confidence": 0.9}]}
    first, again, other = examined(plan, "claude", None), examined(dict(plan), "claude", None), examined(plan, "gpt", None)
    assert first.plan.plan_id == again.plan.plan_id
    assert first.plan.plan_id.startswith("claude-")
    assert other.plan.plan_id.startswith("gpt-")
    assert (first.plan.requested_by, first.plan.steps[0].agent) == ("claude", "claude")
    assert examined({**plan, "goal": "else"}, "claude", None).plan.plan_id != first.plan.plan_id
    for odd in ([], "plan", None, {"steps": 7}, {"steps": [7]}, {"steps": [{"id": ["x"], "agent": {}}]}):
        with pytest.raises(PlanError):
            examined(odd, "claude", None)


def test_tokens_are_known_by_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    mine, others = add_token(path, "claude"), add_token(path, "a gpt")
    known = read_tokens(path)
    assert (agent_of(mine, known), agent_of(others, known), agent_of(mine + "x", known)) == ("claude", "a gpt", None)
    assert mine not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="not people"):
        add_token(path, "airlock")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="other users may write it"):
        read_tokens(path)
    path.chmod(0o600)
    for wrong in ("claude\n", "sha256:12 claude\n", "\n"):
        path.write_text(wrong)
        with pytest.raises(ConfigError):
            read_tokens(path)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airlock.cli.mcp.find_spec", lambda _: None)
    done = CliRunner().invoke(app, ["mcp", "--agent", "claude", "--json"])
    assert done.exit_code == 1
    assert "pip install 'airlock-temporal[mcp]'" in json.loads(done.stdout)["error"]
