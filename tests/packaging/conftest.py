"""The distribution as a user gets it: built from the files that git knows, installed beside nothing of the checkout."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BESIDE = "llama-index-workflows==2.26.1"
"""Another distribution of this field. It installs a top-level package `workflows`, as Airlock 0.1 did."""


def run(command: Sequence[str], environment: Mapping[str, str], cwd: Path, within: float = 300.0) -> str:
    """Run a command that must succeed, and return its stdout."""
    done = subprocess.run(
        command, cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=within, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean() -> dict[str, str]:
    """Return this environment without the settings of an Airlock, a Temporal or a Python of the developer's own."""
    theirs = ("AIRLOCK_", "TEMPORAL_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs)}


def pip(*arguments: str, cwd: Path, python: Path | None = None) -> str:
    """Run pip, for another interpreter if one is given. What is installed is compiled when it is imported first."""
    other = ["--python", str(python)] if python else []
    if arguments[0] == "install":
        arguments = ("install", "--no-compile", *arguments[1:])
    command = [sys.executable, "-m", "pip", *other, "--quiet", "--disable-pip-version-check", *arguments]
    return run(command, clean(), cwd)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that git knows, links kept as links: what a build leaves behind stays out of the checkout."""
    folder = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_symlink() or path.is_file():  # not one that was deleted and is not committed yet
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the pinned setuptools and without an index."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(source), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def constraints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pinned versions, as constraints."""
    file = tmp_path_factory.mktemp("constraints") / "constraints.txt"
    shutil.copyfile(ROOT / "requirements.lock", file)
    return file


@pytest.fixture(scope="session")
def installed(wheel: Path, constraints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment with the wheel and its dependencies in it, and another package beside it."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], clean(), folder.parent)
    pip("install", "--constraint", str(constraints), str(wheel), BESIDE, cwd=folder.parent, python=folder / "bin" / "python")
    return folder
