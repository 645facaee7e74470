"""The clock of a receiver: its zone, its quiet hours, and the moments of its digests."""

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

from airlock.admission.configuration.notify_config import AlertKind, Receiver, Receivers, time_of
from airlock.base.errors import Problem
from airlock.plans.plan import seconds

_DAY = timedelta(days=1)


def zone_of(receiver: Receiver) -> tzinfo:
    """Return the time zone of a receiver.

    Raises:
        ValueError: If this machine has no such zone.
    """
    if receiver.zone == "UTC":
        return UTC
    try:
        return ZoneInfo(receiver.zone)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"{receiver.zone!r} cannot be read") from error
    except KeyError as error:
        raise ValueError(f"{receiver.zone!r} is no time zone of this machine") from error


def zone_problems(receivers: Receivers) -> tuple[Problem, ...]:
    """Return a problem for each receiver in a time zone that this machine does not have."""
    problems: list[Problem] = []
    for name, receiver in receivers.items():
        try:
            zone_of(receiver)
        except ValueError as error:
            fix = "write an IANA name such as 'Europe/Berlin', or install the time zones: pip install tzdata"
            problems.append(Problem(where=f"notify.{name}.zone", message=str(error), fix=fix))
    return tuple(problems)


def after_quiet(receiver: Receiver, kind: AlertKind | None, at: datetime) -> datetime:
    """Return the first moment, from a moment on, at which a receiver may be sent something.

    Args:
        receiver: The receiver.
        kind: The kind of alert; None for a digest.
        at: UTC.
    """
    quiet = receiver.quiet
    if quiet is None or kind in quiet.exempt:
        return at
    zone = zone_of(receiver)
    today = at.astimezone(zone).date()
    begin, end = time_of(quiet.begin), time_of(quiet.end)
    for day in (today - _DAY, today):  # the hours that began yesterday may still last
        starts = datetime.combine(day, begin, zone)
        ends = datetime.combine(day if begin < end else day + _DAY, end, zone)
        # in UTC: datetimes of one zone compare by the wall clock, which a change of the clocks repeats
        if starts.astimezone(UTC) <= at < ends.astimezone(UTC):
            return ends.astimezone(UTC)
    return at


def digest_moment(receiver: Receiver, at: datetime) -> datetime | None:
    """Return the end of the digest period that a moment falls into, UTC; None if the receiver has no digests."""
    if receiver.digest is None:
        return None
    zone, period = zone_of(receiver), timedelta(seconds=seconds(receiver.digest.every))
    starts = time_of(receiver.digest.at)
    today = at.astimezone(zone).date()
    days = [datetime.combine(today + _DAY * shift, starts, zone).astimezone(UTC) for shift in (-1, 0, 1, 2)]
    begin, end = next((one, other) for one, other in pairwise(days) if one <= at < other)
    return min(begin + period * ((at - begin) // period + 1), end)
