"""The seconds that `dev` gives its worker."""

from pathlib import Path

from airlock.cli.dev import ready_within


def test_a_worker_that_asks_slow_servers_for_their_tools_is_waited_for(tmp_path: Path) -> None:
    config = tmp_path / "airlock.toml"
    slow = '[mcp.slow]\nurl = "http://127.0.0.1:9/mcp"\nconnect_timeout = 200.0\n'
    pinned = '[mcp.pinned]\nurl = "http://127.0.0.1:9/mcp"\nconnect_timeout = 300.0\ndefinitions = "pinned.json"\n'
    config.write_text(slow + pinned)
    assert ready_within(config) == ready_within(None) + 200
