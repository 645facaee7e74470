"""The time by which an activity judges ages."""

from datetime import UTC, datetime

from temporalio import activity


def server_time() -> datetime:
    """Return the time by this worker's clock, or the server's time of this attempt if that is later, UTC."""
    return max(datetime.now(UTC), activity.info().started_time)
