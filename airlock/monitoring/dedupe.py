"""The reports that were counted: a report that is delivered twice counts once."""

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Iterable

from airlock.monitoring.report import ReportKey

MAX_KEYS = 10_000
"""The number of latest reports that a monitor remembers."""
_KEY_BYTES = 9


class CountedReports:
    """The reports a monitor has counted lately, each by 72 bits of a hash of its key.

    A report that comes again is recognised as long as fewer than `MAX_KEYS` others were counted in between. That a new one
    is taken for one of so many by mistake has a probability of about 2·10⁻¹⁸. Mutable: a monitor owns exactly one.

    Args:
        keys: What `keys` gave before a continue-as-new.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = dict.fromkeys(keys)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the remembered keys, oldest first, for continue-as-new."""
        return tuple(self._keys)

    def take(self, key: ReportKey) -> bool:
        """Return True if a report is new and is to be counted.

        It is remembered then, and the oldest forgotten if need be.
        """
        short = b64encode(hashlib.sha256(key.text.encode()).digest()[:_KEY_BYTES]).decode()
        if short in self._keys:
            return False
        self._keys[short] = None
        if len(self._keys) > MAX_KEYS:
            del self._keys[next(iter(self._keys))]
        return True


def shard_of(name: str, shards: int) -> int:
    """Return the monitor that counts a plan, 0 to `shards - 1`: always the same one, so that it recognises what comes twice.

    Args:
        name: The plan id, or `undo-<plan_id>`.
        shards: How many monitors there are, 1 or more.
    """
    return zlib.crc32(name.encode()) % shards
