"""One hypothesis profile for the core: few examples, no deadline, so that a slow machine fails nothing."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("core", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True, scope="session")
def _hypothesis_profile() -> None:
    settings.load_profile("core")


settings.load_profile("core")
