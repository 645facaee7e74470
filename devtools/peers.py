"""`python -m devtools.peers`: the other systems of the benchmarks, in an environment of their own under `.airlock/peers`.

Nothing of it is installed into the project's environment: it is for `benchmarks/others.py` and `benchmarks/killed.py` alone.
"""

import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".airlock" / "peers"
REQUIREMENTS = ROOT / "benchmarks" / "peers.txt"
_INSTALLED = FOLDER / "installed.txt"
"""The requirements that the environment was made from."""


def python() -> Path | None:
    """Return the Python of the environment; None if there is none, or one of other requirements."""
    if not _INSTALLED.is_file() or _INSTALLED.read_bytes() != REQUIREMENTS.read_bytes():
        return None
    return FOLDER / "bin" / "python"


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that the environment has."""
    folders = [str(path) for path in FOLDER.glob("lib/python*/site-packages")]
    found = {each.metadata["Name"].lower(): each.version for each in distributions(path=folders)}
    return {name: found[name] for name in packages if name in found}


def main() -> int:
    """Make the environment unless it is there, and print its Python."""
    if python() is None:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=False).returncode != 0:
            print("The packages of benchmarks/peers.txt could not be installed.", file=sys.stderr)
            return 1
        shutil.copyfile(REQUIREMENTS, _INSTALLED)
    print(python())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
