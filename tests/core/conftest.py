"""The hypothesis profile: few examples, the same ones every time, and no deadline, so that a slow machine fails nothing.

`AIRLOCK_HUNT=2000 pytest tests/core` looks for new counterexamples instead, with that many random examples a property.
"""

from hypothesis import HealthCheck, settings

from tests.conftest import HUNT

settings.register_profile(
    "core", settings.get_profile("airlock"), max_examples=HUNT or 60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("core")
