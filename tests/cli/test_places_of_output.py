"""The output of commands where it cannot go as it is: a terminal without UTF-8, a full disk, a stdout that is closed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devtools.environment import ROOT
from tests.cli.conftest import note_plan

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
FULL = Path("/dev/full")


def ran(*arguments: str, environment: dict[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "starter.py"), *arguments], cwd=ROOT, env={**os.environ, **(environment or {})},
        check=False, timeout=240, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
    )  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    """A plan with letters that a terminal without UTF-8 does not have."""
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(note_plan("foreign", goal="Pay \u0430lice \U0001f600")), encoding="utf-8")
    return str(path)


def test_a_terminal_without_utf_8_gets_what_it_lacks_as_escapes(foreign: str) -> None:
    said = ran("check", foreign, environment=ASCII)
    assert said.returncode == 0
    assert b"mixed: Cyrillic \\u0430 U+0430" in said.stdout + said.stderr
    in_json, as_usual = (ran("check", foreign, "--json", environment=each).stdout for each in (ASCII, {"PYTHONUTF8": "1"}))
    assert in_json.isascii()
    assert json.loads(in_json) == json.loads(as_usual)
    wrong = ran("list", "\u00e9", "--json", environment=ASCII)
    assert (wrong.returncode, wrong.stdout.isascii()) == (2, True)
    assert json.loads(wrong.stdout)["error"]


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("arguments", [("check",), ("check", "--json"), ("--help",)])
def test_output_that_a_full_disk_does_not_take_is_an_error(arguments: tuple[str, ...]) -> None:
    with FULL.open("wb") as full:
        said = ran(*arguments, stdout=full)
    assert said.returncode == 1
    assert said.stderr.decode() == "error: not all output was written: No space left on device\n"


def test_with_a_closed_stdout_the_exit_code_is_still_that_of_the_command() -> None:
    assert ran("check", preexec_fn=lambda: os.close(1)).returncode == 0
    assert ran("frobnicate", preexec_fn=lambda: os.close(1)).returncode == 2
