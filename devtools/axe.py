"""`python -m devtools.axe`: axe-core, under `.airlock`, with which the tests of the console look for barriers.

It takes npm, which a Node on PATH brings. The tests are skipped without it.
"""

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

VERSION = "4.14.1"
FOLDER = Path(__file__).resolve().parent.parent / ".airlock" / "axe"
_SCRIPT = FOLDER / f"axe-{VERSION}.min.js"


def script() -> Path | None:
    """Return the script; None if it was not fetched, or in another version."""
    return _SCRIPT if _SCRIPT.is_file() else None


def main() -> int:
    """Fetch the script unless it is there, and print its path."""
    if script() is None:
        npm = shutil.which("npm")
        if npm is None:
            print("There is no npm on PATH, which would fetch axe-core.", file=sys.stderr)
            return 1
        FOLDER.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as folder:
            packed = subprocess.run(
                [npm, "pack", "--ignore-scripts", "--loglevel=error", f"axe-core@{VERSION}"], cwd=folder, check=False
            )
            found = next(Path(folder).glob("*.tgz"), None)
            if packed.returncode != 0 or found is None:
                print("axe-core could not be fetched.", file=sys.stderr)
                return 1
            with tarfile.open(fileobj=io.BytesIO(found.read_bytes())) as archive:
                member = archive.extractfile("package/axe.min.js")
                assert member is not None
                _SCRIPT.write_bytes(member.read())
    print(_SCRIPT)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
