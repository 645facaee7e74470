"""`python -m devtools.chromium`: Debian's Chromium, without a window, unpacked under `.airlock/chromium`.

Nothing is installed. The tests of the page that `verify --html` writes run in it. They take a `chromium` on PATH first.
"""

import shutil
import sys
from pathlib import Path

from devtools.debian import unpack

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


def main() -> int:
    """Unpack Chromium unless there is one, and print its path."""
    if chromium() is None:
        if shutil.which("apt-get") is None:
            print("There is no chromium on PATH, and apt-get, which would download one, is missing.", file=sys.stderr)
            return 1
        FOLDER.parent.mkdir(exist_ok=True)
        unpack(PACKAGE, FOLDER)
    found = chromium()
    print(found[0] if found else "nothing was unpacked")
    return 0 if found else 1


if __name__ == "__main__":
    raise SystemExit(main())
