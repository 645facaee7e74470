"""The size of rooms: the list of a room's files can be read at one look (docs/adr/0020)."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

AT_MOST = 25
"""Files of a room of its own, without those of its inner rooms."""
INDEX = {"airlock/cli": 35}
"""Rooms whose list is an index: one file for each family of commands."""

FILES = [file for top in ("airlock", "workflows", "activities") for file in (ROOT / top).rglob("*.py")]
ROOMS = sorted({str(file.parent.relative_to(ROOT)) for file in FILES})


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_few_files(room):
    files = [file.stem for file in (ROOT / room).glob("*.py") if file.stem != "__init__"]
    assert len(files) <= INDEX.get(room, AT_MOST), f"give {room} an inner room: {sorted(files)}"
