"""`python -m devtools.postgresql`: Debian's PostgreSQL, unpacked under `.airlock/postgresql`, and servers for tests.

Nothing is installed. An installed server comes first: one on PATH, or the newest under `/usr/lib/postgresql`.
"""

import ctypes
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devtools.debian import unpack

FOLDER = Path(__file__).resolve().parent.parent / ".airlock" / "postgresql"
FOUND = FOLDER.with_suffix(".found")
"""A file that `make postgresql` leaves when there is a server: tests that find none then fail instead of being skipped."""
_INSTALLED = Path("/usr/lib/postgresql")
_NOT_NEEDED = re.compile(r"libllvm|libz3|perl|lib[a-z-]*perl|postgresql-(client-)?common|ssl-cert|locales|sysstat|.*-jit$")
"""Packages for Debian's clusters and for compiled queries; a server that is started by its own program needs none."""
_READY_WITHIN = 60.0
_PR_SET_PDEATHSIG = 1
_STATUS_LINE = 7
"""The line of `postmaster.pid` that ends up as `ready`."""


class NotReady(RuntimeError):
    """The server ended or stayed silent; the message holds the end of its log."""


def programs() -> tuple[Path, dict[str, str]] | None:
    """Return the folder with `postgres` and `initdb`, and the environment that they need; None if there is none."""
    on_path = shutil.which("postgres")
    for folder in ([Path(on_path).resolve().parent] if on_path else []) + _versions(_INSTALLED):
        if (folder / "initdb").is_file():
            return folder, {}
    for folder in _versions(FOLDER / "usr" / "lib" / "postgresql"):
        libraries = ":".join(str(path) for path in sorted((FOLDER / "usr" / "lib").glob("*-linux-gnu")))
        return folder, {"LD_LIBRARY_PATH": libraries}
    return None


def _versions(under: Path) -> list[Path]:
    """Return the folders with a server's programs, the newest version first."""
    found = [path for path in under.glob("*/bin") if (path / "postgres").is_file() and path.parent.name.isdigit()]
    return sorted(found, key=lambda path: int(path.parent.name), reverse=True)


@contextmanager
def server() -> Iterator[str]:
    """Run a server of its own on loopback, without durability. Yield the URL of its database.

    It also ends when this process does, however this process ends.

    Raises:
        NotReady: If there are no programs, or the server does not start.
    """
    with server_process() as (url, _pid):
        yield url


@contextmanager
def server_process() -> Iterator[tuple[str, int]]:
    """Like `server`, and yield the id of its process too."""
    found = programs()
    if found is None:
        raise NotReady("there is no PostgreSQL here")
    folder = Path(tempfile.mkdtemp(prefix="airlock-postgresql-"))
    try:
        bin_folder, environment = found
        how = _as_other_user(folder)
        bin_folder, environment = _readable(bin_folder, environment, folder, how)
        how |= {"env": {"PATH": os.defpath, "LC_ALL": "C", **environment}, "cwd": folder, "stdin": subprocess.DEVNULL}
        data = _initialized(bin_folder, folder, how)
        with _started(bin_folder, data, how) as (port, pid):
            yield f"postgresql+psycopg://airlock@127.0.0.1:{port}/postgres", pid
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_other_user(folder: Path) -> dict[str, Any]:
    """Return the options for a process that may run a server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {each.pw_name: each for each in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _readable(
    bin_folder: Path, environment: dict[str, str], folder: Path, how: dict[str, Any]
) -> tuple[Path, dict[str, str]]:
    """Return programs that the server's user may run: copies of those in a folder that is closed to it."""
    test = subprocess.run(["test", "-x", str(bin_folder / "postgres")], check=False, **how)
    if test.returncode == 0 or not bin_folder.is_relative_to(FOLDER):
        return bin_folder, environment
    copied = folder / "programs"
    shutil.copytree(FOLDER, copied, symlinks=True)
    copied.chmod(0o755)
    moved = {name: value.replace(str(FOLDER), str(copied)) for name, value in environment.items()}
    return copied / bin_folder.relative_to(FOLDER), moved


def _initialized(bin_folder: Path, folder: Path, how: dict[str, Any]) -> Path:
    data = folder / "data"
    options = ["--auth=trust", "--username=airlock", "--no-sync", "--encoding=UTF8", "--locale=C", f"--pgdata={data}"]
    done = subprocess.run([str(bin_folder / "initdb"), *options], check=False, capture_output=True, text=True, **how)
    if done.returncode != 0:
        raise NotReady(f"initdb failed: {done.stderr.strip()[-2000:]}")
    return data


@contextmanager
def _started(bin_folder: Path, data: Path, how: dict[str, Any]) -> Iterator[tuple[int, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    settings = (
        "listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off", "full_page_writes=off",
        "synchronous_commit=off", "shared_buffers=16MB", "max_connections=40", "timezone=GMT", "log_timezone=GMT",
    )  # fmt: skip
    options = [word for setting in settings for word in ("-c", setting)]
    library = ctypes.CDLL(None)

    def end_with_parent() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)

    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(bin_folder / "postgres"), "-D", str(data), *options], stdout=log, stderr=log, start_new_session=True,
            preexec_fn=end_with_parent, **how,
        )  # fmt: skip
        try:
            if not _is_ready(process, data):
                log.seek(0)
                raise NotReady(f"the server did not start: {log.read()[-2000:].decode(errors='replace')}")
            yield port, process.pid
        finally:
            _stop(process)


def _is_ready(process: "subprocess.Popen[bytes]", data: Path) -> bool:
    """Wait until the server accepts connections; return False if it ended or stayed silent."""
    until = time.monotonic() + _READY_WITHIN
    status = data / "postmaster.pid"
    while process.poll() is None and time.monotonic() < until:
        lines = status.read_text().splitlines() if status.is_file() else []
        if lines[_STATUS_LINE:] and lines[_STATUS_LINE].strip() == "ready":
            return True
        time.sleep(0.02)
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and every process of its own; nothing of its data is needed."""
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main() -> int:
    """Unpack a server unless there is one, and print the folder of its programs."""
    FOLDER.parent.mkdir(exist_ok=True)
    FOUND.unlink(missing_ok=True)
    if programs() is None:
        if shutil.which("apt-get") is None:
            print("There is no PostgreSQL here, and apt-get, which would download one, is missing.", file=sys.stderr)
            return 1
        unpack("postgresql", FOLDER, without=_NOT_NEEDED)
    found = programs()
    if found is None:
        print("nothing was unpacked", file=sys.stderr)
        return 1
    FOUND.write_text(f"{found[0]}\n")
    print(found[0])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
