"""Deduplication of reports: a report that is delivered twice counts once."""

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Iterable

from airlock.monitoring.report import ReportKey

MAX_KEYS = 10_000
"""Number of the latest reports that a monitor remembers."""
_KEY_BYTES = 9


class CountedReports:
    """Reports that a monitor counted lately, each as 72 bits of a hash of its key.

    A repeated report is recognised unless `MAX_KEYS` others were counted in between. A new report is taken for a repeated
    one with a probability of about 2·10⁻¹⁸. Mutable: each monitor owns exactly one.

    Args:
        keys: Value of `keys` before a continue-as-new.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = dict.fromkeys(keys)

    @property
    def keys(self) -> tuple[str, ...]:
        """Hashes of the reports, oldest first, to carry through continue-as-new."""
        return tuple(self._keys)

    def take(self, key: ReportKey) -> bool:
        """Remember a report, and return True if it is new. The oldest is forgotten beyond `MAX_KEYS`."""
        short = b64encode(hashlib.sha256(key.text.encode()).digest()[:_KEY_BYTES]).decode()
        if short in self._keys:
            return False
        self._keys[short] = None
        if len(self._keys) > MAX_KEYS:
            del self._keys[next(iter(self._keys))]
        return True


def shard_of(name: str, shards: int) -> int:
    """Return the number of the monitor that counts a plan, 0 to `shards - 1`: always the same, so that it knows its reports.

    Args:
        name: The plan id, or `undo-<plan_id>`.
        shards: Number of monitors, 1 or more.
    """
    return zlib.crc32(name.encode()) % shards
