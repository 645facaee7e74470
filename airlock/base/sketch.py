"""Durations in bounded memory: a sketch whose quantiles are within 5 % of the exact ones.

DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB
2019), by the library `ddsketch`: its mapping of values to bins, and its quantiles over them. Only the bins are stored here,
because they cross process boundaries and must add up exactly.
"""

from collections import Counter
from collections.abc import Iterable

from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import DenseStore
from pydantic import Field

from airlock.base.mergeable import Mergeable

RELATIVE_ACCURACY = 0.05
"""The largest error of a quantile, as a share of the exact value."""
SHORTEST = 0.001
"""In seconds; shorter durations count as this long."""
LONGEST = 30 * 86_400.0
"""In seconds; longer durations count as this long. Together with `SHORTEST` it bounds a sketch to 218 bins."""

_MAPPING = LogarithmicMapping(RELATIVE_ACCURACY)


class Sketch(Mergeable):
    """Durations in seconds, as their number in each bin of the mapping."""

    bins: dict[int, int] = Field(default_factory=dict)

    @classmethod
    def of(cls, durations: Iterable[float]) -> "Sketch":
        """Return the sketch of durations in seconds, each bounded to `SHORTEST` and `LONGEST`."""
        return cls(bins=dict(Counter(_MAPPING.key(min(max(each, SHORTEST), LONGEST)) for each in durations)))

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self.bins.values())

    def quantile(self, share: float) -> float | None:
        """Return the duration in seconds that a share (0.0-1.0) of all does not exceed; None without durations.

        The result is within 5 % of the value at the rank `floor(share * (count - 1))` of the sorted durations.
        """
        if not self.bins:
            return None
        store = DenseStore()
        for key, number in sorted(self.bins.items()):
            store.add(key, number)
        sketch = BaseDDSketch(mapping=_MAPPING, store=store, negative_store=DenseStore(), zero_count=0.0)
        value = sketch.get_quantile_value(share)
        return None if value is None else float(value)
