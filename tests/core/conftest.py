"""The hypothesis profile: few examples, the same ones every time, and no deadline, so that a slow machine fails nothing.

`AIRLOCK_HUNT=2000 pytest tests/core` looks for new counterexamples instead, with that many random examples a property.
"""

import os

from hypothesis import HealthCheck, settings

_HUNT = int(os.environ.get("AIRLOCK_HUNT", "0"))
settings.register_profile(
    "core",
    max_examples=_HUNT or 60,
    derandomize=not _HUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("core")
