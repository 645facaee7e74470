"""Debian packages unpacked into a folder of the project, with what they need beyond the installed packages."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

_NONE = re.compile(r"(?!)")


def unpack(package: str, folder: Path, without: re.Pattern[str] = _NONE) -> None:
    """Download a package with what it needs, and unpack all of it into a folder that is replaced. Install nothing.

    Args:
        package: Its name.
        folder: The folder; its parent exists.
        without: Matches the beginning of the names of needed packages that are left out.

    Raises:
        subprocess.CalledProcessError: If apt cannot find or download it.
    """
    try:
        packages = _planned(package)
    except subprocess.CalledProcessError:  # a new machine knows no packages yet
        subprocess.run(["apt-get", "update"], check=True, stdout=subprocess.DEVNULL)
        packages = _planned(package)
    wanted = [name for name in packages if not without.match(name)]
    with tempfile.TemporaryDirectory() as downloads:
        subprocess.run(["apt-get", "download", *wanted], cwd=downloads, check=True, stdout=subprocess.DEVNULL)
        beside = folder.with_name(f".{folder.name}.{os.getpid()}")
        for found in sorted(Path(downloads).glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", str(found), str(beside)], check=True)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)


def _planned(package: str) -> list[str]:
    """Return the packages that an installation would add."""
    wanted = ["apt-get", "--simulate", "--no-install-recommends", "install", package]
    planned = subprocess.run(wanted, check=True, capture_output=True, text=True).stdout
    return [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
