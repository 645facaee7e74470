"""`python -m devtools.chromium`: Debian's Chromium, without a window, unpacked under `.airlock/chromium`.

Nothing is installed. The tests of the page that `verify --html` writes run in it. They take a `chromium` on PATH first.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "chromium-headless-shell"
FOLDER = Path(__file__).resolve().parent.parent / ".airlock" / "chromium"
_UNPACKED = FOLDER / "usr" / "lib" / "chromium" / PACKAGE
_LIBRARIES = FOLDER / "usr" / "lib" / "x86_64-linux-gnu"
_ON_PATH = (PACKAGE, "chromium", "chromium-browser", "google-chrome")


def chromium() -> tuple[str, dict[str, str]] | None:
    """Return a Chromium and the environment that it needs; None if there is none."""
    found = next((path for name in _ON_PATH if (path := shutil.which(name))), None)
    if found is not None:
        return found, {}
    if not _UNPACKED.is_file():
        return None
    return str(_UNPACKED), {"LD_LIBRARY_PATH": f"{_LIBRARIES}:{_LIBRARIES / 'pulseaudio'}"}


def unpack() -> None:
    """Download the package with what it needs beyond the installed packages, and unpack it.

    Raises:
        subprocess.CalledProcessError: If apt cannot find or download it.
    """
    try:
        packages = _planned()
    except subprocess.CalledProcessError:  # a new machine knows no packages yet
        subprocess.run(["apt-get", "update"], check=True, stdout=subprocess.DEVNULL)
        packages = _planned()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", *packages], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        beside = FOLDER.with_name(f".{FOLDER.name}.{os.getpid()}")
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", str(package), str(beside)], check=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        beside.rename(FOLDER)


def _planned() -> list[str]:
    """Return the packages that an installation would add."""
    wanted = ["apt-get", "--simulate", "--no-install-recommends", "install", PACKAGE]
    planned = subprocess.run(wanted, check=True, capture_output=True, text=True).stdout
    return [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]


def main() -> int:
    """Unpack Chromium unless there is one, and print its path."""
    if chromium() is None:
        if shutil.which("apt-get") is None:
            print("There is no chromium on PATH, and apt-get, which would download one, is missing.", file=sys.stderr)
            return 1
        FOLDER.parent.mkdir(exist_ok=True)
        unpack()
    found = chromium()
    print(found[0] if found else "nothing was unpacked")
    return 0 if found else 1


if __name__ == "__main__":
    raise SystemExit(main())
